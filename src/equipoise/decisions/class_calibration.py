"""Calibration for classes: one temperature, or one slope and offset per class."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from equipoise.artifacts import Calibrator
from equipoise.decisions._newton import LOG_SLOPE
from equipoise.decisions.calibration import OFFSET_FROM, SLOPE_FROM

__all__ = ["CLASS_METHODS", "ClassMethod", "fit_class_calibrator"]

Floats = NDArray[np.float64]
ClassMethod = Literal["auto", "formula", "offset", "platt", "vector"]
CLASS_METHODS: tuple[ClassMethod, ...] = ("auto", "formula", "offset", "platt", "vector")
# How far the slope and offset of one class may lie from those all share; weak at 20 rows.
CLASS_SLOPE_SD, CLASS_OFFSET_SD = 0.5, 1.0


def fit_class_calibrator(
    log_posterior: Floats,
    y_true: NDArray[np.int64],
    *,
    shift: Floats,
    verified: bool = True,
    highest: ClassMethod = "auto",
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
        highest: The highest rung to climb: "formula", "offset" (the strength of the shift),
            "platt" ("auto": the temperature too) or "vector" (a slope and an offset for each
            class with 20 rows and more, shrunk towards what all share).

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
    if verified and highest in ("formula", "offset"):
        free *= [0.0, highest == "offset"]

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
        method = "platt" if free[0] else "offset"
    shared = Calibrator(
        np.full(num_classes, slope),
        strength * shift,
        (method,) * num_classes,
        np.full(num_classes, np.nan),
    )
    if highest == "vector" and level >= SLOPE_FROM:
        return _fit_vector(log_posterior, y_true, shared)
    return shared


def _fit_vector(log_posterior: Floats, y_true: NDArray[np.int64], shared: Calibrator) -> Calibrator:
    """Return the calibrator with one slope and offset per class, around the shared ones."""
    num_classes, rows = log_posterior.shape[1], np.arange(y_true.size)
    own = (np.bincount(y_true, minlength=num_classes) >= SLOPE_FROM).astype(np.float64)
    spread = np.repeat([CLASS_SLOPE_SD, CLASS_OFFSET_SD], num_classes)

    def objective(parameters: Floats) -> tuple[float, Floats]:
        log_factor, extra = parameters.reshape(2, num_classes) * own
        scale = shared.scale * np.exp(np.clip(log_factor, -LOG_SLOPE, LOG_SLOPE))
        z = scale * log_posterior + shared.offset + extra
        log_p = z - logsumexp(z, axis=1, keepdims=True)
        excess = np.exp(log_p)
        excess[rows, y_true] -= 1.0
        by = np.append(scale * (excess * log_posterior).sum(axis=0) * own, excess.sum(axis=0) * own)
        loss = -float(log_p[rows, y_true].sum()) + 0.5 * float(((parameters / spread) ** 2).sum())
        return loss / rows.size, (by + parameters / spread**2) / rows.size

    found = minimize(objective, np.zeros(2 * num_classes), jac=True, method="L-BFGS-B")
    log_factor, extra = found.x.reshape(2, num_classes) * own
    return Calibrator(
        shared.scale * np.exp(np.clip(log_factor, -LOG_SLOPE, LOG_SLOPE)),
        shared.offset + extra,
        tuple("vector" if o else m for o, m in zip(own, shared.method, strict=True)),
        shared.effective_weight,
    )
