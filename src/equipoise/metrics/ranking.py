"""Ranking metrics per label: the whole curve, or the region where decisions are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction, to_positive
from equipoise.metrics._columns import ZeroPositive, map_columns, one_or_all, undefined_as
from equipoise.metrics.ranks import Ranks


def _each(y_true: ArrayLike, scores: ArrayLike, metric: Callable[[Ranks], float]) -> Floats:
    return np.array(
        map_columns(y_true, scores, lambda pos, rows: metric(Ranks.from_sorted(pos, rows)))
    )


def average_precision(
    y_true: ArrayLike, scores: ArrayLike, *, zero_positive: ZeroPositive = "nan"
) -> Any:
    """Return average precision per label: precision at each positive, tied scores as one group.

    Use when the job is retrieval from the top. Its baseline is the prevalence, so labels of
    different prevalence do not compare; prefer :func:`roc_auc` for that.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape, any increasing scale.
        zero_positive: "nan" says that a label without positives has no value; "zero" gives it
            0, as scikit-learn does.

    Returns:
        float, or (L,) float64. NaN for a label without positives; a label without negatives has 1.

    Example:
        >>> round(average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]), 4)
        0.8333
        >>> average_precision([0, 0], [0.9, 0.8]), average_precision(
        ...     [0, 0], [0.9, 0.8], zero_positive="zero"
        ... )
        (nan, 0.0)

    References:
        As :func:`sklearn.metrics.average_precision_score`: no interpolation, ties as one group.
    """
    values = _each(y_true, scores, lambda ranks: ranks.average_precision)
    return one_or_all(y_true, undefined_as(values, zero_positive))


def roc_auc(y_true: ArrayLike, scores: ArrayLike) -> Any:
    """Return the area under the ROC curve per label, ties counted half.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape, any increasing scale.

    Returns:
        float, or (L,) float64. NaN for a label without positives or without negatives.

    Example:
        >>> roc_auc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        0.75
    """
    return one_or_all(y_true, _each(y_true, scores, lambda ranks: ranks.roc_auc))


def best_f_beta(
    y_true: ArrayLike,
    scores: ArrayLike,
    *,
    beta: float = 1.0,
    zero_positive: ZeroPositive = "nan",
) -> Any:
    """Return the largest F-beta over all thresholds, per label; optimistic on the same rows.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape, any increasing scale.
        beta: Weight of recall against precision, > 0.
        zero_positive: "nan" or "zero", for labels without positives.

    Returns:
        float, or (L,) float64. NaN for a label without positives.

    Example:
        >>> round(best_f_beta([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]), 4)
        0.8
    """
    to_positive("beta", beta)
    values = _each(y_true, scores, lambda ranks: ranks.best_f_beta(beta)[0])
    return one_or_all(y_true, undefined_as(values, zero_positive))


def _roc_points(ranks: Ranks) -> tuple[Floats, Floats]:
    """Return false and true positive rates at every corner of the curve, from (0, 0) to (1, 1)."""
    tp, fp = ranks.tp, ranks.fp
    # Between two positives only negatives are added: the curve runs flat up to `above`.
    before = np.append(0, tp[:-1])
    x = np.stack([ranks.above, fp], axis=1).ravel()
    y = np.stack([before, tp], axis=1).ravel()
    return (
        np.concatenate([[0], x, [ranks.n_negative]]) / max(ranks.n_negative, 1),
        np.concatenate([[0], y, [ranks.n_positive]]) / max(ranks.n_positive, 1),
    )


def _undefined(ranks: Ranks) -> bool:
    return ranks.n_positive == 0 or ranks.n_negative == 0


def partial_roc_auc(y_true: ArrayLike, scores: ArrayLike, *, max_fpr: float) -> Any:
    """Return the area under the ROC curve up to ``max_fpr``, scaled so that chance has 0.5.

    Use when only few false alarms can be afforded and the rest of the curve is of no interest.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape, any increasing scale.
        max_fpr: Largest false positive rate, in (0, 1).

    Returns:
        float, or (L,) float64. NaN for a label without positives or without negatives.

    Example:
        >>> round(partial_roc_auc([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], max_fpr=0.5), 4)
        0.6667

    References:
        McClish (Medical Decision Making 1989), eq. 4, for the scale.
    """
    limit = to_fraction("max_fpr", max_fpr)

    def area(ranks: Ranks) -> float:
        if _undefined(ranks):
            return float("nan")
        x, y = _roc_points(ranks)
        inside = x <= limit
        end = float(np.interp(limit, x, y))
        whole = np.trapezoid(np.append(y[inside], end), np.append(x[inside], limit))
        least = limit * limit / 2
        return float(0.5 * (1 + (whole - least) / (limit - least)))

    return one_or_all(y_true, _each(y_true, scores, area))


def recall_at_fpr(y_true: ArrayLike, scores: ArrayLike, *, fpr: float) -> Any:
    """Return the largest recall of a cut whose false positive rate is at most ``fpr``, per label.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape, any increasing scale; tied rows are flagged together.
        fpr: False positive rate allowed, in [0, 1].

    Returns:
        float, or (L,) float64. NaN for a label without positives or without negatives.

    Example:
        >>> recall_at_fpr([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], fpr=0.0)
        0.5
    """
    limit = to_fraction("fpr", fpr, inclusive=True)

    def best(ranks: Ranks) -> float:
        if _undefined(ranks):
            return float("nan")
        allowed = ranks.fp <= limit * ranks.n_negative
        return float(ranks.positives[allowed].sum() / ranks.n_positive)

    return one_or_all(y_true, _each(y_true, scores, best))


def precision_at_top(y_true: ArrayLike, scores: ArrayLike, *, fraction: float) -> Any:
    """Return the share of positives among the highest-scored ``fraction`` of rows, per label.

    The number of rows is rounded up; tied rows at the edge count by their mean.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape, any increasing scale.
        fraction: Share of known rows that is looked at, in (0, 1].

    Returns:
        float, or (L,) float64. NaN for a label without positives.

    Example:
        >>> precision_at_top([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], fraction=0.5)
        0.5
        >>> precision_at_top([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], fraction=0.25)
        0.25
    """
    share = to_fraction("fraction", fraction, inclusive=True)

    def precision(ranks: Ranks) -> float:
        rows = int(np.ceil(share * (ranks.n_positive + ranks.n_negative) - 1e-9))
        if ranks.n_positive == 0 or rows == 0:
            return float("nan")
        before = ranks.tp - ranks.positives + ranks.above
        sizes = ranks.positives + ranks.tied
        taken = np.clip((rows - before) / sizes, 0, 1)
        return float(np.dot(taken, ranks.positives) / rows)

    return one_or_all(y_true, _each(y_true, scores, precision))
