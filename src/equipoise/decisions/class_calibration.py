"""Calibration for classes: one temperature, or one slope and offset per class."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from equipoise._core.arrays import Floats
from equipoise.artifacts import Calibrator
from equipoise.artifacts.labels import effective_size
from equipoise.decisions.calibration import LOG_SLOPE, OFFSET_FROM, SLOPE_FROM

ClassMethod = Literal["auto", "formula", "offset", "platt", "vector"]
CLASS_METHODS: tuple[ClassMethod, ...] = ("auto", "formula", "offset", "platt", "vector")
# How far the slope and offset of one class may lie from those all share; weak at 20 rows.
CLASS_SLOPE_SD, CLASS_OFFSET_SD = 0.5, 1.0
STEPS = 50


def fit_class_calibrator(
    log_posterior: Floats,
    y_true: NDArray[np.int64],
    *,
    shift: Floats,
    verified: bool = True,
    highest: ClassMethod = "auto",
    start: Calibrator | None = None,
    weight: Floats | None = None,
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
        start: A "vector" calibrator of similar rows, from where the search begins.
        weight: (N,) by which rows are counted, or None; they are worth as many rows as rows of
            equal weight that say as much.

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
    counted = np.ones(y_true.size) if weight is None else weight
    counted = counted * (counted.sum() / np.square(counted).sum())
    most = np.bincount(y_true, counted, minlength=num_classes).argmax()
    fewer = int(effective_size(counted[y_true != most]) + 1e-9)
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
        excess *= counted[:, None]
        by_slope = slope * float((excess * log_posterior).sum())
        by_strength = float((excess @ shift).sum())
        loss = -float(np.dot(counted, log_p[rows, y_true])) + 0.5 * float((parameters**2).sum())
        gradient = free * (np.array([by_slope, by_strength]) + parameters)
        return loss / counted.sum(), gradient / counted.sum()

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
        return _fit_vector(log_posterior, y_true, shared, start, counted)
    return shared


def _fit_vector(
    log_posterior: Floats,
    y_true: NDArray[np.int64],
    shared: Calibrator,
    start: Calibrator | None,
    counted: Floats,
) -> Calibrator:
    """Return the calibrator with one slope and offset per class, around the shared ones.

    Newton's method on log-slopes and offsets of all classes together; the curvature of the
    softmax is one product of matrices, so a step costs little more than its gradient.
    """
    num_classes, rows = log_posterior.shape[1], np.arange(y_true.size)
    sizes = [effective_size(counted[y_true == c]) + 1e-9 for c in range(num_classes)]
    own = np.flatnonzero(np.array(sizes) >= SLOPE_FROM)
    precision = np.repeat([CLASS_SLOPE_SD**-2.0, CLASS_OFFSET_SD**-2.0], own.size)

    def unpack(at: Floats) -> tuple[Floats, Floats]:
        scale, offset = shared.scale.copy(), shared.offset.copy()
        scale[own] *= np.exp(np.clip(at[: own.size], -LOG_SLOPE, LOG_SLOPE))
        offset[own] += at[own.size :]
        return scale, offset

    def posterior(at: Floats) -> tuple[float, Floats]:
        """Return the loss to be made small, and p, (N, C)."""
        scale, offset = unpack(at)
        z = scale * log_posterior
        z += offset
        z -= z.max(axis=1, keepdims=True)
        right = float(np.dot(counted, z[rows, y_true]))
        p = np.exp(z, out=z)
        total = p.sum(axis=1)
        p /= total[:, None]
        loss = (
            float(np.dot(counted, np.log(total))) - right + 0.5 * float((precision * at**2).sum())
        )
        return loss, p

    at = np.zeros(2 * own.size)
    if start is not None:
        at[: own.size] = np.log(start.scale[own] / shared.scale[own])
        at[own.size :] = (start.offset - shared.offset)[own]
    loss, p = posterior(at)
    hit = np.zeros(num_classes, dtype=np.int64)
    hit[own] = np.arange(1, own.size + 1)
    for _ in range(STEPS):
        moved = unpack(at)[0][own] * log_posterior[:, own]
        each = np.concatenate([p[:, own] * moved, p[:, own]], axis=1)
        both = each * counted[:, None]
        gradient = both.sum(axis=0) + precision * at
        place = hit[y_true] - 1
        mine = np.flatnonzero(place >= 0)
        true_moved = moved[mine, place[mine]]
        by, hits = counted[mine], place[mine]
        gradient[: own.size] -= np.bincount(hits, by * true_moved, minlength=own.size)
        gradient[own.size :] -= np.bincount(hits, by, minlength=own.size)
        slope_slope = np.einsum("nc,nc->c", both[:, : own.size], moved)
        # Without its negative part the curvature of the log-slope stays positive definite.
        bend = np.maximum(gradient[: own.size] - precision[: own.size] * at[: own.size], 0.0)
        hessian = -(each.T @ both)
        corner, slope = np.arange(own.size), both[:, : own.size].sum(axis=0)
        hessian[corner, corner] += slope_slope + bend
        hessian[corner + own.size, corner + own.size] += both[:, own.size :].sum(axis=0)
        hessian[corner, corner + own.size] += slope
        hessian[corner + own.size, corner] += slope
        hessian[np.diag_indices_from(hessian)] += precision
        step = np.linalg.solve(hessian, gradient)
        drop = float(gradient @ step)
        length = 1.0
        while length > 1e-4:
            new_loss, new_p = posterior(at - length * step)
            if new_loss <= loss - 1e-4 * length * drop:
                break
            length *= 0.5
        else:
            break
        at, loss, p = at - length * step, new_loss, new_p
        if drop < 1e-7 * counted.sum():
            break
    scale, offset = unpack(at)
    method = list(shared.method)
    for c in own:
        method[c] = "vector"
    return Calibrator(scale, offset, tuple(method), shared.effective_weight)
