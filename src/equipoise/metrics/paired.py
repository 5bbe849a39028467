"""Paired differences over seeds and test rows, and Holm's step-down adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t as student

from equipoise._core.messages import say
from equipoise.artifacts import Estimate
from equipoise.errors import DataError
from equipoise.metrics.influence import Influence


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A difference of two methods with the two sources of its uncertainty.

    Args:
        value: Mean over seeds.
        per_seed: The difference of each seed.
        seed_variance: Variance of ``per_seed`` (ddof 1); NaN with one seed.
        overlap: n_val / n_train, the correction for training sets that overlap between seeds.
        row_error: Standard error over test rows of the seed-averaged difference.
        n_rows: Test rows or groups.
    """

    value: float
    per_seed: tuple[float, ...]
    seed_variance: float
    overlap: float
    row_error: float
    n_rows: int

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(self.per_seed)

    @property
    def standard_error(self) -> float:
        """Both sources joined: sqrt(s^2 (1/S + n_val/n_train) + SE_rows^2)."""
        return self.error_with(self.n_seeds)

    def error_with(self, n_seeds: int) -> float:
        """Return the standard error that ``n_seeds`` seeds would have."""
        spread = self.seed_variance * (1 / n_seeds + self.overlap)
        return math.sqrt(spread + self.row_error**2)

    def _quantile(self, tail: float) -> float:
        return float(student.ppf(1 - tail, self.n_seeds - 1))

    def interval(self, confidence_level: float) -> Estimate:
        """Return the difference with its t interval, S - 1 degrees of freedom."""
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
            >>> near_one = PairedDifference(0.88, (0.82, 0.85, 0.97), 0.0063, 0.0, 0.02, 100)
            >>> print(near_one.interval(0.95), near_one.interval_within(0.95, 0, 1))
            0.880 [0.665, 1.095] 0.880 [0.489, 0.983]
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
        return float(2 * student.sf(abs(self.value) / error, self.n_seeds - 1))

    def smallest_detectable(self, confidence_level: float = 0.95, power: float = 0.8) -> float:
        """Return the difference that this design finds with the given power."""
        if self.n_seeds < 2 or math.isnan(self.value):
            return math.nan
        reach = self._quantile((1 - confidence_level) / 2) + float(norm.ppf(power))
        return reach * self.standard_error

    def seeds_for(self, reach: float, confidence_level: float) -> int | None:
        """Return how many seeds bring the half-width to ``reach``; None if rows limit it."""
        n_seeds = np.arange(max(self.n_seeds, 2), 1001)
        errors = np.array([self.error_with(int(n)) for n in n_seeds])
        enough = student.ppf(1 - (1 - confidence_level) / 2, n_seeds - 1) * errors <= reach
        return int(n_seeds[enough.argmax()]) if enough.any() else None

    def row_factor_for(self, reach: float, confidence_level: float) -> float:
        """Return by what factor more rows, in training and test, bring the half-width down."""
        now = self._quantile((1 - confidence_level) / 2) * self.standard_error
        return (now / reach) ** 2 if reach > 0 else math.inf


def pair_over_seeds(
    treated: Sequence[Influence],
    baseline: Sequence[Influence],
    *,
    overlap: float = 0.0,
    groups: NDArray[np.int64] | None = None,
) -> PairedDifference:
    """Join the paired differences of several seeds on the same test rows.

    Args:
        treated: One metric with influence values per seed, all on the same test rows.
        baseline: The same for the baseline, same seeds in the same order.
        overlap: n_val / n_train of the redrawn partition.
        groups: (N,) int codes of test rows that belong together, or None.

    Raises:
        DataError: different numbers of seeds, or none.

    Example:
        >>> from equipoise.metrics import ratio_influence
        >>> ones = [1.0, 1.0, 1.0, 1.0]
        >>> better = [ratio_influence([1, 1, 1, 0], ones), ratio_influence([1, 1, 1, 1], ones)]
        >>> worse = [ratio_influence([1, 0, 1, 0], ones), ratio_influence([0, 1, 1, 1], ones)]
        >>> pair_over_seeds(better, worse).value
        0.25

    References:
        Nadeau and Bengio (Machine Learning 2003), section 3, for the overlap term.
    """
    if not treated or len(treated) != len(baseline):
        got = f"{len(treated)} and {len(baseline)}"
        do = "Train both methods with the same seeds."
        raise DataError(say("treated and baseline", "hold one value per seed each", got, do))
    differences = [a - b for a, b in zip(treated, baseline, strict=True)]
    values = np.array([d.value for d in differences])
    mean = Influence(float(values.mean()), np.mean([d.rows for d in differences], axis=0))
    variance = float(values.var(ddof=1)) if values.size > 1 else math.nan
    n_rows = mean.rows.size if groups is None else int(np.unique(groups).size)
    return PairedDifference(
        mean.value,
        tuple(float(v) for v in values),
        variance,
        overlap,
        mean.standard_error(groups),
        n_rows,
    )


def holm(p_values: Sequence[float], *, alpha: float = 0.05) -> tuple[list[float], list[float]]:
    """Return Holm-adjusted p-values and the level at which each interval is read.

    The k-th smallest of m p-values is read at alpha / (m - k + 1); after the first that is not
    significant, all later ones are read at its level. NaN is left out.

    Args:
        p_values: One per hypothesis, in [0, 1] or NaN.
        alpha: Family-wise error rate.

    Example:
        >>> adjusted, levels = holm([0.04, 0.01, 0.5])
        >>> [round(p, 4) for p in adjusted], [round(a, 4) for a in levels]
        ([0.08, 0.03, 0.5], [0.025, 0.0167, 0.025])

    References:
        Holm (Scandinavian Journal of Statistics 1979), section 2.
    """
    values = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted, levels = np.full(values.size, np.nan), np.full(values.size, alpha)
    running, stopped = 0.0, None
    for rank, index in enumerate(order):
        left = order.size - rank
        running = max(running, min(1.0, values[index] * left))
        adjusted[index] = running
        level = alpha / left if stopped is None else stopped
        levels[index] = level
        if stopped is None and values[index] > level:
            stopped = level
    return adjusted.tolist(), levels.tolist()
