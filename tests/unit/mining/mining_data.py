"""Pools and a trainer for the tests of mining: two features, one rare label, a logistic model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from equipoise import Labels
from equipoise.mining import ArrayPool, MiningTask

__all__ = ["make_pools", "make_rows", "train_logistic"]


def make_rows(n: int, seed: int, *, groups: int = 0) -> tuple[NDArray[Any], Labels]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    y = (x[:, 0] + 0.6 * rng.normal(size=n) > 2.0).astype(int)
    named = np.arange(n) * groups // n + 1000 * seed if groups else None
    return x, Labels.from_array(y, kind="multilabel", names=["ship"], groups=named)


def make_pools(n: int = 3000, *, groups: int = 0, **settings: Any) -> tuple[ArrayPool, ArrayPool]:
    return tuple(  # type: ignore[return-value]
        ArrayPool(*make_rows(size, seed, groups=groups), **settings)
        for size, seed in ((n, 1), (n // 2, 2))
    )


def train_logistic(task: MiningTask) -> Callable[[Any], Any]:
    fitted = LogisticRegression(C=10.0).fit(task.x, task.y, sample_weight=task.weights)
    return fitted.decision_function
