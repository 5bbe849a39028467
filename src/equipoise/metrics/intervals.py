"""Confidence intervals: influence values, Boyd's logit interval for few positives, Wilson."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from equipoise._core.checks import one_of, to_fraction
from equipoise.artifacts import Estimate
from equipoise.metrics.influence import Influence

__all__ = ["Scale", "boyd_interval", "influence_interval", "wilson_interval"]

Scale = Literal["logit", "atanh", "log", "identity"]
EDGES: dict[Scale, tuple[float, float]] = {
    "logit": (0.0, 1.0),
    "atanh": (-1.0, 1.0),
    "log": (0.0, math.inf),
    "identity": (-math.inf, math.inf),
}
FEW = 10
ENOUGH = 50
CAUTION = f"fewer than {FEW} positives: the interval is wide and rough"


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
    n = influence.rows.size if groups is None else int(np.unique(groups).size)
    value = influence.value
    if math.isnan(value):
        return Estimate.missing(reason or "undefined on these rows", n=n, n_positive=n_positive)
    if reason is None and n_positive is not None and n_positive < FEW:
        reason = CAUTION
    z = float(norm.ppf(0.5 + level / 2))
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
    z = float(norm.ppf(0.5 + confidence_level / 2))
    reach = z / math.sqrt(n_positive * centre * (1 - centre))
    low, high = _expit(_logit(centre) - reach), _expit(_logit(centre) + reach)
    reason = CAUTION if n_positive < FEW else None
    low, high = min(low, value), max(high, value)
    return Estimate(value, low, high, confidence_level, "boyd", n, n_positive, reason)


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
    z = float(norm.ppf(0.5 + confidence_level / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    low, high = min(low, share), max(high, share)
    return Estimate(share, low, high, confidence_level, "wilson", n, n_positive)
