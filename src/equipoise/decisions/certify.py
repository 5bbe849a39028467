"""The laxest cut whose precision is certified: fixed-sequence tests of a lower bound."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from equipoise._core.arrays import Floats
from equipoise.metrics.sweep import Sweep


def precision_lower_bound(
    tp: NDArray[np.integer], flagged: NDArray[np.integer], *, confidence_level: float = 0.95
) -> Floats:
    """Return the one-sided lower bound of precision by Clopper and Pearson.

    Args:
        tp: True positives among the flagged rows.
        flagged: Flagged rows, >= 1.
        confidence_level: In (0, 1).

    Example:
        >>> precision_lower_bound(np.array([10]), np.array([10])).round(3).tolist()
        [0.741]
    """
    hits, n = np.asarray(tp), np.asarray(flagged)
    bound = beta.ppf(1 - confidence_level, np.maximum(hits, 1), n - hits + 1)
    return np.where(hits == 0, 0.0, bound)


def least_flagged(at_least: float, *, confidence_level: float = 0.95) -> int:
    """Return how many rows must be flagged, all of them rightly, before a precision is certified.

    Example:
        >>> least_flagged(0.9), least_flagged(0.95)
        (29, 59)
    """
    return math.ceil(math.log(1 - confidence_level) / math.log(at_least) - 1e-9)


def certified_cut(
    points: Sweep,
    at_least: float,
    *,
    confidence_level: float = 0.95,
    weights: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Return the laxest cut at which precision >= ``at_least`` is certified, inf where none is.

    The smallest threshold that looks good enough is the best of many and so too good. Here the
    cuts are tested one after another from strict to lax, each at the full level, until the first
    that fails: the chance that the answer is wrong stays below 1 - level. As a single sequence
    would end at one early false alarm, it starts anew at a few numbers of flagged rows (the least
    that can pass, doubled each time), which share the level among them.

    Args:
        points: The sweep of one label.
        at_least: The precision asked for, in (0, 1).
        confidence_level: In (0, 1).
        weights: What a positive and a negative count for, when the target prior differs.

    Example:
        >>> top = np.arange(200.0)[::-1]
        >>> points = Sweep.from_sorted(top, np.arange(200) < 100)
        >>> certified_cut(points, 0.8), certified_cut(points, 0.99)
        (87.5, inf)

    References:
        Angelopoulos et al. (Annals of Applied Statistics 2025), section 2, fixed sequences with
        several starts.
    """
    odds = at_least / (1 - at_least) * weights[1] / weights[0]
    wanted = odds / (1 + odds)
    flagged = points.tp + points.fp
    if flagged.size == 0:
        return float("inf")
    least = least_flagged(wanted, confidence_level=confidence_level)
    count = max(1, math.ceil(math.log2(max(flagged[-1] / least, 1.0) + 1e-12)) + 1)
    level = 1 - (1 - confidence_level) / count
    first = least_flagged(wanted, confidence_level=level)
    passed = precision_lower_bound(points.tp, flagged, confidence_level=level) >= wanted
    best = -1
    for start in range(count):
        index = int(np.searchsorted(flagged, first * 2**start))
        failed = np.flatnonzero(~passed[index:])
        end = index + (int(failed[0]) if failed.size else flagged.size - index) - 1
        best = max(best, end if end >= index else -1)
    return points.cut_below(best) if best >= 0 else float("inf")
