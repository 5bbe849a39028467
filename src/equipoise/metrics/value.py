"""What decisions are worth: expected cost and net benefit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_floats, to_positive
from equipoise._core.messages import say
from equipoise.errors import DataError
from equipoise.metrics._columns import map_columns
from equipoise.metrics.point import confusion_matrix, table


def expected_cost(
    y_true: ArrayLike, y_pred: ArrayLike, *, false_positive: float, false_negative: float
) -> Floats:
    """Return the mean cost of a row, per label.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_pred: Same shape, 0 or 1.
        false_positive: Cost of a false alarm, >= 0.
        false_negative: Cost of a miss, >= 0.

    Returns:
        (L,) float64; NaN where nothing is known.

    Example:
        >>> expected_cost([1, 0, 1, 0], [1, 1, 0, 0], false_positive=1, false_negative=20).tolist()
        [5.25]
    """
    alarm = to_positive("false_positive", false_positive, zero=True)
    miss = to_positive("false_negative", false_negative, zero=True)
    tp, fp, fn, tn = table(y_true, y_pred)
    rows, out = tp + fp + fn + tn, np.full(tp.size, np.nan)
    np.divide(alarm * fp + miss * fn, rows, out=out, where=rows > 0)
    return out


def expected_cost_of_classes(y_true: ArrayLike, y_pred: ArrayLike, cost: ArrayLike) -> float:
    """Return the mean cost of a row under a cost matrix; NaN without rows.

    Args:
        y_true: (N,) classes in [0, C).
        y_pred: (N,) classes in [0, C).
        cost: (C, C), truth in rows, decision in columns.

    Example:
        >>> expected_cost_of_classes([0, 1, 1], [0, 0, 1], [[0, 1], [6, 0]])
        2.0
    """
    matrix = to_floats("cost", to_array("cost", cost, ndim=2))
    require_shape("cost", matrix, (matrix.shape[0],) * 2, "Truth in rows, decision in columns.")
    counts = confusion_matrix(y_true, y_pred, num_classes=matrix.shape[0])
    return float((counts * matrix).sum() / counts.sum()) if counts.sum() else float("nan")


def net_benefit(y_true: ArrayLike, y_prob: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Return the net benefit of flagging at each threshold: TP/n - FP/n t/(1 - t).

    Compare with flagging nobody (0) and everybody. Probabilities that are too high or too low are
    punished, which a ranking metric cannot see.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_prob: Same shape, in [0, 1].
        thresholds: (T,) in (0, 1); rows at or above are flagged.

    Returns:
        (T,) for 1-d input, else (L, T); NaN where nothing is known.

    Example:
        >>> net_benefit([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], [0.25, 0.75]).round(3).tolist()
        [0.417, -0.5]

    References:
        Vickers and Elkin (Medical Decision Making 2006).
    """
    cuts = to_floats("thresholds", to_array("thresholds", thresholds, ndim=1))
    if not ((cuts > 0) & (cuts < 1)).all():
        raise DataError(say("thresholds", "lie in (0, 1)", cuts.tolist(), "Leave 0 and 1 out."))

    def curve(pos: NDArray[np.float64], rows: NDArray[np.float64]) -> Floats:
        if not rows.size:
            return np.full(cuts.size, np.nan)
        tp = pos.size - np.searchsorted(pos, cuts)
        fp = rows.size - np.searchsorted(rows, cuts) - tp
        return np.asarray((tp - fp * cuts / (1 - cuts)) / rows.size)

    out = np.array(map_columns(y_true, y_prob, curve))
    return out[0] if np.ndim(y_true) == 1 else out
