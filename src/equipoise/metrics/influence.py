"""Metrics with one influence value per row: their sum of squares is the squared standard error.

The influence of a row is the derivative of the metric with respect to the row's weight (the
infinitesimal jackknife). Macro averages average them, paired differences subtract them, groups
add them up; so one sort per label serves every interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.metrics.sweep import Sweep

__all__ = [
    "Influence",
    "average_precision_influence",
    "balanced_accuracy_influence",
    "macro_influence",
    "ratio_influence",
    "roc_auc_influence",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """A metric's value and the influence of each row; NaN value where undefined.

    Args:
        value: The metric.
        rows: (N,) float64, its derivative by the weight of each row; they sum to 0.

    Example:
        >>> share = ratio_influence([1, 0, 0, 1], [1, 1, 1, 1])
        >>> share.value, share.rows.tolist(), round(share.standard_error(), 4)
        (0.5, [0.125, -0.125, -0.125, 0.125], 0.2887)
    """

    value: float
    rows: Floats

    def __sub__(self, other: Influence) -> Influence:
        return Influence(self.value - other.value, self.rows - other.rows)

    def standard_error(self, groups: NDArray[np.int64] | None = None) -> float:
        """Return the standard error; rows of one group, by int code (N,), are summed first."""
        if groups is None:
            n, total = self.rows.size, float(np.dot(self.rows, self.rows))
        else:
            sums = np.bincount(groups, weights=self.rows)
            n, total = int(np.unique(groups).size), float(np.dot(sums, sums))
        return float(np.sqrt(total * n / max(n - 1, 1)))


def _undefined(n: int) -> Influence:
    return Influence(float("nan"), np.zeros(n))


def _sorted(
    y_true: ArrayLike, scores: ArrayLike
) -> tuple[int, NDArray[np.int64], NDArray[np.bool_], Sweep, NDArray[np.int64]]:
    truth, values = np.asarray(y_true), np.asarray(scores, dtype=np.float64)
    rows = np.flatnonzero(truth >= 0)
    order = rows[np.argsort(-values[rows], kind="stable")]
    positive = truth[order] == 1
    points = Sweep.from_sorted(values[order], positive)
    sizes = np.diff(points.tp + points.fp, prepend=0)
    return truth.size, order, positive, points, np.repeat(np.arange(sizes.size), sizes)


def average_precision_influence(y_true: ArrayLike, scores: ArrayLike) -> Influence:
    """Return average precision of one label with its influence values.

    With tie groups g in descending order, p_g positives in a group, T_g and K_g the positives and
    rows up to its end, AP = sum_g p_g T_g / K_g / P. The derivative for a row in group h is
    [y T_h/K_h + y sum_{g>=h} p_g/K_g - sum_{g>=h} p_g T_g/K_g^2 - y AP] / P.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        scores: (N,) finite, any increasing scale.

    Example:
        >>> ap = average_precision_influence([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> round(ap.value, 4), ap.rows[:3].round(4).tolist()
        (0.8333, [0.1389, -0.1111, -0.0278])
    """
    n, order, positive, points, group = _sorted(y_true, scores)
    total = points.n_positive
    if total == 0:
        return _undefined(n)
    rows_to = points.tp + points.fp
    step = np.diff(points.tp, prepend=0)
    first = np.cumsum((step / rows_to)[::-1])[::-1]
    second = np.cumsum((step * points.tp / rows_to**2)[::-1])[::-1]
    value = points.average_precision
    gain = (points.tp / rows_to + first - value)[group]
    rows = np.zeros(n)
    rows[order] = (positive * gain - second[group]) / total
    return Influence(value, rows)


def roc_auc_influence(y_true: ArrayLike, scores: ArrayLike) -> Influence:
    """Return the area under the ROC curve of one label with its influence values.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        scores: (N,) finite, any increasing scale; ties count half.

    Example:
        >>> auc = roc_auc_influence([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> auc.value, auc.rows.tolist()
        (0.75, [0.125, -0.125, -0.125, 0.125])
    """
    n, order, positive, points, group = _sorted(y_true, scores)
    pos, neg = points.n_positive, points.n_negative
    if pos == 0 or neg == 0:
        return _undefined(n)
    value = points.roc_auc
    in_pos, in_neg = np.diff(points.tp, prepend=0), np.diff(points.fp, prepend=0)
    neg_below = (neg - points.fp + 0.5 * in_neg) / neg
    pos_above = (points.tp - 0.5 * in_pos) / pos
    rows = np.zeros(n)
    rows[order] = np.where(
        positive, (neg_below[group] - value) / pos, (pos_above[group] - value) / neg
    )
    return Influence(value, rows)


def ratio_influence(above: ArrayLike, below: ArrayLike) -> Influence:
    """Return sum(above) / sum(below) with its influence values (a - value b) / sum(b).

    Precision, recall, F-beta, accuracy and mean losses are all of this form.

    Args:
        above: (N,) what each row adds to the numerator.
        below: (N,) what each row adds to the denominator.
    """
    a, b = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    total = float(b.sum())
    if total == 0:
        return _undefined(a.size)
    value = float(a.sum()) / total
    return Influence(value, (a - value * b) / total)


def balanced_accuracy_influence(
    y_true: NDArray[np.int64], y_pred: NDArray[np.int64], num_classes: int
) -> Influence:
    """Return the mean recall over classes with rows, with its influence values.

    Args:
        y_true: (N,) classes in [0, C).
        y_pred: (N,) classes in [0, C).
        num_classes: C.
    """
    hit = y_true == y_pred
    each = [ratio_influence(hit & (y_true == c), y_true == c) for c in range(num_classes)]
    return macro_influence(each, y_true.size)


def macro_influence(parts: Sequence[Influence], n_rows: int) -> Influence:
    """Return the mean over defined parts, as for a macro average; NaN if none is defined."""
    defined = [p for p in parts if not np.isnan(p.value)]
    if not defined:
        return _undefined(n_rows)
    rows = np.mean([p.rows for p in defined], axis=0)
    return Influence(float(np.mean([p.value for p in defined])), rows)
