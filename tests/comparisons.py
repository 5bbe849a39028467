"""Small comparisons made from generated scores, for tests of the report."""

from __future__ import annotations

import numpy as np

from equipoise.artifacts import Comparison, Correction, Labels, Scores, Trial
from equipoise.comparison import compare

__all__ = ["labels_comparison", "make_trials"]


def make_trials(
    methods: dict[str, float], *, n: int = 400, width: int = 3, seeds: int = 3, multi: bool = True
) -> list[Trial]:
    """Return trials whose logits are the truth plus noise plus one shift per method."""
    rng = np.random.default_rng(7)
    truth = {}
    for part in ("val", "test"):
        if multi:
            y = (rng.random((n, width)) < np.linspace(0.1, 0.4, width)).astype(int)
            y[:2], y[2:4] = 1, 0
        else:
            y = rng.integers(0, width, n)
        ids = np.arange(n) + (n if part == "test" else 0)
        kind = "multilabel" if multi else "multiclass"
        names = [f"{'label' if multi else 'class'} <{i}> & co" for i in range(width)]
        truth[part] = Labels.from_array(y, kind=kind, names=names, ids=ids)
    trials = []
    for seed in range(seeds):
        for method, shift in methods.items():
            scores = {}
            for part, labels in truth.items():
                signal = 2.0 * labels.one_hot() - 2.0
                noise = np.random.default_rng(seed + (part == "test") * 100).normal(
                    0, 1.2, signal.shape
                )
                scores[part] = Scores.from_arrays(
                    labels,
                    logits=signal + noise + shift,
                    split=part,
                    correction=Correction.identity(labels.kind),
                )
            counts = dict(zip(labels.names, labels.counts.tolist(), strict=True))
            trials.append(
                Trial(
                    method=method,
                    seed=seed,
                    config={"method": method, "seed": seed},
                    n_train=1000,
                    n_val=n,
                    train_counts=counts,
                    histogram=counts,
                    history=[{"epoch": 0, "loss": 1.0}],
                    scores=scores,
                )
            )
    return trials


def labels_comparison(title: str = "A study") -> Comparison:
    """Return a comparison of three methods that differ by a shift only."""
    trials = make_trials({"none": 0.0, "weighted": 1.5, "other": -0.5})
    return compare(trials, title=title, provenance={"command": "test", "seconds": 1.0})
