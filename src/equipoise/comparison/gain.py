"""What a method bought over the baseline: paired gains, their two parts and the verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Estimate, Gain, Trial
from equipoise.comparison.record import SeedRecord
from equipoise.metrics import Influence, holm, pair_over_seeds
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


def what_would_settle(difference: PairedDifference, confidence_level: float, rope: float) -> str:
    """Return in words how many seeds or rows would settle an undecided verdict.

    The target is the easier of two: exclude 0 at the adjusted level, or fit into +-rope at 90 %.
    """
    if difference.n_seeds < 2:
        return "needs at least 2 seeds, better 5"
    size = abs(difference.value)
    goals = [(size, confidence_level)] + ([(rope - size, 0.90)] if size < rope else [])
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


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One method with its trials and their records, seeds in ascending order."""

    method: str
    trials: Sequence[Trial]
    seeds: Sequence[SeedRecord]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What all arms share: the primary metric, the test groups, the overlap of training sets."""

    primary: str
    rope: float
    confidence_level: float
    overlap: float
    groups: NDArray[np.int64] | None

    @property
    def alpha(self) -> float:
        """Family-wise error rate of the verdicts."""
        return 1 - self.confidence_level

    def pair(self, arm: Arm, other: Arm, metric: str) -> PairedDifference:
        """Return the paired difference of two arms."""
        return pair_over_seeds(
            [s.metrics[metric] for s in arm.seeds],
            [s.metrics[metric] for s in other.seeds],
            overlap=self.overlap,
            groups=self.groups,
        )

    def alone(self, arm: Arm, metric: str) -> PairedDifference:
        """Return one arm's own value with its uncertainty."""
        values = [s.metrics[metric] for s in arm.seeds]
        zero = [Influence(0.0, np.zeros_like(v.rows)) for v in values]
        return pair_over_seeds(values, zero, overlap=self.overlap, groups=self.groups)

    def operating_part(self, arm: Arm, other: Arm) -> PairedDifference:
        """Return the gain at the default rule less the gain at the tuned rule."""
        left = [s.metrics["default"] - s.metrics["tuned"] for s in arm.seeds]
        right = [s.metrics["default"] - s.metrics["tuned"] for s in other.seeds]
        return pair_over_seeds(left, right, overlap=self.overlap, groups=self.groups)


def gains(
    arms: Mapping[str, Arm],
    design: Design,
    baseline: str,
    tuned: str,
    references: Collection[str] = (),
) -> dict[str, Gain]:
    """Return the gain of every arm but the baseline, Holm-adjusted over the remedies.

    The baseline with tuned thresholds and the references are no hypotheses: they are not counted
    in the adjustment.
    """
    base = arms[baseline]
    others = [arm for method, arm in arms.items() if method != baseline]
    pairs = {arm.method: design.pair(arm, base, design.primary) for arm in others}
    tested = [a.method for a in others if a.method != tuned and a.method not in references]
    adjusted, levels = holm([pairs[m].p_value for m in tested], alpha=design.alpha)
    by_method = dict(zip(tested, zip(adjusted, levels, strict=True), strict=True))
    out = {}
    for arm in others:
        pair = pairs[arm.method]
        p_adjusted, alpha = by_method.get(arm.method, (pair.p_value, design.alpha))
        primary, primary_90 = pair.interval(1 - alpha), pair.interval(0.90)
        total = design.pair(arm, base, "default").interval(design.confidence_level)
        verdict = decide(primary, primary_90, total, design.rope)
        needed = ""
        if verdict == "undecided":
            needed = what_would_settle(pair, 1 - alpha, design.rope)
        out[arm.method] = Gain(
            primary=primary,
            primary_90=primary_90,
            total=total,
            ranking_part=design.pair(arm, base, "tuned").interval(design.confidence_level),
            operating_part=design.operating_part(arm, base).interval(design.confidence_level),
            per_seed=pair.per_seed,
            p_adjusted=p_adjusted,
            smallest_detectable=pair.smallest_detectable(1 - alpha),
            verdict=verdict,
            needed=needed,
        )
    return out
