"""Confidence intervals: influence values, Boyd, half rows, Wilson, and the gap bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.messages import one_of, say
from equipoise._core.rng import generator
from equipoise.artifacts import Estimate
from equipoise.artifacts.estimate import ENOUGH, FEW, MANY
from equipoise.errors import DataError
from equipoise.metrics.influence import Influence
from equipoise.metrics.ranks import Ranks

# Entries of the largest temporary table, so that memory does not grow with the replicates.
BLOCK = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Metrics of one label in B resamples of its rows, (B,) each.

    Args:
        average_precision: NaN in a resample without positives.
        roc_auc: NaN also in a resample without negatives.
        best_f_beta: The largest F-beta over all cuts, tuned anew in each resample.
        n_undefined: Resamples without a positive.
    """

    average_precision: Floats
    roc_auc: Floats
    best_f_beta: Floats
    n_undefined: int


def gap_bootstrap(
    ranks: Ranks, *, n_resamples: int = 2000, beta: float = 1.0, seed: int = 0
) -> Replicates:
    """Draw resamples of all N rows with replacement, at a cost that knows only the positives.

    Negatives between two neighbouring positives are alike to every ranking metric, so a resample is
    one multinomial draw over positives and gaps; tied positives and negatives stay at one point.
    Use for single models on rows without groups. Prefer influence values for macro averages,
    paired differences and groups.

    Args:
        ranks: Of one label, from :func:`equipoise.metrics.rank_positives`.
        n_resamples: B.
        beta: Weight of recall against precision in F-beta, > 0.
        seed: Same seed, same resamples.

    Raises:
        DataError: a label without positives.

    Example:
        >>> from equipoise.metrics.ranks import rank_positives
        >>> rng = np.random.default_rng(0)
        >>> y = (rng.random(2000) < 0.03).astype(int)
        >>> drawn = gap_bootstrap(rank_positives(y, rng.normal(size=2000) + 1.5 * y))
        >>> round(float(np.std(drawn.average_precision)), 3), drawn.n_undefined
        (0.051, 0)
    """
    to_positive("beta", beta)
    if ranks.n_positive == 0:
        raise DataError(say("ranks", "hold a positive", "none", "Leave such labels out."))
    rng = generator(seed, "gap bootstrap")
    step = max(1, BLOCK // max(3 * ranks.score.size, 1))
    blocks = [
        _replicate(ranks, min(step, n_resamples - start), beta, rng)
        for start in range(0, n_resamples, step)
    ]
    ap, auc, best = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Replicates(ap, auc, best, int(np.isnan(ap).sum()))


def _replicate(
    ranks: Ranks, n_resamples: int, beta: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    sizes = ranks.cell_sizes
    counts = np.concatenate([ranks.positives, sizes])
    drawn = np.flatnonzero(counts)
    total = int(counts.sum())
    # Empty cells stay out: most gaps between neighbouring positives of a common label are empty.
    # One row per cell and one column per resample: sums over cells then run along memory.
    weights = np.zeros((counts.size, n_resamples))
    weights[drawn] = rng.multinomial(total, counts[drawn] / total, size=n_resamples).T
    k = ranks.positives.size
    pos, gaps, tied = weights[:k], weights[k : 3 * k : 2], weights[k + 1 : 3 * k : 2]
    tp = np.cumsum(pos, axis=0)
    fp = np.cumsum(gaps + tied, axis=0)
    n_pos = tp[-1]
    n_neg = total - n_pos
    flagged = np.maximum(tp + fp, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ap = np.einsum("kb,kb->b", pos, tp / flagged) / n_pos
        wrong = np.einsum("kb,kb->b", pos, fp) - 0.5 * np.einsum("kb,kb->b", pos, tied)
        auc = 1 - wrong / (n_pos * n_neg)
    square = beta * beta
    best = ((1 + square) * tp / (square * n_pos + flagged)).max(axis=0)
    return ap, auc, np.where(n_pos > 0, best, np.nan)


def bootstrap_interval(
    value: float,
    replicates: Floats,
    *,
    n: int,
    n_positive: int,
    confidence_level: float = 0.95,
    reason: str | None = None,
) -> Estimate:
    """Return the percentile interval of the defined replicates; says how many were not.

    Args:
        value: The metric on the rows themselves.
        replicates: (B,) the metric in each resample; NaN where it is not defined.
        n: Rows.
        n_positive: Positives among them.
        confidence_level: Nominal coverage.
        reason: A caution to go with it.

    Example:
        >>> print(bootstrap_interval(0.5, np.linspace(0.4, 0.6, 101), n=100, n_positive=60))
        0.500 [0.405, 0.595]
    """
    level = to_fraction("confidence_level", confidence_level)
    defined = replicates[~np.isnan(replicates)]
    if np.isnan(value) or not defined.size:
        return Estimate.missing(reason or "no positives", n=n, n_positive=n_positive)
    lost = replicates.size - defined.size
    if lost:
        note = f"{lost} of {replicates.size} resamples held no positive"
        reason = note if reason is None else f"{reason}; {note}"
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    bounds = min(float(low), value), max(float(high), value)
    return Estimate(value, *bounds, level, "gap bootstrap, percentile", n, n_positive, reason)


Scale = Literal["logit", "atanh", "log", "identity"]
EDGES: dict[Scale, tuple[float, float]] = {
    "logit": (0.0, 1.0),
    "atanh": (-1.0, 1.0),
    "log": (0.0, math.inf),
    "identity": (-math.inf, math.inf),
}
Way = Literal["boyd", "bootstrap", "influence"]
# Weight of the rows that half_row_interval adds on each side.
HALF = 0.5
EDGE = 1e-12
CAUTION = f"fewer than {FEW} positives: the interval is wide and rough"


def average_precision_way(n_positive: int, *, resampled: bool, grouped: bool = False) -> Way:
    """Return which interval average precision gets with so many positives.

    Boyd's below 50, the percentile one of resampled rows from 50 to 200, influence values above.

    Args:
        n_positive: Positives it rests on.
        resampled: Whether rows may be resampled; if not, influence values take over at 50.
        grouped: Whether rows belong together: influence values throughout, as the other two know
            rows only.

    Example:
        >>> [average_precision_way(n, resampled=True) for n in (49, 50, 201)]
        ['boyd', 'bootstrap', 'influence']
    """
    if grouped or n_positive > MANY:
        return "influence"
    if n_positive < ENOUGH:
        return "boyd"
    return "bootstrap" if resampled else "influence"


def _on_scale(scale: Scale, value: float, reach: float) -> tuple[float, float]:
    """Return the interval that is symmetric on the scale, by the delta method."""
    if scale == "logit":
        middle, reach = _logit(value), reach / (value * (1 - value))
        return _expit(middle - reach), _expit(middle + reach)
    if scale == "atanh":
        middle, reach = math.atanh(value), reach / (1 - value * value)
        return math.tanh(middle - reach), math.tanh(middle + reach)
    factor = math.exp(min(reach / value, 700.0))
    return value / factor, value * factor


def _quantile(level: float) -> float:
    return float(ndtri(0.5 + level / 2))


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


def _expit(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def influence_interval(
    influence: Influence,
    *,
    confidence_level: float = 0.95,
    groups: NDArray[np.int64] | None = None,
    scale: Scale = "logit",
    n_positive: int | None = None,
    reason: str | None = None,
) -> Estimate:
    """Return value and interval from influence values, on a scale that keeps bounds in range.

    Args:
        influence: A metric with its influence values.
        confidence_level: Nominal coverage.
        groups: (N,) int codes of rows that belong together, or None.
        scale: "logit" for metrics in [0, 1], "atanh" for those in [-1, 1], "log" for ratios above
            0, "identity" for differences and losses.
        n_positive: Positives it rests on.
        reason: Why the value is missing, or a caution; fewer than 10 positives bring their own.

    Returns:
        An :class:`Estimate`; without a value, and with the reason, where the metric is NaN.

    Example:
        >>> from equipoise.metrics import ratio_influence
        >>> print(influence_interval(ratio_influence([1, 1, 0, 1], [1, 1, 1, 1])))
        0.750 [0.180, 0.976]
    """
    level = to_fraction("confidence_level", confidence_level)
    one_of("scale", scale, tuple(EDGES))
    n = influence.n if groups is None else int(np.unique(groups).size)
    value = influence.value
    if math.isnan(value):
        return Estimate.missing(reason or "undefined on these rows", n=n, n_positive=n_positive)
    if reason is None and n_positive is not None and n_positive < FEW:
        reason = CAUTION
    z = _quantile(level)
    error = influence.standard_error(groups)
    at_edge = value <= EDGES[scale][0] or value >= EDGES[scale][1]
    if scale == "identity":
        low, high = value - z * error, value + z * error
    elif not at_edge:
        low, high = _on_scale(scale, value, z * error)
    elif scale == "logit":
        # At 0 or 1 influence values vanish: fall back to the exact zero-count bound.
        edge = 1 - (1 - level) ** (1 / max(min(n_positive or n, n), 1))
        low, high = (0.0, edge) if value <= 0 else (1 - edge, 1.0)
    else:
        low = high = math.nan
        reason = reason or "at the edge of its range: no interval"
    method = "influence" if groups is None else "influence, clustered"
    return Estimate(value, low, high, level, method, n, n_positive, reason)


def boyd_interval(
    value: float, n_positive: int, *, n: int, confidence_level: float = 0.95
) -> Estimate:
    """Return Boyd's logit interval for average precision from few positives.

    At 0 or 1 the value (P AP + 0.5) / (P + 1) is used for the centre.

    Args:
        value: Average precision in [0, 1].
        n_positive: Positives it rests on, P; the interval is wide below 10 and says so.
        n: Rows.
        confidence_level: Nominal coverage.

    Example:
        >>> print(boyd_interval(0.4, 20, n=1000))
        0.400 [0.214, 0.620]

    References:
        Boyd, Eng and Page (ECML 2013), section 3.2: logit interval with a binomial error.
    """
    if n_positive < 1:
        return Estimate.missing("no positives", n=n, n_positive=n_positive)
    centre = value if 0 < value < 1 else (n_positive * value + 0.5) / (n_positive + 1)
    z = _quantile(confidence_level)
    reach = z / math.sqrt(n_positive * centre * (1 - centre))
    low, high = _expit(_logit(centre) - reach), _expit(_logit(centre) + reach)
    reason = CAUTION if n_positive < FEW else None
    low, high = min(low, value), max(high, value)
    return Estimate(value, low, high, confidence_level, "boyd", n, n_positive, reason)


def half_row_interval(
    auroc: Influence, y_true: NDArray[np.integer], *, confidence_level: float = 0.95
) -> Estimate:
    """Return an interval of ROC AUC that holds for few positives, or few negatives.

    The placement of a positive is the share of negatives below it, that of a negative the share of
    positives above it; AUROC is the mean of both. Few rows show too little of their spread: five
    positives above nearly all negatives seem to say that none is ever below. So half a positive
    and half a negative of placement 1/2 are added before the variance is taken, and the interval
    is symmetric on the logit scale around the mean that results. Neither bound is nearer to the
    AUROC than it would be around the AUROC itself.

    Args:
        auroc: From :func:`equipoise.metrics.roc_auc_influence`.
        y_true: (N,) 0, 1 or -1 (unknown), the rows it was worked out on.
        confidence_level: Nominal coverage.

    Returns:
        An :class:`Estimate`; missing where the AUROC is. Fewer than 10 positives bring a caution.

    Example:
        >>> from equipoise.metrics import roc_auc_influence
        >>> y, s = np.array([1, 0, 1, 0, 0, 0]), np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
        >>> print(half_row_interval(roc_auc_influence(y, s), y))
        0.875 [0.262, 0.985]

    References:
        Placements and their variance: DeLong, DeLong and Clarke-Pearson (Biometrics 1988). Half
        rows: own; as in Agresti and Coull (1998) for a share. Coverage: docs/metrics.md.
    """
    sides = [auroc.rows[y_true == side] for side in (1, 0)]
    spread = [(side.size, float(np.square(side).sum())) for side in sides]
    return interval_of_sides(auroc.value, spread, confidence_level=confidence_level)


def interval_of_sides(
    value: float, sides: Sequence[tuple[int, float]], *, confidence_level: float = 0.95
) -> Estimate:
    """Return :func:`half_row_interval` from rows and squared influences of positives, negatives."""
    level = to_fraction("confidence_level", confidence_level)
    n_pos, n_neg = (size for size, _ in sides)
    n = n_pos + n_neg
    if math.isnan(value):
        return Estimate.missing("undefined on these rows", n=n, n_positive=n_pos)
    centre = value
    for size, _ in sides:
        centre = (size * centre + HALF / 2) / (size + HALF)
    error = 0.0
    for size, squares in sides:
        around = (centre - value) ** 2 * size + HALF * (0.5 - centre) ** 2
        spread = squares * size**2 + around
        error += spread / (size + HALF) / (size + HALF - 1)
    reach = _quantile(level) * math.sqrt(error) / (centre * (1 - centre))
    around_value = min(max(value, EDGE), 1 - EDGE)
    bounds = [_expit(_logit(middle) + sign * reach)
              for middle in (centre, around_value) for sign in (-1, 1)]  # fmt: skip
    low, high = min(*bounds, value), max(*bounds, value)
    # An edge that is reached may be the truth.
    low, high = (low, 1.0) if value >= 1 - EDGE else (0.0 if value <= EDGE else low, high)
    reason = CAUTION if n_pos < FEW else None
    return Estimate(value, low, high, level, "half rows", n, n_pos, reason)


def share_interval(
    share: Influence,
    n: int,
    *,
    confidence_level: float = 0.95,
    n_positive: int | None = None,
    reason: str | None = None,
) -> Estimate:
    """Return Wilson's interval of a share whose cut was found on the same rows.

    The influence values give the number of independent rows that would have the same variance; it
    takes the place of ``n`` where it is smaller.

    Args:
        share: A value in [0, 1] with its influence values.
        n: Rows that the share is a share of.
        confidence_level: Nominal coverage.
        n_positive: Positives, noted in the estimate; fewer than 10 bring a caution.
        reason: Why the value is missing.

    Example:
        >>> from equipoise.metrics import ratio_influence
        >>> print(share_interval(ratio_influence([1, 1, 0, 1], [1, 1, 1, 1]), 4))
        0.750 [0.301, 0.954]
    """
    level, value = to_fraction("confidence_level", confidence_level), share.value
    if math.isnan(value):
        why = reason or "undefined on these rows"
        return Estimate.missing(why, n=n, n_positive=n_positive)
    variance = share.squares
    noise, rows = value * (1 - value), float(n)
    if noise > 0 and variance > 0:  # at 0 and 1 influence values tell nothing
        rows = min(max(noise / variance, 1.0), rows)
    low, high = _wilson(value, rows, level)
    if n_positive is not None and n_positive < FEW:
        reason = CAUTION
    return Estimate(value, low, high, level, "wilson, effective n", n, n_positive, reason)


def _wilson(share: float, n: float, level: float) -> tuple[float, float]:
    z = _quantile(level)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return min(max(0.0, centre - reach), share), max(min(1.0, centre + reach), share)


def wilson_interval(
    successes: int, n: int, *, confidence_level: float = 0.95, n_positive: int | None = None
) -> Estimate:
    """Return a share with Wilson's score interval.

    Args:
        successes: Rows that have it.
        n: Rows; 0 gives a missing estimate.
        confidence_level: Nominal coverage.
        n_positive: Positives, noted in the estimate.

    Example:
        >>> print(wilson_interval(4, 8))
        0.500 [0.215, 0.785]

    References:
        Wilson (JASA 1927); Brown, Cai and DasGupta (2001), eq. 4.
    """
    if n == 0:
        return Estimate.missing("no rows to count", n_positive=n_positive)
    share = successes / n
    low, high = _wilson(share, n, confidence_level)
    return Estimate(share, low, high, confidence_level, "wilson", n, n_positive)
