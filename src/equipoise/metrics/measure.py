"""Average precision, ROC AUC, best F-beta with its threshold and Brier score, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_positive
from equipoise._core.messages import hint, say
from equipoise.errors import DataError
from equipoise.metrics._columns import map_columns
from equipoise.metrics.ranks import Ranks

# Float64 copies that stay in the cache.
CHUNK = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Threshold-free metrics of L labels, (L,) each; NaN where a label cannot be judged.

    Args:
        average_precision: NaN without positives.
        roc_auc: NaN without positives or without negatives.
        best_f_beta: The largest F-beta on these rows: optimistic for others.
        threshold: Its threshold, between distinct scores; infinite without positives.
        brier: Mean squared difference of probability and truth; NaN for scores that only rank.
        brier_positives: The same over positives alone.
        brier_negatives: The same over negatives alone.
        n_positive: int64.
        n_negative: int64.
    """

    average_precision: Floats
    roc_auc: Floats
    best_f_beta: Floats
    threshold: Floats
    brier: Floats
    brier_positives: Floats
    brier_negatives: Floats
    n_positive: NDArray[np.int64]
    n_negative: NDArray[np.int64]


def measure_labels(
    y_true: ArrayLike, scores: ArrayLike, *, beta: float = 1.0, probabilities: bool
) -> Measures:
    """Measure every label with two sorts of its scores, positives and negatives apart.

    Use for many rows or labels. Prefer ``metrics.sweep`` for every operating point.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape; float32 stays float32.
        beta: Weight of recall against precision, > 0.
        probabilities: Whether the scores are probabilities; only these have a Brier score.

    Raises:
        DataError: scores that are NaN or infinite, or declared probabilities outside [0, 1].

    Example:
        >>> found = measure_labels([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], probabilities=True)
        >>> found.average_precision.round(4).tolist(), found.threshold.round(4).tolist()
        ([0.8333], [0.4])
        >>> found.brier.round(4).tolist()
        [0.1875]
    """
    to_positive("beta", beta)

    def one(pos: NDArray[Any], rows: NDArray[Any]) -> tuple[float, ...]:
        ranks = Ranks.from_sorted(pos, rows)
        ranking = (ranks.average_precision, ranks.roc_auc, *ranks.best_f_beta(beta))
        briers = _briers(pos, rows) if probabilities else (np.nan,) * 3
        return (*ranking, *briers, pos.size, rows.size - pos.size)

    table = np.array(map_columns(y_true, scores, one)).T
    counts = table[7:].astype(np.int64)
    return Measures(*table[:7], *counts)


def _briers(pos: NDArray[Any], rows: NDArray[Any]) -> tuple[float, float, float]:
    """Return the Brier score of all rows, of positives and of negatives; scores ascending."""
    if rows.size and (rows[0] < 0 or rows[-1] > 1):
        got = f"{rows[0]:.4g} to {rows[-1]:.4g}"
        do = hint("For logits, apply the sigmoid first, or pass {probabilities=False}.")
        raise DataError(say("scores", "be probabilities in [0, 1]", got, do))
    missed, n_negative = _sum_of_squares(1.0, pos), rows.size - pos.size
    wrong = max(_sum_of_squares(0.0, rows) - _sum_of_squares(0.0, pos), 0.0)
    return tuple(
        above / count if count else float("nan")
        for above, count in ((missed + wrong, rows.size), (missed, pos.size), (wrong, n_negative))
    )  # type: ignore[return-value]


def _sum_of_squares(base: float, values: NDArray[Any]) -> float:
    total = 0.0
    for start in range(0, values.size, CHUNK):
        wide = base - values[start : start + CHUNK].astype(np.float64)
        total += float(np.einsum("i,i->", wide, wide))
    return total
