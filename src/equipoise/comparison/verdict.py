"""From differences and their errors to verdicts: levels, looks, moderated spreads, the decision.

Every function here works on arrays with one entry per remedy along the last axis, so that one
comparison and a simulation of thousands go the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import digamma, ndtr, polygamma
from scipy.stats import norm, t as student

from equipoise._core.arrays import Bools, Floats
from equipoise.metrics import holm

VERDICTS = (
    "ranking gain",
    "threshold only",
    "no effect",
    "harmful",
    "not worth it",
    "undecided",
)
LOOKS = (5, 8, 13, 20)
"""Seeds after which a study that stops by itself looks at its arms; the last is the maximum."""
_MOST_PRIOR = 8.0  # degrees of freedom that other remedies may lend


# --- spreads ----------------------------------------------------------------------------------


def moderate(variances: ArrayLike, df: ArrayLike) -> tuple[Floats, Floats]:
    """Shrink each remedy's variance over seeds towards that of the others.

    With d degrees of freedom ln s^2 has mean ln sigma^2 + digamma(d/2) - ln(d/2) and variance
    trigamma(d/2); what the variances differ by beyond that says how much they may lend each other.

    Args:
        variances: (..., K) variance over seeds; 0 or NaN is left as it is and lends nothing.
        df: (..., K) or (), degrees of freedom of each.

    Returns:
        Moderated variances and their degrees of freedom, at most 8 more than before.

    Example:
        >>> found, df = moderate([1.0, 1.2, 0.8, 4.0], 4)
        >>> found.round(2).tolist(), float(df[0])
        ([1.56, 1.62, 1.49, 2.56], 12.0)

    References:
        Smyth (Statistical Applications in Genetics and Molecular Biology 2004), section 6.
    """
    s2 = np.asarray(variances, dtype=np.float64)
    d = np.broadcast_to(np.asarray(df, dtype=np.float64), s2.shape)
    usable = (s2 > 0) & (d > 0)
    number = usable.sum(axis=-1, keepdims=True)
    safe, half = np.where(usable, s2, 1.0), np.where(usable, d, 2.0) / 2
    e = np.log(safe) - digamma(half) + np.log(half)

    def mean(values: Floats) -> Floats:
        total = np.where(usable, values, 0.0).sum(axis=-1, keepdims=True)
        return np.asarray(total / np.maximum(number, 1))

    centre = mean(e)
    spread = mean((e - centre) ** 2) * number / np.maximum(number - 1, 1)
    beyond = spread - mean(polygamma(1, half))
    prior = np.where(beyond > 0, 2 * _inverse_trigamma(np.maximum(beyond, 1e-8)), np.inf)
    shift = np.where(
        np.isfinite(prior),
        digamma(np.minimum(prior, 1e8) / 2) - np.log(np.minimum(prior, 1e8) / 2),
        0.0,
    )
    common = np.exp(centre + shift)
    # One variance has nobody to lend to it, and few say little of how much they differ.
    lent = np.where(number > 1, np.minimum(prior, _MOST_PRIOR), 0.0)
    joined = (lent * common + d * s2) / np.maximum(lent + d, 1e-300)
    return np.where(usable, joined, s2), np.where(usable, d + lent, d)


def _inverse_trigamma(y: Floats) -> Floats:
    """Return x > 0 with trigamma(x) = y, by Newton's method on 1 / trigamma."""
    x = 0.5 + 1 / y
    for _ in range(50):
        value = polygamma(1, x)
        step = value * (1 - value / y) / polygamma(2, x)
        x = x + step
        if np.all(np.abs(step) <= 1e-10 * x):
            break
    return np.asarray(x)


# --- looks ------------------------------------------------------------------------------------


def _brien_fleming(time: float, alpha: float) -> float:
    return float(2 * norm.sf(norm.isf(alpha / 2) / math.sqrt(time)))


@lru_cache(maxsize=512)
def nominal_levels(times: tuple[float, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """Return at which one-sided level each look is read so that all spend what is allowed.

    Exact for a mean whose increments are independent; rows that all looks share make looks more
    alike, and the error smaller.

    Args:
        times: Share of the seeds at each look, rising, in (0, 1].
        spent: Error that may have been made up to each look, rising.

    Example:
        >>> [round(v, 4) for v in nominal_levels((0.5, 1.0), (0.025, 0.05))]
        [0.025, 0.0354]

    References:
        Lan and DeMets (Biometrika 1983); Armitage, McPherson and Rowe (1969) for the recursion.
    """
    levels: list[float] = []
    before, last = 0.0, 0.0
    grid = density = None
    for time, total in zip(times, spent, strict=True):
        step, more = math.sqrt(time - last), max(total - before, 0.0)
        if grid is None or density is None:
            bound = norm.isf(more) * step
            density_at = None
        else:
            at, weight = grid, density

            def crossed(b: float, at: Floats = at, weight: Floats = weight, step: float = step,
                        more: float = more) -> float:  # fmt: skip
                return float(weight @ ndtr((at - b) / step)) - more

            top = 12 * math.sqrt(time)
            bound = brentq(crossed, -top, top) if crossed(top) < 0 < crossed(-top) else top
            density_at = at, weight
        levels.append(float(norm.sf(bound / math.sqrt(time))))
        low = -9 * math.sqrt(time)
        grid = np.linspace(low, max(bound, low + 1e-9), 601)
        gap = float(grid[1] - grid[0])
        if density_at is None:
            values = _bell(grid / step) / step
        else:
            at, weight = density_at
            values = (_bell((grid[:, None] - at[None]) / step) @ weight) / step
        rule = np.ones(grid.size)  # Simpson's
        rule[1:-1:2], rule[2:-1:2] = 4, 2
        density = values * rule * gap / 3
        before, last = max(total, before), time
    return tuple(levels)


def _bell(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi))


@dataclass(frozen=True, slots=True)
class Levels:
    """At which levels one look reads its differences.

    Args:
        gain: One-sided, for differences above 0, over all remedies together.
        harm: One-sided, for differences below 0, over all remedies together.
        bound: One-sided, for bounds against the region of practical equivalence, per remedy.
        steps_down: Whether gain and harm are adjusted by stepping down (one look), or each remedy
            has its share (several looks).
        remedies: How many share where none steps down.
    """

    gain: float
    harm: float
    bound: float
    steps_down: bool = True
    remedies: int = 1

    @classmethod
    def one_look(cls, alpha: float, bound: float) -> Levels:
        """Return the levels of a study with one look: two-sided alpha, one-sided bounds."""
        return cls(alpha / 2, alpha / 2, bound)


def levels_of(n_seeds: int, looks: Sequence[int] | None, remedies: int, alpha: float) -> Levels:
    """Return the levels at which a study is read after so many seeds.

    Args:
        n_seeds: Seeds of the arms that are looked at.
        looks: Where the study looks, the last its maximum; None where seeds were fixed.
        remedies: How many are tested, settled ones included.
        alpha: Error rate of all gains and harms together, and of each bound.

    Example:
        >>> levels_of(5, None, 8, 0.05)
        Levels(gain=0.025, harm=0.025, bound=0.05, steps_down=True, remedies=1)
        >>> found = [levels_of(s, LOOKS, 1, 0.05) for s in LOOKS]
        >>> [round(v.bound, 4) for v in found]
        [0.0165, 0.0133, 0.0187, 0.0259]
        >>> [round(v.gain, 4) for v in found], [round(v.harm, 4) for v in found]
        ([0.0, 0.0004, 0.0053, 0.0233], [0.0062, 0.0058, 0.0091, 0.0138])
    """
    if looks is None:
        return Levels.one_look(alpha, alpha)
    most = looks[-1]
    # A stop by time lies between two looks: what may have been spent there depends on the seeds
    # alone, so the rate holds wherever it falls.
    seen = sorted({s for s in looks if s < n_seeds} | {n_seeds})
    times = tuple(s / most for s in seen)
    number = max(remedies, 1)
    each = alpha / 2 / number
    # Praise waits, as one gain is what a study is for; what does harm, or no good, is let go soon.
    gains = nominal_levels(times, tuple(_brien_fleming(t, each) for t in times))
    harms = nominal_levels(times, tuple(each * t for t in times))
    bounds = nominal_levels(times, tuple(alpha * t**0.8 for t in times))
    return Levels(gains[-1] * number, harms[-1] * number, bounds[-1], False, number)


# --- the decision -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """What differences are taken for, (..., K) each.

    Args:
        gain: Above 0, all remedies counted.
        harm: Below 0, all remedies counted.
        below: Below the upper end of the region: a worthwhile gain is excluded, per remedy.
        above: Above its lower end: a worthwhile loss is excluded, per remedy.
        p_adjusted: Two-sided p-value of no difference, adjusted over the remedies.
        level: Two-sided level of each remedy's adjusted interval.
    """

    gain: Bools
    harm: Bools
    below: Bools
    above: Bools
    p_adjusted: Floats
    level: Floats

    @property
    def equal(self) -> Bools:
        """Inside the region, per remedy."""
        return self.below & self.above


def judge(value: ArrayLike, error: ArrayLike, df: ArrayLike, levels: Levels, rope: float) -> Judged:
    """Read differences at their levels.

    Args:
        value: (..., K) differences; NaN decides nothing.
        error: (..., K) standard errors, >= 0.
        df: (..., K) degrees of freedom.
        levels: Of the look.
        rope: Half-width of the region of practical equivalence.

    Example:
        >>> found = judge([0.03, 0.0, -0.02], 0.004, 30, Levels.one_look(0.05, 0.05), 0.01)
        >>> found.gain.tolist(), found.equal.tolist(), found.harm.tolist()
        ([True, False, False], [False, True, False], [False, False, True])
    """
    v, se, d = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (value, error, df)))
    known = ~(np.isnan(v) | np.isnan(se) | np.isnan(d))
    p_zero = np.where(known, 2 * _tail(np.abs(v), se, d), np.nan)
    with np.errstate(invalid="ignore"):
        p_adjusted, level = _adjusted(v, p_zero, levels)
        found = known & (p_zero <= level)
        below = known & (_tail(rope - v, se, d) <= levels.bound)
        above = known & (_tail(v + rope, se, d) <= levels.bound)
        return Judged(found & (v > 0), found & (v < 0), below, above, p_adjusted, level)


def _tail(distance: Floats, error: Floats, df: Floats) -> Floats:
    """Return the one-sided p-value of a distance; without error, whether there is one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = distance / error
    sure = np.where(distance > 0, 0.0, np.where(distance == 0, 0.5, 1.0))
    # Beyond 1e6 degrees of freedom the t distribution is slow and no longer differs.
    return np.where(error > 0, student.sf(ratio, np.minimum(df, 1e6)), sure)


def _adjusted(value: Floats, p: Floats, levels: Levels) -> tuple[Floats, Floats]:
    """Return adjusted two-sided p-values, and the level at which each interval is read."""
    if levels.steps_down:
        return holm(p, alpha=levels.gain + levels.harm)
    side = 2 * np.where(value < 0, levels.harm, levels.gain) / levels.remedies
    return np.minimum(p * levels.remedies, 1.0), side


def words(judged: Judged, lifted: ArrayLike) -> NDArray[np.str_]:
    """Return the verdict of each difference, by the first rule that applies.

    1. Inside the region: "threshold only" if decisions at the default rule improved, else
       "no effect".
    2. Above 0, adjusted over all remedies: "ranking gain"; below 0: "harmful".
    3. Below the upper end of the region: "not worth it".
    4. Otherwise "undecided".

    Args:
        judged: Of :func:`judge`.
        lifted: (..., K) whether the metric at the default rule is above the baseline's.
    """
    free = np.where(np.asarray(lifted, dtype=bool), "threshold only", "no effect")
    rest = np.where(judged.below, "not worth it", "undecided")
    clear = np.where(judged.gain, "ranking gain", np.where(judged.harm, "harmful", rest))
    return np.where(judged.equal, free, clear)


# --- the price of a recommendation ------------------------------------------------------------


def regret_bound(value: ArrayLike, error: ArrayLike, df: ArrayLike, alpha: float) -> float:
    """Return by how much the best other arm may still beat the one that is recommended.

    The largest upper bound of the others' differences from it, all at once: whichever of them is
    the best, its own bound holds with probability 1 - alpha, so one-sided bounds at alpha / m do
    for m others; at least 0.

    Args:
        value: (m,) what each other arm has beyond the recommended one.
        error: (m,) standard errors.
        df: (m,) degrees of freedom.
        alpha: Error rate.

    Returns:
        The bound; NaN where an error is not known, 0 where there is no other arm.

    Example:
        >>> round(regret_bound([-0.01, 0.002], [0.004, 0.004], [30, 30], 0.05), 4)
        0.0102

    References:
        Hsu (Annals of Statistics 1984), theorem 1: constrained simultaneous bounds on the
        difference from the best.
    """
    v = np.asarray(value, dtype=np.float64)
    if v.size == 0:
        return 0.0
    reach = student.isf(alpha / v.size, np.minimum(np.asarray(df, dtype=np.float64), 1e6))
    se = np.asarray(error, dtype=np.float64)
    upper = np.where(se == 0, v, v + reach * se)
    return math.nan if np.isnan(upper).any() else max(0.0, float(upper.max()))
