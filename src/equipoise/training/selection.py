"""The validation metric that chooses the epoch, the same for every remedy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Correction, Labels
from equipoise.metrics import average_precision, balanced_accuracy

__all__ = ["METRIC_NAMES", "realised_histogram", "selection_metric"]

METRIC_NAMES = {
    "multilabel": "macro AP over evaluable labels",
    "multiclass": "balanced accuracy at the formula's balanced rule",
}


def selection_metric(logits: NDArray[np.floating], labels: Labels, correction: Correction) -> float:
    """Return the metric that chooses the epoch; higher is better.

    Labels: macro average precision over labels with positives and negatives. Classes: balanced
    accuracy of the argmax after the remedy's formula and the training prior are undone, so that
    no remedy is favoured for its operating point.
    """
    if labels.kind == "multilabel":
        hot = labels.values
        usable = [
            c for c in range(hot.shape[1]) if (hot[:, c] == 1).any() and (hot[:, c] == 0).any()
        ]
        if not usable:
            return float("nan")
        return float(np.mean(average_precision(hot[:, usable], logits[:, usable])))
    scores = np.asarray(logits, dtype=np.float64)
    if correction.exactness != "none":
        scores = correction.apply(scores)
        if correction.prior is not None:
            scores = scores - np.log(np.maximum(np.asarray(correction.prior), 1e-12))
    decided = np.argmax(scores, axis=1)
    return balanced_accuracy(labels.values, decided, num_classes=labels.num_classes)


def realised_histogram(labels: Labels, drawn: NDArray[np.int64]) -> dict[str, int]:
    """Return how often each class or label was drawn, given how often each row was."""
    totals = drawn @ (labels.one_hot() == 1).astype(np.int64)
    return {name: int(n) for name, n in zip(labels.names, totals, strict=True)}
