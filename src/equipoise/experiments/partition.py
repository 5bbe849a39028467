"""From a study's data to one split per seed: test stays, train and validation are redrawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Labels, Split
from equipoise.experiments.source import StudyData
from equipoise.experiments.study import LongTailSpec, StratifiedSpec
from equipoise.splits import long_tail_split, stratified_split

__all__ = ["fixed_test", "splitter"]


Spec = StratifiedSpec | LongTailSpec


def fixed_test(spec: Spec, data: StudyData) -> NDArray[np.int64]:
    """Return the test rows, which no seed changes."""
    if data.test is not None:
        return data.test
    if isinstance(spec, LongTailSpec):
        first = long_tail_split(
            data.labels,
            shape=spec.shape,
            imbalance_ratio=spec.imbalance_ratio,
            test_per_class=spec.test_per_class,
            seed=spec.seed,
        )
        return first.test
    return stratified_split(
        data.labels, fractions=(1 - spec.test, 0.0, spec.test), seed=spec.seed
    ).test


def splitter(spec: Spec, data: StudyData) -> tuple[NDArray[np.int64], Callable[[int], Split]]:
    """Return the test rows and a function from seed to split."""
    test = np.sort(fixed_test(spec, data))
    rest = np.setdiff1d(np.arange(len(data.labels)), test)
    labels = data.labels[rest]

    def draw(seed: int) -> Split:
        inner = _inner(spec, labels, seed)
        return Split.from_parts(
            rest[inner.train],
            rest[inner.val],
            test,
            n_rows=len(data.labels),
            seed=seed,
            method=inner.method,
            proof=inner.proof,
        )

    return test, draw


def _inner(spec: Spec, labels: Labels, seed: int) -> Split:
    if isinstance(spec, LongTailSpec):
        return long_tail_split(
            labels,
            shape=spec.shape,
            imbalance_ratio=spec.imbalance_ratio,
            val_per_class=spec.val_per_class,
            seed=seed,
        )
    return stratified_split(labels, fractions=(1 - spec.val, spec.val, 0.0), seed=seed)
