"""Paired differences over seeds and rows, and Holm's step-down adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm, t as student

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.artifacts import Estimate
from equipoise.errors import DataError
from equipoise.metrics.influence import Influence


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A difference of two methods with the sources of its uncertainty.

    Args:
        value: Mean over seeds.
        per_seed: The difference of each seed.
        seed_variance: Variance of ``per_seed`` (ddof 1), perhaps moderated; NaN with one seed.
        row_error: Standard error over rows of the seed-averaged difference.
        n_rows: Rows or groups that were tested.
        row_df: Degrees of freedom of ``row_error``: about how many rows carry it.
        seed_df: Degrees of freedom of ``seed_variance`` where it was moderated, else None.
        pool_error: Standard error over training pools, 0 where they are not in question.
    """

    value: float
    per_seed: tuple[float, ...]
    seed_variance: float
    row_error: float
    n_rows: int
    row_df: float = math.inf
    seed_df: float | None = None
    pool_error: float = 0.0

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(self.per_seed)

    @property
    def standard_error(self) -> float:
        """All sources joined: sqrt(s^2 / S + SE_rows^2 + SE_pool^2)."""
        return self.error_with(self.n_seeds)

    def error_with(self, n_seeds: int) -> float:
        """Return the standard error that ``n_seeds`` seeds would have."""
        rest = self.row_error**2 + self.pool_error**2
        return math.sqrt(self.seed_variance / n_seeds + rest)

    @property
    def df(self) -> float:
        """Degrees of freedom of the standard error, after Satterthwaite.

        How much of it comes from seeds is uncertain itself: where their variance is not moderated,
        its upper bound weighs here, and here alone.
        """
        return self.df_with(self.n_seeds)

    def df_with(self, n_seeds: int) -> float:
        """Return the degrees of freedom that ``n_seeds`` seeds would have."""
        if n_seeds < 2 or math.isnan(self.seed_variance):
            return math.nan
        more = n_seeds - self.n_seeds
        seed_df = (self.n_seeds - 1 if self.seed_df is None else self.seed_df) + more
        more_weight = caution(seed_df) if self.seed_df is None else 1.0
        parts = [
            (more_weight * self.seed_variance / n_seeds, seed_df),
            (self.row_error**2, self.row_df),
            (self.pool_error**2, _POOL_DF),
        ]
        return float(degrees_of_freedom(*parts))

    def _quantile(self, tail: float) -> float:
        # Beyond 1e6 degrees of freedom the t distribution is slow and no longer differs.
        return float(student.isf(tail, min(self.df, 1e6)))

    def interval(self, confidence_level: float) -> Estimate:
        """Return the difference with its t interval."""
        if math.isnan(self.value):
            return Estimate.missing("not defined for every method and seed", n=self.n_rows)
        if self.n_seeds < 2:
            return Estimate(self.value, n=self.n_rows, reason="one seed only: no interval")
        error = self.standard_error
        reach = self._quantile((1 - confidence_level) / 2) * error if error > 0 else 0.0
        return Estimate(
            self.value,
            self.value - reach,
            self.value + reach,
            confidence_level,
            "paired over seeds and rows",
            self.n_rows,
        )

    def interval_within(self, confidence_level: float, low: float, high: float) -> Estimate:
        """Return the value with an interval that stays within the metric's range.

        The t interval on the logit of the place between ``low`` and ``high`` (or, with ``high``
        inf, on the log of the distance from ``low``), by the delta method. At an end of the range,
        where that scale has none, the plain interval is cut off there.

        Example:
            >>> near_one = PairedDifference(0.88, (0.82, 0.85, 0.97), 0.0063, 0.02, 100)
            >>> print(near_one.interval(0.95), near_one.interval_within(0.95, 0, 1))
            0.880 [0.669, 1.091] 0.880 [0.498, 0.982]
        """
        plain = self.interval(confidence_level)
        if math.isnan(plain.low) or plain.low == plain.high:
            return plain
        reach, value = plain.high - self.value, self.value
        if not low < value < high:
            return replace(plain, low=max(plain.low, low), high=min(plain.high, high))
        if math.isinf(high):
            factor = math.exp(min(reach / (value - low), 700.0))
            return replace(
                plain, low=low + (value - low) / factor, high=low + (value - low) * factor
            )
        share = (value - low) / (high - low)
        centre, spread = math.log(share / (1 - share)), reach / ((high - low) * share * (1 - share))
        ends = (1 / (1 + math.exp(min(max(-z, -700.0), 700.0))) for z in
                (centre - spread, centre + spread))  # fmt: skip
        bounds = [low + (high - low) * end for end in ends]
        return replace(plain, low=bounds[0], high=bounds[1])

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference."""
        if self.n_seeds < 2 or math.isnan(self.value):
            return math.nan
        error = self.standard_error
        if error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * student.sf(abs(self.value) / error, min(self.df, 1e6)))

    def smallest_detectable(self, confidence_level: float = 0.95, power: float = 0.8) -> float:
        """Return the difference that this design finds with the given power."""
        if self.n_seeds < 2 or math.isnan(self.value):
            return math.nan
        reach = self._quantile((1 - confidence_level) / 2) + float(norm.ppf(power))
        return reach * self.standard_error

    def seeds_for(self, reach: float, confidence_level: float) -> int | None:
        """Return how many seeds bring the half-width to ``reach``; None if rows limit it."""
        if self.n_seeds < 2 or math.isnan(self.seed_variance):
            return None
        tail = (1 - confidence_level) / 2
        n_seeds = np.arange(self.n_seeds, 1001)
        errors = np.array([self.error_with(int(n)) for n in n_seeds])
        df = np.array([min(self.df_with(int(n)), 1e6) for n in n_seeds])
        enough = student.isf(tail, df) * errors <= reach
        return int(n_seeds[enough.argmax()]) if enough.any() else None

    def row_factor_for(self, reach: float, confidence_level: float) -> float:
        """Return by what factor more rows, in training and test, bring the half-width down."""
        now = self._quantile((1 - confidence_level) / 2) * self.standard_error
        return (now / reach) ** 2 if reach > 0 else math.inf


_POOL_DF = 9.0


def degrees_of_freedom(*parts: tuple[ArrayLike, ArrayLike]) -> Floats:
    """Return the degrees of freedom of a sum of estimated variances.

    Args:
        parts: Each a squared error, >= 0, and its degrees of freedom.

    Example:
        >>> float(degrees_of_freedom((1.0, 4), (1.0, 100)).round(2))
        15.38

    References:
        Satterthwaite (Biometrics Bulletin 1946), equation (17).
    """
    squared = [np.asarray(part, dtype=np.float64) for part, _ in parts]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [a**2 / np.asarray(df) for a, (_, df) in zip(squared, parts, strict=True)]
        below = np.asarray(sum(terms))
        return np.where(below > 0, np.asarray(sum(squared)) ** 2 / below, np.inf)


def caution(df: float) -> float:
    """Return by what factor a variance may lie above its estimate: df / chi^2 quantile.

    At 90 %, and at 95 % below four degrees of freedom, where twenty remedies would else be praised
    or blamed too often.

    Example:
        >>> round(caution(4), 2), round(caution(19), 2)
        (3.76, 1.63)
    """
    return float(df / chi2.ppf(0.1 if df >= 4 else 0.05, df))


def pair_over_seeds(
    treated: Sequence[Influence],
    baseline: Sequence[Influence],
    *,
    groups: NDArray[np.int64] | None = None,
    crossed: bool = False,
) -> PairedDifference:
    """Join the paired differences of several seeds on the same rows.

    Args:
        treated: One metric with influence values per seed, all on the same rows.
        baseline: The same for the baseline, same seeds in the same order.
        groups: (N,) int codes of rows that belong together, or None.
        crossed: Whether every row was tested by a model that did not train on it, anew in each
            seed (cross-fitting): the rows are then also what was trained on.

    Raises:
        DataError: different numbers of seeds, or none.

    Example:
        >>> from equipoise.metrics import ratio_influence
        >>> ones = [1.0, 1.0, 1.0, 1.0]
        >>> better = [ratio_influence([1, 1, 1, 0], ones), ratio_influence([1, 1, 1, 1], ones)]
        >>> worse = [ratio_influence([1, 0, 1, 0], ones), ratio_influence([0, 1, 1, 1], ones)]
        >>> pair_over_seeds(better, worse).value
        0.25
    """
    if not treated or len(treated) != len(baseline):
        got = f"{len(treated)} and {len(baseline)}"
        do = "Train both methods with the same seeds."
        raise DataError(say("treated and baseline", "hold one value per seed each", got, do))
    values = np.array([a.value - b.value for a, b in zip(treated, baseline, strict=True)])
    summed, squares = np.zeros(treated[0].n), 0.0
    for one, other in zip(treated, baseline, strict=True):
        rows = one.rows - other.rows
        summed += rows
        if crossed:
            squares += Influence(0.0, rows).standard_error(groups) ** 2
    mean = Influence(float(values.mean()), summed / values.size)
    row_variance = mean.standard_error(groups) ** 2
    if crossed and values.size > 1:
        row_variance = _crossed(row_variance, squares / values.size, values.size)
    return PairedDifference(
        mean.value,
        tuple(float(v) for v in values),
        float(values.var(ddof=1)) if values.size > 1 else math.nan,
        math.sqrt(row_variance),
        mean.rows.size if groups is None else int(np.unique(groups).size),
        _carrying(mean.rows, groups),
    )


def _crossed(joint: float, single: float, n_seeds: int) -> float:
    """Return the squared error over rows where they are also what was trained on.

    ``joint`` is that of influences averaged over seeds, ``single`` the mean of each seed's own.
    What would be left with endless seeds counts twice, since the rows that test a model move the
    models that test the others; measured, and checked on cases that were not used to find it.
    """
    endless = max((n_seeds * joint - single) / (n_seeds - 1), joint / 4)
    return max(joint, 2 * endless)


def _carrying(rows: NDArray[np.float64], groups: NDArray[np.int64] | None) -> float:
    """Return about how many rows or groups carry a squared error; of a rare label, its positives.

    (Sum of squares)^2 over the sum of fourth powers.
    """
    sums = rows if groups is None else np.bincount(groups, weights=rows)
    squares = np.square(sums)
    fourth = float(np.square(squares).sum())
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else math.inf


def holm(p_values: ArrayLike, *, alpha: ArrayLike = 0.05) -> tuple[Floats, Floats]:
    """Return Holm-adjusted p-values and the level at which each interval is read.

    The k-th smallest of m p-values is read at alpha / (m - k + 1); after the first that is not
    significant, all later ones are read at its level. NaN is left out.

    Args:
        p_values: (..., m), one per hypothesis, in [0, 1] or NaN.
        alpha: Family-wise error rate.

    Example:
        >>> adjusted, levels = holm([0.04, 0.01, 0.5])
        >>> adjusted.round(4).tolist(), levels.round(4).tolist()
        ([0.08, 0.03, 0.5], [0.025, 0.0167, 0.025])

    References:
        Holm (Scandinavian Journal of Statistics 1979), section 2.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size == 0:
        return p, p.copy()
    number = (~np.isnan(p)).sum(axis=-1, keepdims=True)
    order = np.argsort(p, axis=-1, kind="stable")  # NaN last
    ranked = np.take_along_axis(p, order, axis=-1)
    place = np.broadcast_to(np.arange(p.shape[-1]), p.shape)
    left = np.maximum(number - place, 1)
    share = np.asarray(alpha, dtype=np.float64) / left
    with np.errstate(invalid="ignore"):
        missed = ~(ranked <= share)
    first = np.where(missed.any(axis=-1, keepdims=True),
                     missed.argmax(axis=-1)[..., None], p.shape[-1] - 1)  # fmt: skip
    share = np.where(place > first, np.take_along_axis(share, first, axis=-1), share)
    running = np.fmax.accumulate(np.minimum(ranked * left, 1.0), axis=-1)
    adjusted, levels = np.empty_like(p), np.empty_like(p)
    np.put_along_axis(adjusted, order, np.where(np.isnan(ranked), np.nan, running), axis=-1)
    whole = np.where(np.isnan(ranked), np.broadcast_to(alpha, p.shape), share)
    np.put_along_axis(levels, order, whole, axis=-1)
    return adjusted, levels
