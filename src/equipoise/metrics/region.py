"""Metrics of the region where decisions are made, with one influence value per row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction
from equipoise.metrics.influence import Influence, spread, undefined
from equipoise.metrics.ranks import Ranks

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
) -> dict[str, Influence]:
    """Return partial ROC AUC, recall at a false positive rate and precision at the top.

    The values are those of :func:`equipoise.metrics.partial_roc_auc`, ``recall_at_fpr`` and
    ``precision_at_top``. The influence of the partial area is its derivative. Recall and precision
    jump at their cut, so that of theirs takes the slope of the curve around the cut instead, over
    twice the standard error of its place: it allows for the cut being found on the same rows.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, influence 0).
        ranks: Of the same rows.
        cells: (N,) of :meth:`equipoise.metrics.Ranks.cells`.
        max_fpr: False positive rate of the first two, in (0, 1).
        top_fraction: Share of known rows that is looked at, in (0, 1).

    Returns:
        "partial_auroc", "recall_at_fpr", "precision_at_top"; NaN without positives or negatives.

    Example:
        >>> from equipoise.metrics import rank_positives
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
    return {
        "partial_auroc": spread(y_true, cells, *_partial(ranks, limit)),
        "recall_at_fpr": spread(y_true, cells, *_recall(ranks, limit)),
        "precision_at_top": spread(y_true, cells, *_precision(ranks, share)),
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
    flagged = np.clip((limit * neg - before) / np.maximum(sizes, 1), 0, 1)
    return recall, (found - recall) / pos, slope * (limit - flagged) / neg


def _precision(ranks: Ranks, share: float) -> tuple[float, Floats, Floats]:
    """Return precision among the top rows, and the influence of positives and of negatives."""
    n = ranks.n_positive + ranks.n_negative
    rows = int(np.ceil(share * n - 1e-9))
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
    looked[::2] = np.clip((rows - last) / np.maximum(gaps[::2], 1), 0, 1)
    looked[1::2] = taken
    moved = rows / n * (precision - local)
    return precision, (taken * (1 - local) - moved) / rows, -(looked * local + moved) / rows
