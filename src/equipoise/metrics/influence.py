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
from equipoise._core.checks import to_fraction
from equipoise.metrics.ranks import Ranks, rank_positives


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """A metric's value and the influence of each row; NaN value where undefined.

    Args:
        value: The metric.
        rows: (N,) float64, its derivative by the weight of each row; they sum to 0. Of
            weighted rows it is multiplied by the weight.

    Example:
        >>> share = ratio_influence([1, 0, 0, 1], [1, 1, 1, 1])
        >>> share.value, share.rows.tolist(), round(share.standard_error(), 4)
        (0.5, [0.125, -0.125, -0.125, 0.125], 0.2887)
    """

    value: float
    rows: Floats

    def __sub__(self, other: Influence) -> Influence:
        return Influence(self.value - other.value, self.rows - other.rows)

    @property
    def n(self) -> int:
        """N, rows that it rests on."""
        return self.rows.size

    @property
    def squares(self) -> float:
        """Sum of the squared influences of all rows."""
        return float(np.square(self.rows).sum())

    def standard_error(self, groups: NDArray[np.int64] | None = None) -> float:
        """Return the standard error; rows of one group, by int code (N,), are summed first."""
        if groups is None:
            n, total = self.n, self.squares
        else:
            sums = np.bincount(groups, weights=self.rows)
            n, total = int(np.unique(groups).size), float(np.square(sums).sum())
        # n - 1 as in a sample variance: that of a mean comes out as usual.
        return float(np.sqrt(total * n / max(n - 1, 1)))


@dataclass(frozen=True, slots=True, eq=False)
class CellInfluence(Influence):
    """An influence that nearly all rows share: what that is, and how the others differ from it.

    Args:
        value: The metric.
        rows: (M,) what the rows at ``at`` have beyond ``base``.
        at: (M,) positions of rows, each once.
        base: The influence of every other row.
        count: N.
        total: Sum of the squared influences of all rows.
    """

    at: NDArray[np.int64]
    base: float
    count: int
    total: float

    @property
    def n(self) -> int:
        """N, rows that it rests on."""
        return self.count

    @property
    def squares(self) -> float:
        """Sum of the squared influences of all rows."""
        return self.total


def undefined(n: int) -> Influence:
    """Return NaN with no influence of the n rows."""
    return Influence(float("nan"), np.zeros(n))


def _weighed(value: float, rows: Floats, weight: Floats | None) -> Influence:
    """Return a metric with the influence of rows that count by their weights."""
    return Influence(value, rows if weight is None else rows * weight)


def _ranked(y_true: ArrayLike, scores: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], Ranks]:
    y_true, values = np.asarray(y_true), np.asarray(scores, dtype=np.float64)
    return y_true, values, rank_positives(y_true, values)


def spread(
    y_true: NDArray[Any],
    cells: NDArray[np.int64],
    value: float,
    positive: Floats,
    negative: Floats,
    weight: Floats | None = None,
) -> Influence:
    """Return a metric with the influence of each row, from that of the cells it can lie in.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        cells: (N,) of :meth:`equipoise.metrics.ranks.Ranks.cells`.
        value: The metric.
        positive: (K,) of a positive at each score.
        negative: (2K + 1,) of a negative in each cell.
        weight: (N,) by which rows are counted, or None.
    """
    rows = negative[cells]
    hit = np.flatnonzero(y_true == 1)
    # A positive always lies at a score, in an odd cell: 2k + 1 at the k-th one.
    rows[hit] = positive[cells[hit] // 2]
    if y_true.min(initial=0) < 0:
        rows[y_true < 0] = 0.0
    return _weighed(value, rows, weight)


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
    y_true, values, ranks = _ranked(y_true, scores)
    return ranking_influences(y_true, ranks, ranks.cells(values))[0]


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
    y_true, values, ranks = _ranked(y_true, scores)
    return ranking_influences(y_true, ranks, ranks.cells(values))[1]


def ranking_influences(
    y_true: NDArray[Any],
    ranks: Ranks,
    cells: NDArray[np.int64],
    weight: Floats | None = None,
) -> tuple[Influence, Influence]:
    """Return average precision and ROC AUC with their influence values, from one ranking.

    Rows between the same two positives share one value, so it is worked out once per cell.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        ranks: Of the same rows.
        cells: (N,) of :meth:`equipoise.metrics.ranks.Ranks.cells`.
        weight: (N,) by which the ranks count rows, or None.
    """
    ap, auroc = ranking_cells(ranks)
    nothing = undefined(y_true.size)
    return (
        nothing if ap is None else spread(y_true, cells, *ap, weight),
        nothing if auroc is None else spread(y_true, cells, *auroc, weight),
    )


# A metric, and the influence of positives at each score, (K,), and of negatives, one per cell.
ByCell = tuple[float, Floats, Floats]


def ranking_cells(ranks: Ranks) -> tuple[ByCell | None, ByCell | None]:
    """Return average precision and ROC AUC by cell; None where they are not defined."""
    pos, neg = ranks.n_positive, ranks.n_negative
    if pos == 0:
        return None, None
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
    ap = value, own, other
    if neg == 0:
        return ap, None
    # The area is the mean placement of positives (share of negatives below) and of negatives (share
    # of positives above), ties half; a row's influence is what its placement exceeds the mean by,
    # over the rows of its side. So the influence of either side sums to 0 by itself.
    own = ((neg - ranks.above - 0.5 * ranks.tied) / neg - area) / pos
    above = np.repeat(np.append(0, tp), 2)[:-1].astype(np.float64)
    # Odd cells are at a score: its positives are tied with the negatives there.
    above[1::2] += 0.5 * ranks.positives
    other = (above / pos - area) / neg
    return ap, (area, own, other)


def ratio_influence(above: ArrayLike, below: ArrayLike, weight: Floats | None = None) -> Influence:
    """Return sum(above) / sum(below) with its influence values (a - value b) / sum(b).

    Precision, recall, F-beta, accuracy and mean losses are all of this form.

    Args:
        above: (N,) what each row adds to the numerator.
        below: (N,) what each row adds to the denominator.
        weight: (N,) by which rows are counted, or None.

    Example:
        >>> share = ratio_influence([1, 0, 0], [1, 1, 1], np.array([2.0, 1.0, 1.0]))
        >>> share.value, share.rows.tolist()
        (0.5, [0.25, -0.125, -0.125])
    """
    a, b = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    if weight is not None:
        a, b = a * weight, b * weight
    total = float(b.sum())
    if total == 0:
        return undefined(a.size)
    value = float(a.sum()) / total
    return Influence(value, (a - value * b) / total)


def balanced_accuracy_influence(
    y_true: NDArray[np.int64],
    y_pred: NDArray[np.int64],
    num_classes: int,
    weight: Floats | None = None,
) -> Influence:
    """Return the mean recall over classes with rows, with its influence values.

    Args:
        y_true: (N,) classes in [0, C).
        y_pred: (N,) classes in [0, C).
        num_classes: C.
        weight: (N,) by which rows are counted, or None.
    """
    hit = y_true == y_pred
    each = [ratio_influence(hit & (y_true == c), y_true == c, weight) for c in range(num_classes)]
    return macro_influence(each, y_true.size)


def matthews_influence(
    y_true: ArrayLike, y_pred: ArrayLike, weight: Floats | None = None
) -> Influence:
    """Return Matthews' correlation of one label with its influence values.

    NaN without positives or without negatives; 0 where all rows, or none, are flagged.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        y_pred: (N,) flags.
        weight: (N,) by which rows are counted, or None.

    Example:
        >>> found = matthews_influence([1, 1, 0, 0], [1, 0, 0, 0])
        >>> round(found.value, 4), found.rows.round(3).tolist()
        (0.5774, [0.144, -0.241, 0.048, 0.048])
    """
    y_true, flag = np.asarray(y_true), np.asarray(y_pred).astype(bool)
    cells = [
        (y_true == 1) & flag,
        (y_true == 0) & flag,
        (y_true == 1) & ~flag,
        (y_true == 0) & ~flag,
    ]
    found = matthews_slopes(*(float((c if weight is None else c * weight).sum()) for c in cells))
    if found is None:
        return undefined(y_true.size)
    value, slopes = found
    rows = np.asarray(sum(s * c for s, c in zip(slopes, cells, strict=True)))
    return _weighed(value, rows, weight)


def matthews_slopes(
    tp: float, fp: float, fn: float, tn: float
) -> tuple[float, tuple[float, float, float, float]] | None:
    """Return Matthews' correlation and its derivative by each count; None where it is undefined."""
    if tp + fn == 0 or fp + tn == 0:
        return None
    if tp + fp == 0 or fn + tn == 0:
        return 0.0, (0.0, 0.0, 0.0, 0.0)
    root = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
    value = float((tp * tn - fp * fn) / root)
    flagged, positive, negative, passed = tp + fp, tp + fn, tn + fp, tn + fn
    # By each count: what it changes in the numerator, over the root, less the value times what
    # it changes in the root's logarithm, half of that of its two margins. False flags and misses
    # lower the numerator, so their sign is turned. Twice as many rows of each kind change nothing,
    # which is why all influences sum to 0.
    return value, (
        tn / root - value / 2 * (1 / flagged + 1 / positive),
        -fn / root - value / 2 * (1 / flagged + 1 / negative),
        -fp / root - value / 2 * (1 / positive + 1 / passed),
        tp / root - value / 2 * (1 / negative + 1 / passed),
    )


def macro_influence(parts: Sequence[Influence], n_rows: int) -> Influence:
    """Return the mean over defined parts, as for a macro average; NaN if none is defined."""
    defined = [p for p in parts if not np.isnan(p.value)]
    if not defined:
        return undefined(n_rows)
    rows = np.mean([p.rows for p in defined], axis=0)
    return Influence(float(np.mean([p.value for p in defined])), rows)


def mean_over_folds(
    folds: Sequence[tuple[NDArray[np.int64], Influence]],
    positive: NDArray[np.bool_],
    groups: NDArray[np.int64] | None = None,
) -> Influence:
    """Return the mean over folds of a metric of one label, with its influence values.

    The influences of the P positives of a fold scatter around their own mean, so that the squares
    of what they differ by fall short by (P - 1) / P, as in a variance without Bessel's correction:
    at three positives per fold the standard error would be up to a fifth too small. With one
    scatter of positives in all folds the squares are worth sum(1 / P_k) / sum((P_k - 1) / P_k^2)
    times as much; where no fold has two positives, they are compared over folds. One fold alone
    stays as it is.

    Args:
        folds: Of each fold where the metric is defined, the places of its rows and the influence.
        positive: (N,) which rows are positives.
        groups: (N,) int codes of rows that belong together, which count as one; or None.

    Example:
        >>> y = np.array([1, 0, 1, 0, 1, 1, 0, 0])
        >>> s = np.array([0.9, 0.8, 0.7, 0.1, 0.6, 0.2, 0.4, 0.3])
        >>> places = np.arange(4), np.arange(4, 8)
        >>> folds = [(at, average_precision_influence(y[at], s[at])) for at in places]
        >>> found = mean_over_folds(folds, y == 1)
        >>> round(found.value, 4), round(found.standard_error(), 4)
        (0.7917, 0.1885)
    """
    rows = np.zeros(positive.size)
    if not folds:
        return undefined(positive.size)
    value = float(np.mean([found.value for _, found in folds]))
    for at, found in folds:
        rows[at] = found.rows / len(folds)
    if len(folds) == 1:
        return Influence(value, rows)
    held = [at[positive[at]] for at, _ in folds]
    count = np.array([at.size if groups is None else np.unique(groups[at]).size for at in held])
    within = float(((count - 1) / count**2).sum())
    for at, (_, found) in zip(held, folds, strict=True):
        if within > 0:
            middle = rows[at].mean()
            rows[at] = middle + np.sqrt((1 / count).sum() / within) * (rows[at] - middle)
        else:
            more = (found.value - value) / (at.size * len(folds))
            rows[at] += np.sqrt(len(folds) / (len(folds) - 1)) * more
    return Influence(value, rows)


# A slope at a cut is taken over this many standard errors of where the cut falls ...
REACH = 2.0
# ... and over no less than this share of its distance from the top.
LEAST = 0.5


def region_influences(
    y_true: NDArray[Any],
    ranks: Ranks,
    cells: NDArray[np.int64],
    *,
    max_fpr: float,
    top_fraction: float,
    weight: Floats | None = None,
) -> dict[str, Influence]:
    """Return partial ROC AUC, recall at a false positive rate and precision at the top.

    The values are those of :func:`equipoise.metrics.partial_roc_auc`, ``recall_at_fpr`` and
    ``precision_at_top``. The influence of the partial area is its derivative. Recall and precision
    jump at their cut, so that of theirs takes the slope of the curve around the cut instead, over
    twice the standard error of its place: it allows for the cut being found on the same rows.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        ranks: Of the same rows.
        cells: (N,) of :meth:`equipoise.metrics.ranks.Ranks.cells`.
        max_fpr: False positive rate of the first two, in (0, 1).
        top_fraction: Share of known rows that is looked at, in (0, 1).
        weight: (N,) by which the ranks count rows, or None.

    Returns:
        "partial_auroc", "recall_at_fpr", "precision_at_top"; NaN without positives or negatives.

    Example:
        >>> from equipoise.metrics.ranks import rank_positives
        >>> y, s = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
        >>> ranks = rank_positives(y, s)
        >>> found = region_influences(y, ranks, ranks.cells(s), max_fpr=0.8, top_fraction=0.5)
        >>> {name: round(part.value, 3) for name, part in found.items()}
        {'partial_auroc': 0.74, 'recall_at_fpr': 1.0, 'precision_at_top': 0.5}
        >>> found["partial_auroc"].rows.round(3).tolist()
        [0.13, -0.13, -0.13, 0.13]
    """
    limit = to_fraction("max_fpr", max_fpr)
    share = to_fraction("top_fraction", top_fraction)
    if ranks.n_positive == 0 or ranks.n_negative == 0:
        names = ("partial_auroc", "recall_at_fpr", "precision_at_top")
        return dict.fromkeys(names, undefined(y_true.size))
    found = region_cells(ranks, limit, share)
    return {name: spread(y_true, cells, *each, weight) for name, each in found.items()}


def region_cells(ranks: Ranks, limit: float, share: float) -> dict[str, ByCell]:
    """Return the metrics of :func:`region_influences` by cell, of a label with both sides."""
    return {
        "partial_auroc": _partial(ranks, limit),
        "recall_at_fpr": _recall(ranks, limit),
        "precision_at_top": _precision(ranks, share),
    }


def _from_here(values: Floats) -> Floats:
    """Return the sums of each entry and all after it, and 0 for those after the last."""
    return np.append(np.cumsum(values[::-1])[::-1], 0.0)


def _partial(ranks: Ranks, limit: float) -> tuple[float, Floats, Floats]:
    """Return the scaled area, and the influence of positives (K,) and of negatives per cell.

    A positive adds g, what is left of [0, limit] beyond its false positive rate x; tied with
    negatives it lies on a slope from x0 to x1, of which the share t is inside. dg/dx0 and dg/dx1
    are -(t - t^2/2) and -t^2/2.
    """
    pos, neg = ranks.n_positive, ranks.n_negative
    start, end = ranks.above / neg, ranks.fp / neg
    wide = end - start
    inside = np.clip((limit - start) / np.where(wide > 0, wide, 1.0), 0, 1)
    inside = np.where(wide > 0, inside, limit > start)
    own = wide * inside**2 / 2 + np.maximum(limit - end, 0)
    area = float((ranks.positives * own).sum() / pos)
    late = ranks.positives * inside**2 / 2
    early = ranks.positives * inside - late
    mean = (early * start + late * end).sum()
    after_early, after_late = _from_here(early), _from_here(late)
    moved = np.empty(2 * ranks.score.size + 1)
    moved[::2] = after_early + after_late
    moved[1::2] = after_early[1:] + after_late[:-1]
    least = limit * limit / 2
    scale = 0.5 / (limit - least)
    other = (mean - moved) / pos / neg
    return 0.5 + scale * (area - least), scale * (own - area) / pos, scale * other


def _recall(ranks: Ranks, limit: float) -> tuple[float, Floats, Floats]:
    """Return recall at the cut, and the influence of positives (K,) and of negatives per cell."""
    pos, neg = ranks.n_positive, ranks.n_negative
    found = ranks.fp <= limit * neg
    recall = float(ranks.positives[found].sum() / pos)
    reach = max(REACH * np.sqrt(limit * (1 - limit) / neg), LEAST * min(limit, 1 - limit))
    low, high = max(limit - reach, 0.0), min(limit + reach, 1.0)
    place = (ranks.above + 0.5 * ranks.tied) / neg
    slope = ranks.positives[(place >= low) & (place <= high)].sum() / pos / (high - low)
    sizes = ranks.cell_sizes
    before = np.cumsum(sizes) - sizes
    flagged = np.clip((limit * neg - before) / np.where(sizes > 0, sizes, 1), 0, 1)
    own, other = (found - recall) / pos, slope * (limit - flagged) / neg
    return recall, np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)


def _precision(ranks: Ranks, share: float) -> tuple[float, Floats, Floats]:
    """Return precision among the top rows, and the influence of positives and of negatives."""
    n = ranks.n_positive + ranks.n_negative
    # Whole rows are looked at; weights can be cut anywhere.
    rows = share * n if ranks.tied.dtype.kind == "f" else int(np.ceil(share * n - 1e-9))
    first, sizes = ranks.tp - ranks.positives + ranks.above, ranks.positives + ranks.tied

    def positives(upto: float) -> float:
        return float(np.dot(np.clip((upto - first) / sizes, 0, 1), ranks.positives))

    precision = positives(rows) / rows
    reach = max(REACH * np.sqrt(n * share * (1 - share)), LEAST * min(rows, n - rows), 1.0)
    low, high = max(rows - reach, 0.0), min(rows + reach, float(n))
    local = (positives(high) - positives(low)) / (high - low)
    taken = np.clip((rows - first) / sizes, 0, 1)
    gaps, looked = ranks.cell_sizes, np.empty(2 * ranks.score.size + 1)
    last = np.append(0, first + sizes)
    looked[::2] = np.clip((rows - last) / np.where(gaps[::2] > 0, gaps[::2], 1), 0, 1)
    looked[1::2] = taken
    moved = rows / n * (precision - local)
    own, other = taken * (1 - local) - moved, -(looked * local + moved)
    return precision, np.asarray(own / rows), np.asarray(other / rows)
