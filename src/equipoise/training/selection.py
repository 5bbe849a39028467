"""The validation metric that chooses the epoch, the same for every remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Correction, Labels
from equipoise.metrics import (
    average_precision,
    balanced_accuracy_influence,
    rank_positives,
)

METRIC_NAMES = {
    "multilabel": "macro AP over evaluable labels",
    "multiclass": "balanced accuracy at the formula's balanced rule",
}


@dataclass(frozen=True, slots=True)
class Monitor:
    """Another metric that chooses the epoch.

    Args:
        name: In words; it enters the config of the trial.
        measure: Maps outputs of the validation rows (N, C), their labels and the correction of the
            remedy to a number; higher is better.
    """

    name: str
    measure: Callable[[NDArray[np.floating], Labels, Correction], float]


def goes_before(value: float, loss: float, best_value: float, best_loss: float) -> bool:
    """Return whether an epoch goes before the best of those before it.

    The higher metric does; of equal metrics the lower validation loss; of equals in both the
    earlier epoch. NaN, which an epoch has where no label can be judged, gives way to what comes.

    Example:
        >>> goes_before(0.5, 0.21, 0.5, 0.26), goes_before(0.5, 0.26, 0.5, 0.26)
        (True, False)
    """
    return not value <= best_value or (value == best_value and loss < best_loss)


def selection_metric(logits: NDArray[np.floating], labels: Labels, correction: Correction) -> float:
    """Return the metric that chooses the epoch; higher is better.

    Labels: macro average precision over labels with positives and negatives, NaN if there are
    none. Classes: balanced accuracy of the argmax after the remedy's formula and the training
    prior are undone, so that no remedy is favoured for its operating point; a class without
    training rows has no balanced rule and is never decided for.
    """
    if labels.kind == "multilabel":
        hot = labels.values
        usable = [
            c for c in range(hot.shape[1]) if (hot[:, c] == 1).any() and (hot[:, c] == 0).any()
        ]
        if not usable:
            return float("nan")
        if labels.weights is None:
            return float(np.mean(average_precision(hot[:, usable], logits[:, usable])))
        ranked = [rank_positives(hot[:, c], logits[:, c], labels.weights) for c in usable]
        return float(np.mean([ranks.average_precision for ranks in ranked]))
    scores = np.asarray(logits, dtype=np.float64)
    if correction.exactness != "none":
        scores = correction.apply(scores)
        if correction.prior is not None:
            prior = np.asarray(correction.prior)
            log_prior = np.full(prior.shape, np.inf)
            np.log(prior, out=log_prior, where=prior > 0)
            scores = scores - log_prior
    decided = np.argmax(scores, axis=1)
    return balanced_accuracy_influence(
        labels.values, decided, labels.num_classes, labels.weights
    ).value


def realised_histogram(labels: Labels, drawn: NDArray[np.int64]) -> dict[str, int]:
    """Return how often each class or label was drawn, given how often each row was."""
    if labels.kind == "multiclass":
        totals = np.bincount(labels.values, weights=drawn, minlength=labels.num_classes)
    else:
        totals = np.array([drawn[column == 1].sum() for column in labels.values.T])
    return {name: int(n) for name, n in zip(labels.names, totals, strict=True)}
