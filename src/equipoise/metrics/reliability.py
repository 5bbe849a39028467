"""Reliability of one label's probabilities: CORP curve, band, decomposition, slope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction
from equipoise._core.rng import generator
from equipoise.artifacts import Estimate
from equipoise.artifacts.labels import effective_size
from equipoise.metrics.calibration import entries
from equipoise.metrics.influence import Influence
from equipoise.metrics.intervals import influence_interval

NEWTON_STEPS, SINGULAR = 50, 1e12


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Brier = calibration + refinement; refinement = uncertainty - discrimination.

    Args:
        calibration: What recalibration would win (CORP miscalibration), >= 0.
        refinement: The Brier score of the recalibrated probabilities.
        uncertainty: The Brier score of the prevalence.
    """

    calibration: float
    refinement: float
    uncertainty: float

    @property
    def discrimination(self) -> float:
        """What the ranking wins over the prevalence, >= 0."""
        return self.uncertainty - self.refinement


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """The logistic line from log-odds to truth: slope 1 and intercept 0 are right.

    Args:
        slope: Below 1: probabilities too extreme.
        intercept: At slope 1 (the offset alone): below 0, probabilities too high.
    """

    slope: Estimate
    intercept: Estimate


def reliability_curve(
    y_true: ArrayLike, y_prob: ArrayLike, weight: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return the CORP reliability curve of one label: isotonic regression of truth on probability.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, left out).
        y_prob: (N,) probabilities.
        weight: (N,) by which rows are counted, or None.

    Returns:
        Mean predicted, observed share and number of rows (or weight) of each isotonic block.

    Example:
        >>> predicted, observed, rows = reliability_curve([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8])
        >>> observed.tolist(), rows.tolist()
        ([0.0, 1.0], [2.0, 2.0])

    References:
        Dimitriadis, Gneiting and Jordan (PNAS 2021), the CORP approach.
    """
    truth, prob = _known(y_true, y_prob)
    if not truth.size:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    return _blocks(truth, prob, None if weight is None else weight[np.asarray(y_true) >= 0])


def _known(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[Floats, Floats]:
    columns = entries(y_true, y_prob)
    truth, prob = columns[0][:, 0], columns[1][:, 0]
    known = truth >= 0
    labels: Floats = np.asarray(truth[known], dtype=np.float64)
    return labels, np.asarray(prob[known], dtype=np.float64)


def _blocks(
    truth: Floats, prob: Floats, weight: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    # Ties must share one block: averaging truth within ties first gives the same fit.
    distinct, index = np.unique(prob, return_inverse=True)
    counted = np.ones(prob.size) if weight is None else weight
    sizes: Floats = np.asarray(np.bincount(index, weights=counted), dtype=np.float64)
    means: Floats = np.bincount(index, weights=truth * counted) / sizes
    fitted: Floats = np.asarray(isotonic_regression(means, weights=sizes).x, dtype=np.float64)
    blocks = np.cumsum(np.append(0, np.diff(fitted) > 1e-12))
    columns: list[Floats] = [sizes, sizes * distinct, sizes * fitted]
    rows, predicted, observed = (
        np.asarray(np.bincount(blocks, weights=c), dtype=np.float64) for c in columns
    )
    return np.asarray(predicted / rows), np.asarray(observed / rows), np.asarray(rows)


def reliability_band(
    y_prob: ArrayLike,
    at: ArrayLike,
    *,
    confidence_level: float = 0.9,
    n_resamples: int = 200,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Return where the CORP curve lies if the probabilities are right (the consistency band).

    Args:
        y_prob: (N,) probabilities of the known rows.
        at: (K,) probabilities where the band is wanted.
        confidence_level: Share of draws inside, point by point.
        n_resamples: Draws of the truth from ``y_prob``.
        seed: Same seed, same band.

    Returns:
        Lower and upper bound, (K,) each.

    Example:
        >>> prob = np.repeat([0.1, 0.5], 200)
        >>> low, high = reliability_band(prob, [0.1, 0.5])
        >>> bool((low <= [0.1, 0.5]).all() and (high >= [0.1, 0.5]).all())
        True

    References:
        Dimitriadis, Gneiting and Jordan (PNAS 2021), consistency bands.
    """
    level = to_fraction("confidence_level", confidence_level)
    prob, points = np.asarray(y_prob, dtype=np.float64), np.asarray(at, dtype=np.float64)
    distinct, count = np.unique(prob, return_counts=True)
    sizes = count.astype(np.float64)
    rng = generator(seed, "reliability band")
    drawn = rng.binomial(count, distinct, size=(n_resamples, distinct.size)) / sizes
    index = np.clip(np.searchsorted(distinct, points, side="right") - 1, 0, distinct.size - 1)
    curves = np.array([isotonic_regression(row, weights=sizes).x[index] for row in drawn])
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def decompose_brier(y_true: ArrayLike, y_prob: ArrayLike) -> Decomposition:
    """Split the Brier score of one label into calibration, refinement and uncertainty.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, left out).
        y_prob: (N,) probabilities.

    Returns:
        NaN throughout where nothing is known.

    Example:
        >>> parts = decompose_brier([0, 0, 1, 1], [0.4, 0.4, 0.6, 0.6])
        >>> round(parts.calibration, 3), parts.refinement, parts.uncertainty
        (0.16, 0.0, 0.25)

    References:
        Dimitriadis, Gneiting and Jordan (PNAS 2021), eq. 4.
    """
    truth, prob = _known(y_true, y_prob)
    if not truth.size:
        return Decomposition(math.nan, math.nan, math.nan)
    _, observed, rows = _blocks(truth, prob)
    share = float(truth.mean())
    refinement = float((rows * observed * (1 - observed)).sum() / truth.size)
    brier = float(np.mean((prob - truth) ** 2))
    return Decomposition(brier - refinement, refinement, share * (1 - share))


def calibration_line(
    y_true: ArrayLike,
    log_odds: ArrayLike,
    *,
    confidence_level: float = 0.95,
    groups: NDArray[np.int64] | None = None,
    weight: Floats | None = None,
) -> CalibrationLine:
    """Fit truth on log-odds by logistic regression: slope, and intercept at slope 1.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, left out).
        log_odds: (N,) finite.
        confidence_level: Of the intervals, from influence values: they hold for a bad fit too.
        groups: (N,) int codes of rows that belong together, or None.
        weight: (N,) by which rows are counted, or None.

    Returns:
        Missing, with the reason, for a label without positives or negatives, for constant scores
        and where positives and negatives do not overlap.

    Example:
        >>> z = np.array([-2.0, -1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 2.0])
        >>> line = calibration_line([0, 0, 1, 0, 1, 0, 1, 1], z)
        >>> round(line.slope.value, 2), round(line.intercept.value, 2) + 0
        (0.76, 0.0)

    References:
        Cox (Biometrika 1958); van Calster et al. (BMC Medicine 2019) for the two readings.
    """
    truth, z = np.asarray(y_true), np.asarray(log_odds, dtype=np.float64)
    known = truth >= 0
    y, z = (truth[known] == 1).astype(np.float64), z[known]
    n_pos, mass = int(y.sum()), None if weight is None else weight[known]
    say_as_much = n_pos if mass is None else int(effective_size(mass[y == 1]))

    def judge(found: Influence | None, why: str) -> Estimate:
        return influence_interval(
            found or Influence(math.nan, np.zeros(y.size)),
            confidence_level=confidence_level,
            groups=None if groups is None else groups[known],
            scale="identity",
            n_positive=say_as_much,
            reason=why if found is None else None,
        )

    side = "no positives" if not n_pos else "no negatives" if n_pos == y.size else ""
    if side:
        return CalibrationLine(judge(None, side), judge(None, side))
    shift = _fit(y, z, None, mass)
    intercept = judge(shift, "cannot be fitted")
    middle, spread = float(z.mean()), float(z.std())
    if spread == 0:
        return CalibrationLine(judge(None, "constant scores"), intercept)
    # The line that only shifts is near the answer: fewer steps from there.
    start = [spread, middle + (0.0 if shift is None else shift.value)]
    line = _fit(y, (z - middle) / spread, np.array(start), mass)
    if line is not None:
        line = Influence(line.value / spread, line.rows / spread)
    return CalibrationLine(judge(line, "positives and negatives do not overlap"), intercept)


def _fit(y: Floats, x: Floats, start: Floats | None, counted: Floats | None) -> Influence | None:
    """Return a coefficient of a logistic regression by Newton; None if it diverges.

    The slope of ``x`` beside an intercept, both from ``start``; without a start the intercept at
    slope 1; rows are ``counted`` by these weights. Sums go without BLAS: its threads cost more than
    they save here.
    """
    slope, level = (1.0, 0.0) if start is None else start.tolist()
    for _ in range(NEWTON_STEPS):
        p = expit(slope * x + level)
        gap = y - p
        weight = p - p * p
        if counted is not None:
            gap, weight = gap * counted, weight * counted
        mass = float(weight.sum())
        lean, width, pull = 0.0, mass, 0.0
        if start is not None:
            leverage = weight * x
            lean, width = float(leverage.sum()), float(np.einsum("n,n", leverage, x))
            pull = float(np.einsum("n,n", gap, x))
        area = width * mass - lean * lean
        largest = (width + mass) / 2 + math.hypot((width - mass) / 2, lean)
        if not area > 0 or largest * largest > SINGULAR * area:
            return None
        rest = float(gap.sum())
        up, side = (mass * pull - lean * rest) / area, (width * rest - lean * pull) / area
        far = max(abs(up), abs(side))
        if far < 1e-10:
            if start is None:
                return Influence(level, gap / mass)
            return Influence(slope, (mass / area * x - lean / area) * gap)
        # Steps of at most 2 keep a start far from the answer from overshooting.
        short = min(1.0, 2.0 / far)
        slope, level = slope + up * short, level + side * short
    return None
