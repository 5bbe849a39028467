"""Calibration on validation data: the formula is the starting point, the data say how far to go.

The ladder, by the smaller of positives and negatives: 0-2 the formula alone; 3-19 an offset;
20 and more slope and offset, with the formula as the centre of their prior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, logsumexp

from equipoise.artifacts import Calibrator

__all__ = ["fit_class_calibrator", "fit_label_calibrator", "fit_offset", "fit_platt"]

Floats = NDArray[np.float64]
OFFSET_FROM, SLOPE_FROM = 3, 20
# Prior spread of log-slope and offset around the formula; weak against 20 positives.
SLOPE_SD, OFFSET_SD = 1.0, 4.0
LOG_SLOPE = 20.0


def fit_offset(log_odds: Floats, positive: NDArray[np.bool_]) -> float:
    """Return b with mean(sigmoid(z + b)) equal to the share of positives.

    Args:
        log_odds: (N,) finite, N >= 1.
        positive: (N,) truth.

    Returns:
        The offset; -inf or inf where all rows are negative or positive.

    Example:
        >>> round(fit_offset(np.zeros(4), np.array([True, False, False, False])), 4)
        -1.0986
    """
    share = float(positive.mean())
    if share in (0.0, 1.0):
        return float(-np.inf if share == 0 else np.inf)
    target = float(np.log(share / (1 - share)))
    # sigmoid(z + b) is monotone in b, so the root lies where every row is below or above share.
    low, high = target - float(log_odds.max()) - 1.0, target - float(log_odds.min()) + 1.0
    return float(brentq(lambda b: float(expit(log_odds + b).mean()) - share, low, high, xtol=1e-10))


def fit_platt(
    log_odds: Floats,
    positive: NDArray[np.bool_],
    *,
    slope_sd: float = SLOPE_SD,
    offset_sd: float = OFFSET_SD,
) -> tuple[float, float]:
    """Return slope > 0 and offset that maximise the posterior, with the formula (1, 0) as centre.

    Args:
        log_odds: (N,) as the formula gives them.
        positive: (N,) truth.
        slope_sd: Prior standard deviation of the log of the slope around 0.
        offset_sd: Prior standard deviation of the offset around 0.

    Example:
        >>> z = np.repeat([-1.0, 1.0], 50)
        >>> truth = np.append(np.arange(50) < 5, np.arange(50) < 45)
        >>> round(fit_platt(z, truth, slope_sd=100, offset_sd=100)[0], 3)
        2.197

    References:
        Platt (1999); the prior on (log slope, offset) replaces his smoothed targets.
    """
    spread = np.array([slope_sd, offset_sd])
    rows = max(log_odds.size, 1)

    def objective(parameters: Floats) -> tuple[float, Floats]:
        slope = float(np.exp(np.clip(parameters[0], -LOG_SLOPE, LOG_SLOPE)))
        z = slope * log_odds + parameters[1]
        loss = float(np.logaddexp(0.0, np.where(positive, -z, z)).sum())
        residual = expit(z) - positive
        loss += 0.5 * float(((parameters / spread) ** 2).sum())
        gradient = np.array([slope * np.dot(residual, log_odds), residual.sum()])
        return loss / rows, (gradient + parameters / spread**2) / rows

    start = np.array([0.0, float(np.clip(fit_offset(log_odds, positive), -30, 30))])
    found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(np.exp(np.clip(found.x[0], -LOG_SLOPE, LOG_SLOPE))), float(found.x[1])


def fit_label_calibrator(
    log_odds: Floats,
    y_true: NDArray[np.integer],
    *,
    nominal_weight: Floats | None = None,
    verified: bool = True,
) -> Calibrator:
    """Fit one calibrator per label by the ladder.

    Args:
        log_odds: (N, L) natural-prior log-odds as the formula gives them, or ranking scores.
        y_true: (N, L) in {0, 1, -1 unknown}.
        nominal_weight: (L,) or (1,) the weight on positives the remedy asked for, 1 if None.
        verified: False for ranking scores, which start from a standardised scale instead of a
            formula and always get slope and offset.

    Returns:
        Slope, offset and method per label, and the effective weight: the nominal one times
        exp(-b) with b the offset fitted alone. Unknown entries are left out.

    Example:
        >>> z = np.zeros((100, 1))
        >>> y = (np.arange(100) < 10).astype(int)[:, None]
        >>> fitted = fit_label_calibrator(z, y, nominal_weight=np.array([9.0]))
        >>> fitted.method, fitted.effective_weight.round(1).tolist()
        (('offset',), [81.0])
    """
    n_labels = log_odds.shape[1]
    scale, offset = np.ones(n_labels), np.zeros(n_labels)
    effective = np.full(n_labels, np.nan)
    method = []
    asked = np.ones(1) if nominal_weight is None else nominal_weight
    nominal = np.broadcast_to(asked, (n_labels,))
    for column in range(n_labels):
        known = y_true[:, column] >= 0
        z, positive = log_odds[known, column], y_true[known, column] == 1
        fewer = int(min(positive.sum(), (~positive).sum()))
        if not verified:
            scale[column], offset[column] = _fit_ranking(z, positive)
            method.append("platt" if fewer >= OFFSET_FROM else "prior")
            continue
        if fewer < OFFSET_FROM:
            method.append("formula")
            continue
        alone = fit_offset(z, positive)
        effective[column] = nominal[column] * np.exp(-alone)
        if fewer < SLOPE_FROM:
            offset[column] = alone
            method.append("offset")
        else:
            scale[column], offset[column] = fit_platt(z, positive)
            method.append("platt")
    return Calibrator(scale, offset, tuple(method), effective)


def _fit_ranking(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, float]:
    if scores.size == 0:
        return 1.0, 0.0
    spread = float(scores.std()) or 1.0
    centre = float(scores.mean())
    share = (positive.sum() + 0.5) / (positive.size + 1.0)
    prior = float(np.log(share / (1 - share)))
    slope, offset = fit_platt((scores - centre) / spread + prior, positive)
    return slope / spread, offset + slope * (prior - centre / spread)


def fit_class_calibrator(
    log_posterior: Floats,
    y_true: NDArray[np.int64],
    *,
    shift: Floats,
    verified: bool = True,
) -> Calibrator:
    """Fit a temperature and the strength of the prior shift for classes.

    The calibrated log-posterior is ``a * log p + tau * shift`` up to a constant; a = tau = 1 is
    the formula. One strength for all classes instead of one offset each keeps the fit honest
    with few rows per class. The ladder counts the rows outside the largest class: for two classes
    the smaller of positives and negatives.

    Args:
        log_posterior: (N, C) natural-prior log-posteriors, or ranking scores.
        y_true: (N,) classes.
        shift: (C,) log of validation prior over the prior that ``log_posterior`` refers to.
        verified: False for ranking scores, which always get a temperature.

    Example:
        >>> sure = np.log(np.tile([[0.98, 0.01, 0.01]], (90, 1)))
        >>> y = np.repeat([0, 1, 2], 30)
        >>> fitted = fit_class_calibrator(sure, y, shift=np.zeros(3))
        >>> fitted.method[0], bool(fitted.scale[0] < 0.2)
        ('platt', True)

    References:
        Guo et al. (ICML 2017), section 4.2, temperature; Alexandari et al. (ICML 2020), section 2,
        for a bias beside it.
    """
    num_classes = log_posterior.shape[1]
    fewer = y_true.size - int(np.bincount(y_true, minlength=num_classes).max())
    moves = bool(np.ptp(shift) > 1e-9)
    level = fewer if verified else max(fewer, SLOPE_FROM)
    rows = np.arange(y_true.size)
    free = np.array([level >= SLOPE_FROM, moves and level >= OFFSET_FROM], dtype=np.float64)

    def objective(parameters: Floats) -> tuple[float, Floats]:
        slope = float(np.exp(np.clip(parameters[0], -LOG_SLOPE, LOG_SLOPE)))
        strength = 1.0 + float(parameters[1])
        z = slope * log_posterior + strength * shift
        log_p = z - logsumexp(z, axis=1, keepdims=True)
        excess = np.exp(log_p)
        excess[rows, y_true] -= 1.0
        by_slope = slope * float((excess * log_posterior).sum())
        by_strength = float((excess @ shift).sum())
        loss = -float(log_p[rows, y_true].sum()) + 0.5 * float((parameters**2).sum())
        gradient = free * (np.array([by_slope, by_strength]) + parameters)
        return loss / rows.size, gradient / rows.size

    slope, strength, method = 1.0, 1.0, "formula"
    if free.any():
        found = minimize(objective, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-9})
        slope, strength = float(np.exp(found.x[0])), 1.0 + float(found.x[1])
        method = "platt" if level >= SLOPE_FROM else "offset"
    return Calibrator(
        np.full(num_classes, slope),
        strength * shift,
        (method,) * num_classes,
        np.full(num_classes, np.nan),
    )
