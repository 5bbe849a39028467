"""The verdict on a remedy: what it bought, or why that is undecided."""

from __future__ import annotations

import math

from equipoise.artifacts import Estimate
from equipoise.metrics.paired import PairedDifference

VERDICTS = ("ranking gain", "threshold only", "no effect", "harmful", "undecided")


def decide(primary: Estimate, primary_90: Estimate, default_gain: Estimate, rope: float) -> str:
    """Return the verdict, by the first rule that applies.

    1. The 90 % interval lies inside +-rope: "threshold only" if the default-rule gain is above
       0, else "no effect".
    2. The Holm-adjusted interval lies above 0: "ranking gain"; below 0: "harmful".
    3. Otherwise "undecided".

    Example:
        >>> def at(v, low, high):
        ...     return Estimate(v, low, high)
        >>> decide(at(0.03, 0.01, 0.05), at(0.03, 0.015, 0.045), at(0.1, 0.05, 0.15), rope=0.01)
        'ranking gain'
        >>> decide(at(0, -0.005, 0.005), at(0, -0.004, 0.004), at(0.1, 0.05, 0.15), rope=0.01)
        'threshold only'
    """
    if -rope <= primary_90.low and primary_90.high <= rope:
        return "threshold only" if default_gain.low > 0 else "no effect"
    if primary.low > 0:
        return "ranking gain"
    if primary.high < 0:
        return "harmful"
    return "undecided"


def what_would_settle(difference: PairedDifference, level: float, rope: float) -> str:
    """Return in words how many seeds or rows would settle an undecided verdict.

    The target is the easier of two: exclude 0 at the adjusted level, or fit into +-rope at 90 %.
    """
    if difference.n_seeds < 2:
        return "needs at least 2 seeds, better 5"
    size = abs(difference.value)
    goals = [(size, level)] + ([(rope - size, 0.90)] if size < rope else [])
    reachable = [(r, lv) for r, lv in goals if r > 0]
    seeds = [difference.seeds_for(reach, lv) for reach, lv in reachable]
    found = [s for s in seeds if s is not None and s <= 50]
    factor = min(
        (difference.row_factor_for(reach, lv) for reach, lv in reachable), default=math.inf
    )
    if found and min(found) > difference.n_seeds:
        return f"needs about {min(found)} seeds, if the difference stays as it is"
    if math.isfinite(factor) and factor > 1:
        return f"needs about {factor:.2g} times the rows, if the difference stays as it is"
    return "needs more seeds or rows"
