"""What a method bought over the baseline: paired gains, their two parts and the verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Gain, Trial
from equipoise.comparison.record import SeedRecord
from equipoise.comparison.verdict import decide, what_would_settle
from equipoise.metrics import Influence, holm, pair_over_seeds
from equipoise.metrics.paired import PairedDifference


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
    level: float
    overlap: float
    groups: NDArray[np.int64] | None

    @property
    def alpha(self) -> float:
        """Family-wise error rate of the verdicts."""
        return 1 - self.level

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
        total = design.pair(arm, base, "default").interval(design.level)
        verdict = decide(primary, primary_90, total, design.rope)
        needed = ""
        if verdict == "undecided":
            needed = what_would_settle(pair, 1 - alpha, design.rope)
        out[arm.method] = Gain(
            primary=primary,
            primary_90=primary_90,
            total=total,
            ranking_part=design.pair(arm, base, "tuned").interval(design.level),
            operating_part=design.operating_part(arm, base).interval(design.level),
            per_seed=pair.per_seed,
            p_adjusted=p_adjusted,
            smallest_detectable=pair.smallest_detectable(1 - alpha),
            verdict=verdict,
            needed=needed,
        )
    return out
