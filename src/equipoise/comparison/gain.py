"""What methods bought over the baseline: paired gains, their two parts, verdicts, the price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import counted
from equipoise.artifacts import Estimate, Gain, Trial
from equipoise.artifacts.estimate import FEW
from equipoise.comparison.record import SeedRecord
from equipoise.comparison.verdict import (
    Levels,
    judge,
    levels_of,
    moderate,
    regret_bound,
    words,
)
from equipoise.metrics import Influence, pair_over_seeds
from equipoise.metrics.paired import PairedDifference

QUESTIONS = {
    "these data": "on these data",
    "new sample": "on a new sample like these",
    "crossed": "expected gain at this sample size",
}


_DISTINCT = 0.63
_FAR_MORE = 50.0


def what_would_settle(difference: PairedDifference, levels: Levels, level: float,
                      rope: float) -> str:  # fmt: skip
    """Return in words how many seeds or rows would settle an undecided verdict.

    The target is the easier of two: exclude 0 at the adjusted level, or bring the bound of a
    remedy below the upper end of the region.
    """
    if difference.n_seeds < 2:
        return "needs at least 2 seeds, better 5"
    value = difference.value
    goals = [(abs(value), 1 - level), (rope - value, 1 - 2 * levels.bound)]
    reachable = [(reach, confidence) for reach, confidence in goals if reach > 0]
    seeds = [difference.seeds_for(reach, confidence) for reach, confidence in reachable]
    found = [s for s in seeds if s is not None and s <= 50]
    factor = min(
        (difference.row_factor_for(reach, confidence) for reach, confidence in reachable),
        default=math.inf,
    )
    if found and min(found) > difference.n_seeds:
        return f"needs about {counted(min(found), 'seed')}, if the difference stays as it is"
    if _FAR_MORE < factor < math.inf:
        return "needs far more seeds or rows"
    if math.isfinite(factor) and factor > 1:
        return f"needs about {factor:.2g} times the rows, if the difference stays as it is"
    return "needs more seeds or rows"


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One method with the trials of each seed (one, or one per fold) and their records."""

    method: str
    trials: Sequence[Sequence[Trial]]
    seeds: Sequence[SeedRecord]

    def first(self, n_seeds: int) -> Arm:
        """Return the arm with its first seeds alone."""
        return Arm(self.method, self.trials[:n_seeds], self.seeds[:n_seeds])


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What all arms share.

    Args:
        primary: The metric that the verdict rests on.
        rope: Half-width of the region of practical equivalence.
        confidence_level: Of the intervals; 1 less it is the error rate of the verdicts.
        groups: (N,) int codes of tested rows that belong together, or None.
        crossed: Whether every row is tested, by cross-fitting.
        looks: Where a study that stops by itself looks, or None.
        tested: Positives that are tested; of classes, rows that are not of the largest.
        per_fold: Positives of the rarest label that is tested, per fold; of classes, rows.
        pools: Method -> the records of trainings on other samples of the training rows, sample by
            sample, where it was asked about those; else empty.
    """

    primary: str
    rope: float
    confidence_level: float
    groups: NDArray[np.int64] | None
    crossed: bool = False
    looks: tuple[int, ...] | None = None
    tested: int = FEW
    per_fold: float = math.inf
    pools: Mapping[str, Sequence[Sequence[SeedRecord]]] = field(default_factory=dict)

    @property
    def alpha(self) -> float:
        """Family-wise error rate of the verdicts."""
        return 1 - self.confidence_level

    def _joined(self, one: Sequence[Influence], other: Sequence[Influence]) -> PairedDifference:
        return pair_over_seeds(one, other, groups=self.groups, crossed=self.crossed)

    def pair(self, arm: Arm, other: Arm, metric: str) -> PairedDifference:
        """Return the paired difference of two arms, over the seeds that both have."""
        both = min(len(arm.seeds), len(other.seeds))
        values = ([s.metrics[metric] for s in a.seeds[:both]] for a in (arm, other))
        return replace(self._joined(*values), pool_error=self._pool_error(arm, other, metric))

    def _pool_error(self, arm: Arm, other: Arm, metric: str) -> float:
        """Return the standard error over training samples; 0 where it was not asked for.

        The variance between samples beyond that within them, of which .63 counts: samples with
        replacement hold so many distinct rows, and differ by more than fresh ones do.
        """
        one, two = (self.pools.get(self._model(a.method)) for a in (arm, other))
        if not one or not two or arm.seeds is other.seeds:
            return 0.0
        gaps = np.array(
            [
                [a.metrics[metric].value - b.metrics[metric].value for a, b in zip(*p, strict=True)]
                for p in zip(one, two, strict=True)
            ]
        )
        runs = gaps.shape[1]
        between = runs * float(gaps.mean(axis=1).var(ddof=1))
        within = float(gaps.var(axis=1, ddof=1).mean())
        return math.sqrt(_DISTINCT * max(0.0, (between - within) / runs))

    @staticmethod
    def _model(method: str) -> str:
        return method.removesuffix(" + thresholds")

    def alone(self, arm: Arm, metric: str) -> PairedDifference:
        """Return one arm's own value with its uncertainty."""
        values = [s.metrics[metric] for s in arm.seeds]
        return self._joined(values, [Influence(0.0, np.zeros_like(v.rows)) for v in values])

    def operating_part(self, arm: Arm, other: Arm) -> PairedDifference:
        """Return the gain at the default rule less the gain at the tuned rule."""
        both = min(len(arm.seeds), len(other.seeds))
        sides = ([s.metrics["default"] - s.metrics["tuned"] for s in a.seeds[:both]]
                 for a in (arm, other))  # fmt: skip
        return self._joined(*sides)

    def moderated(self, pairs: Mapping[str, PairedDifference]) -> dict[str, PairedDifference]:
        """Return differences whose variance over seeds is shrunk towards that of all of them.

        With one look it is not: the levels of early looks are strict, and what is lent is then
        known well enough; a level of 0.05 divided among remedies is not, as simulation shows.
        """
        if self.looks is None or not pairs:
            return dict(pairs)
        variances, df = moderate(
            # As they were seen: those of settled arms were moderated at their own look.
            [
                float(np.var(p.per_seed, ddof=1)) if p.n_seeds > 1 else math.nan
                for p in pairs.values()
            ],
            [max(p.n_seeds - 1, 0) for p in pairs.values()],
        )
        return {
            method: replace(pair, seed_variance=float(s2), seed_df=float(d))
            for (method, pair), s2, d in zip(pairs.items(), variances, df, strict=True)
        }


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """One arm at the look that its verdict is of.

    Args:
        pair: Its primary difference, moderated.
        levels: At which it is read; None before the first look, where nothing is decided.
        level: Two-sided level of its adjusted interval.
        p_adjusted: Of no difference.
        verdict: In words.
        loss_excluded: Whether a worthwhile loss is excluded.
    """

    pair: PairedDifference
    levels: Levels | None
    level: float
    p_adjusted: float
    verdict: str
    loss_excluded: bool


@dataclass(frozen=True, slots=True, eq=False)
class Race:
    """Where a comparison stands.

    Args:
        verdicts: Method -> what is said of it.
        open: Methods that more seeds may settle, in order.
        wanted: Seeds that the open ones need for the next look; 0 where there is none.
    """

    verdicts: Mapping[str, Settled]
    open: tuple[str, ...] = ()
    wanted: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The arms that are judged against one baseline.

    Args:
        baseline: The untreated model.
        tuned: The same model with tuned thresholds.
        remedies: What is tested; they share the error rate.
        references: What stands beside them, each by itself.
    """

    baseline: Arm
    tuned: Arm
    remedies: Sequence[Arm]
    references: Sequence[Arm] = ()

    @property
    def others(self) -> list[Arm]:
        """Every arm but the baseline."""
        return [self.tuned, *self.remedies, *self.references]


def race(arms: Field, design: Design) -> Race:
    """Judge all arms, look by look where the study stops by itself.

    An arm that a look settles keeps its seeds and its verdict; the others go on. What is said at a
    look depends on the seeds up to it alone, so an interrupted study comes to the same. The free
    threshold is no arm of its own: it has all seeds of the baseline.
    """
    if design.looks is None:
        return Race(_look(arms, design, {}, None))
    names = [arm.method for arm in arms.others]
    raced = [*arms.remedies, *arms.references]
    settled = _family([arms.tuned], arms.baseline, design, {}, None)
    for look in design.looks:
        waiting = [arm for arm in raced if arm.method not in settled]
        there = min([len(arms.baseline.seeds), *(len(arm.seeds) for arm in waiting)])
        seeds = min(look, there)
        found = _look(arms, design, settled, seeds) if seeds else settled
        if seeds < look:
            # With a handful of tested positives no number of seeds says more.
            open_ = tuple(arm.method for arm in waiting) if design.tested >= FEW else ()
            return Race(_ordered(found, names), open_, look)
        last = look == design.looks[-1]
        settled |= {m: v for m, v in found.items() if last or _is_settled(v)}
        if len(settled) == len(names):
            break
    return Race(_ordered(settled, names))


def _ordered(found: Mapping[str, Settled], names: Sequence[str]) -> dict[str, Settled]:
    return {name: found[name] for name in names if name in found}


def _is_settled(found: Settled) -> bool:
    return found.levels is not None and found.verdict != "undecided"


def _look(
    arms: Field, design: Design, settled: Mapping[str, Settled], n_seeds: int | None
) -> dict[str, Settled]:
    """Return what is said of every arm after so many seeds; settled ones as they were."""
    found = dict(settled)
    # References and the free threshold are no hypotheses: each is read by itself.
    alone = [[arm] for arm in (arms.tuned, *arms.references)]
    for family in (list(arms.remedies), *alone):
        found |= _family(family, arms.baseline, design, settled, n_seeds)
    return found


def _family(
    family: Sequence[Arm],
    baseline: Arm,
    design: Design,
    settled: Mapping[str, Settled],
    n_seeds: int | None,
) -> dict[str, Settled]:
    """Return what is said of arms that share an error rate, those that are settled left out."""
    base = baseline if n_seeds is None else baseline.first(n_seeds)
    waiting = [a if n_seeds is None else a.first(n_seeds) for a in family
               if a.method not in settled]  # fmt: skip
    if not waiting:
        return {}
    pairs = {a.method: design.pair(a, base, design.primary) for a in waiting}
    lent = {a.method: settled[a.method].pair for a in family if a.method in settled}
    moderated = design.moderated({**lent, **pairs})
    return _read({m: moderated[m] for m in pairs}, waiting, base, design, len(family))


def _read(
    pairs: Mapping[str, PairedDifference],
    arms: Sequence[Arm],
    base: Arm,
    design: Design,
    remedies: int,
) -> dict[str, Settled]:
    n_seeds = min(pair.n_seeds for pair in pairs.values())
    early = design.looks is not None and n_seeds < design.looks[0]
    # A handful of positives may all lie where nothing can be told: their spread is no evidence.
    early |= design.tested < FEW
    levels = levels_of(n_seeds, None if early else design.looks, remedies, design.alpha)
    values = [pair.value for pair in pairs.values()]
    errors = [pair.standard_error for pair in pairs.values()]
    judged = judge(values, errors, [pair.df for pair in pairs.values()], levels, design.rope)
    lifted = [
        design.pair(arm, base, "default").interval(design.confidence_level).low > 0 for arm in arms
    ]
    said = words(judged, lifted)
    return {
        method: Settled(
            pair,
            None if early else levels,
            float(judged.level[i]),
            math.nan if early else float(judged.p_adjusted[i]),
            "undecided" if early else str(said[i]),
            not early and bool(judged.above[i]),
        )
        for i, (method, pair) in enumerate(pairs.items())
    }


def gains(arms: Field, design: Design, found: Race) -> dict[str, Gain]:
    """Return the gain of every arm but the baseline, with its verdict."""
    base, out = arms.baseline, {}
    for arm in arms.others:
        said = found.verdicts[arm.method]
        pair = said.pair
        own = arm.first(pair.n_seeds)
        bound = design.alpha if said.levels is None else said.levels.bound
        undecided = said.verdict == "undecided"
        out[arm.method] = Gain(
            primary=_possible(pair, 1 - said.level),
            bounds=_possible(pair, 1 - 2 * bound),
            total=_possible(design.pair(own, base, "default"), design.confidence_level),
            ranking_part=_possible(design.pair(own, base, "tuned"), design.confidence_level),
            operating_part=_possible(design.operating_part(own, base), design.confidence_level),
            per_seed=pair.per_seed,
            p_adjusted=said.p_adjusted,
            smallest_detectable=min(pair.smallest_detectable(1 - said.level), 1.0),
            verdict=said.verdict,
            loss_excluded=said.loss_excluded,
            needed=_needed(said, design) if undecided else "",
        )
    return out


def _possible(pair: PairedDifference, confidence_level: float) -> Estimate:
    """Return a difference of two shares with its interval, within what there can be."""
    found = pair.interval(confidence_level)
    if math.isnan(found.low):
        return found
    return replace(found, low=max(found.low, -1.0), high=min(found.high, 1.0))


def _needed(said: Settled, design: Design) -> str:
    if design.tested < FEW:
        return f"{design.tested} tested positives tell nothing: test every row, or collect more"
    if said.levels is None and design.looks is not None:
        first = design.looks[0]
        return f"the first look is after {counted(first, 'seed')}, {said.pair.n_seeds} are there"
    levels = said.levels or Levels.one_look(design.alpha, design.alpha)
    return what_would_settle(said.pair, levels, said.level, design.rope)


def price(pick: Arm, rivals: Sequence[Arm], design: Design) -> tuple[float, str]:
    """Return the regret bound of a recommendation, and the rival that sets it.

    Args:
        pick: What is recommended.
        rivals: The other models that could have been.
        design: Of the comparison.
    """
    pairs = {arm.method: design.pair(arm, pick, design.primary) for arm in rivals}
    pairs = design.moderated(pairs)
    fewest = min((pair.n_seeds for pair in pairs.values()), default=2)
    if fewest < 2 or design.tested < FEW:
        return math.nan, ""
    levels = levels_of(fewest, design.looks, len(pairs), design.alpha)
    each = {
        method: regret_bound([pair.value], [pair.standard_error], [pair.df],
                             levels.bound / len(pairs))
        for method, pair in pairs.items()
    }  # fmt: skip
    if not each or any(math.isnan(v) for v in each.values()):
        return (math.nan, "") if each else (0.0, "")
    rival = max(each, key=lambda method: each[method])
    # No arm is beaten by more than what it lacks to 1.
    room = 1.0 - design.alone(pick, design.primary).value
    return min(each[rival], room), rival if each[rival] > 0 else ""
