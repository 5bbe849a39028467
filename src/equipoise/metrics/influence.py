"""Metrics with one influence value per row: their sum of squares is the squared standard error.

The influence of a row is the derivative of the metric with respect to the row's weight (the
infinitesimal jackknife). Macro averages average them, paired differences subtract them, groups
add them up; so one sort per label serves every interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise.metrics.ranks import Ranks, rank_positives


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
            n, total = self.rows.size, float(np.square(self.rows).sum())
        else:
            sums = np.bincount(groups, weights=self.rows)
            n, total = int(np.unique(groups).size), float(np.square(sums).sum())
        # n - 1 as in a sample variance: that of a mean comes out as usual.
        return float(np.sqrt(total * n / max(n - 1, 1)))


def undefined(n: int) -> Influence:
    """Return NaN with no influence of the n rows."""
    return Influence(float("nan"), np.zeros(n))


def _ranked(y_true: ArrayLike, scores: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], Ranks]:
    truth, values = np.asarray(y_true), np.asarray(scores, dtype=np.float64)
    return truth, values, rank_positives(truth, values)


def spread(
    truth: NDArray[Any],
    cells: NDArray[np.int64],
    value: float,
    positive: Floats,
    negative: Floats,
) -> Influence:
    """Return a metric with the influence of each row, from that of the cells it can lie in.

    Args:
        truth: (N,) 0, 1 or -1 (unknown, influence 0).
        cells: (N,) of :meth:`equipoise.metrics.Ranks.cells`.
        value: The metric.
        positive: (K,) of a positive at each score.
        negative: (2K + 1,) of a negative in each cell.
    """
    rows = negative[cells]
    hit = np.flatnonzero(truth == 1)
    # A positive always lies at a score, in an odd cell: 2k + 1 at the k-th one.
    rows[hit] = positive[cells[hit] // 2]
    if truth.min(initial=0) < 0:
        rows[truth < 0] = 0.0
    return Influence(value, rows)


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
    truth, values, ranks = _ranked(y_true, scores)
    return ranking_influences(truth, ranks, ranks.cells(values))[0]


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
    truth, values, ranks = _ranked(y_true, scores)
    return ranking_influences(truth, ranks, ranks.cells(values))[1]


def ranking_influences(
    y_true: NDArray[Any], ranks: Ranks, cells: NDArray[np.int64]
) -> tuple[Influence, Influence]:
    """Return average precision and ROC AUC with their influence values, from one ranking.

    Rows between the same two positives share one value, so it is worked out once per cell.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        ranks: Of the same rows.
        cells: (N,) of :meth:`equipoise.metrics.Ranks.cells`.
    """
    pos, neg = ranks.n_positive, ranks.n_negative
    if pos == 0:
        return undefined(y_true.size), undefined(y_true.size)
    tp, value, area = ranks.tp, ranks.average_precision, ranks.roc_auc
    # Sums over the groups from a row's own downwards: a row counts among those up to the end of
    # its own group and of every lower one. `upto` is K_g of average_precision_influence.
    upto = tp + ranks.fp
    first = np.cumsum((ranks.positives / upto)[::-1])[::-1]
    # float64 before squaring: at 1e6 rows and more the product leaves int64 no head room.
    second = np.cumsum((ranks.positives * (tp / upto) / upto)[::-1])[::-1]
    own = (tp / upto + first - value - second) / pos
    # A negative only adds to K_g, so it can only lower the value; P does not change by it. The cell
    # just above a score and that of the score come before the same groups, hence the pairs, and
    # below the last positive there is nothing left to lower.
    other = -np.repeat(np.append(second, 0.0), 2)[:-1] / pos
    ap = spread(y_true, cells, value, own, other)
    if neg == 0:
        return ap, undefined(y_true.size)
    # The area is the mean placement of positives (share of negatives below) and of negatives (share
    # of positives above), ties half; a row's influence is what its placement exceeds the mean by,
    # over the rows of its side. So the influence of either side sums to 0 by itself.
    own = ((neg - ranks.above - 0.5 * ranks.tied) / neg - area) / pos
    above = np.repeat(np.append(0, tp), 2)[:-1].astype(np.float64)
    # Odd cells are at a score: its positives are tied with the negatives there.
    above[1::2] += 0.5 * ranks.positives
    other = (above / pos - area) / neg
    return ap, spread(y_true, cells, area, own, other)


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
        return undefined(a.size)
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


def matthews_influence(y_true: ArrayLike, y_pred: ArrayLike) -> Influence:
    """Return Matthews' correlation of one label with its influence values.

    NaN without positives or without negatives; 0 where all rows, or none, are flagged.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        y_pred: (N,) flags.

    Example:
        >>> found = matthews_influence([1, 1, 0, 0], [1, 0, 0, 0])
        >>> round(found.value, 4), found.rows.round(3).tolist()
        (0.5774, [0.144, -0.241, 0.048, 0.048])
    """
    truth, flag = np.asarray(y_true), np.asarray(y_pred).astype(bool)
    cells = [(truth == 1) & flag, (truth == 0) & flag, (truth == 1) & ~flag, (truth == 0) & ~flag]
    tp, fp, fn, tn = (float(c.sum()) for c in cells)
    if tp + fn == 0 or fp + tn == 0:
        return undefined(truth.size)
    if tp + fp == 0 or fn + tn == 0:
        return Influence(0.0, np.zeros(truth.size))
    root = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
    value = float((tp * tn - fp * fn) / root)
    flagged, positive, negative, passed = tp + fp, tp + fn, tn + fp, tn + fn
    # By each count: what it changes in the numerator, over the root, less the value times what
    # it changes in the root's logarithm, half of that of its two margins. False flags and misses
    # lower the numerator, so their sign is turned. Twice as many rows of each kind change nothing,
    # which is why all influences sum to 0.
    slopes = (
        tn / root - value / 2 * (1 / flagged + 1 / positive),
        -fn / root - value / 2 * (1 / flagged + 1 / negative),
        -fp / root - value / 2 * (1 / positive + 1 / passed),
        tp / root - value / 2 * (1 / negative + 1 / passed),
    )
    return Influence(value, np.asarray(sum(s * c for s, c in zip(slopes, cells, strict=True))))


def macro_influence(parts: Sequence[Influence], n_rows: int) -> Influence:
    """Return the mean over defined parts, as for a macro average; NaN if none is defined."""
    defined = [p for p in parts if not np.isnan(p.value)]
    if not defined:
        return undefined(n_rows)
    rows = np.mean([p.rows for p in defined], axis=0)
    return Influence(float(np.mean([p.value for p in defined])), rows)
