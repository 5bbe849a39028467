"""Trials made from numbers alone: a population, a model's strength, a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from equipoise.artifacts import Correction, Labels, Scores, Trial

LONG_TAIL = (0.95, 0.045, 0.005)
Transform = Callable[[np.ndarray], np.ndarray]


def label_trial(
    method: str,
    seed: int,
    *,
    strength: float = 1.5,
    noise: float = 0.3,
    prevalence: Sequence[float] = (0.3, 0.1, 0.05),
    n: int = 600,
    move: Transform | None = None,
    correction: Correction | None = None,
    ids: bool = True,
    groups: bool = False,
    test_seed: int = 999,
    model: str | None = None,
) -> Trial:
    """Return a multi-label trial; the same ``model`` and seed share training noise."""
    scores = {}
    for part, stream, offset in (("val", seed, 0), ("test", test_seed, 10**6)):
        rng = np.random.default_rng([stream, offset])
        y = (rng.random((n, len(prevalence))) < prevalence).astype(np.int8)
        x = rng.normal(size=y.shape) + strength * y
        own = np.random.default_rng([seed, offset, sum(map(ord, model or method))])
        z = strength * x - strength**2 / 2 + np.log(np.array(prevalence))
        z = z + noise * own.normal(size=y.shape)
        labels = Labels.from_array(
            y,
            kind="multilabel",
            names=[f"L{i}" for i in range(len(prevalence))],
            ids=np.arange(n) + offset + (seed * 10_000 if part == "val" else 0) if ids else None,
            groups=np.arange(n) // 3 if groups else None,
        )
        z = z if move is None else move(z)
        scores[part] = Scores.from_arrays(labels, logits=z, split=part, correction=correction)  # type: ignore[arg-type]
    counts = {f"L{i}": int(2000 * p) for i, p in enumerate(prevalence)}
    return Trial(method, seed, {"seed": seed}, 2000, n, counts, counts, [], scores)


def class_trial(
    method: str,
    seed: int,
    *,
    strength: float = 1.8,
    noise: float = 0.2,
    train: Sequence[float] = LONG_TAIL,
    move: Transform | None = None,
    correction: Correction | None = None,
    n: int = 900,
) -> Trial:
    """Return a trial of three Gaussian classes, long-tailed in training, balanced elsewhere."""
    width = len(train)
    centres = strength * np.eye(width)
    scores: dict[str, Any] = {}
    for part, stream, offset in (("val", seed, 0), ("test", 999, 10**6)):
        rng = np.random.default_rng([stream, offset])
        y = np.arange(n) % width
        x = rng.normal(size=(n, width)) + centres[y]
        own = np.random.default_rng([seed, offset, sum(map(ord, method))])
        z = x @ centres.T + np.log(train) + noise * own.normal(size=(n, width))
        labels = Labels.from_array(
            y,
            kind="multiclass",
            names=[f"C{i}" for i in range(width)],
            ids=np.arange(n) + offset + (seed * 10_000 if part == "val" else 0),
        )
        undo = correction or Correction.identity("multiclass", prior=train)
        z = z if move is None else move(z)
        scores[part] = Scores.from_arrays(labels, logits=z, split=part, correction=undo)  # type: ignore[arg-type]
    counts = {f"C{i}": int(2000 * p) for i, p in enumerate(train)}
    return Trial(method, seed, {"seed": seed}, 2000, n, counts, counts, [], scores)
