"""Terms of the Keras losses on logits, from softplus and logsumexp, so that no gradient dies."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.logistic import log_expit
from equipoise.keras._keras import keras

_FAR = -1e30


def focal(u: Any, gamma: float, *, detach: bool = False) -> Any:
    """Return s^gamma softplus(u) with s = sigmoid(u), the chance given to the wrong answer.

    Of a negative ``u`` is its logit, of a positive minus its logit. log s = -softplus(-u), so
    neither side saturates.
    """
    loss = keras.ops.softplus(u)
    if gamma == 0.0:
        return loss
    weight = keras.ops.exp(-gamma * keras.ops.softplus(-u))
    return (keras.ops.stop_gradient(weight) if detach else weight) * loss


def margin_focal(z: Any, gamma: float, margin: float, *, detach: bool = False) -> Any:
    """Return -p_m^gamma log(1 - p_m) of negatives, with p_m = max(sigmoid(z) - margin, 0)."""
    if margin == 0.0:
        return focal(z, gamma, detach=detach)
    ops = keras.ops
    shifted = ops.sigmoid(z) - margin
    above = shifted > 0
    # Twice: a power of 0 below the margin would make the gradient NaN, though it is not used.
    safe = ops.where(above, shifted, 0.5)
    weight = ops.exp(gamma * ops.log(safe))
    value = (ops.stop_gradient(weight) if detach else weight) * -ops.log1p(-safe)
    return ops.where(above, value, 0.0)


def mix(y_true: Any, one: Any, zero: Any) -> tuple[Any, Any]:
    """Return y one + (1 - y) zero, 0 where unknown, and where it is known as 0 or 1.

    Unknown is any target below 0, and NaN.
    """
    ops = keras.ops
    known = y_true >= 0
    truth = ops.where(known, y_true, 0.0)
    value = truth * one + (1.0 - truth) * zero
    return ops.where(known, value, 0.0), ops.cast(known, value.dtype)


def log_one_minus(z: Any, log_p: Any) -> Any:
    """Return log(1 - p) for p = softmax(z), without cancellation where p is near 1."""
    ops = keras.ops
    is_top = ops.one_hot(ops.argmax(z, axis=-1), z.shape[-1], dtype="bool")
    others = ops.logsumexp(ops.where(is_top, _FAR, z), axis=-1, keepdims=True)
    rest = others - ops.logsumexp(z, axis=-1, keepdims=True)
    small = ops.log1p(-ops.exp(ops.where(is_top, _FAR, log_p)))
    return ops.where(is_top, rest, small)


def log_slope_scale(log_p: Floats, log_q: Floats, gamma: float) -> Floats:
    """Return log A with A = q^gamma - gamma p q^(gamma-1) log p, in NumPy.

    The slope of the focal term is A times that of cross entropy.
    """
    if gamma == 0:
        return np.zeros_like(log_p)
    inner = np.exp(log_q) - gamma * np.exp(log_p) * log_p
    # Where p rounds to 1 the first order holds: log p = -q, so inner = (1 + gamma) q.
    exact = np.log(np.maximum(inner, np.finfo(np.float64).tiny))
    return np.asarray(
        (gamma - 1.0) * log_q + np.where(log_q > -30.0, exact, log_q + np.log1p(gamma))
    )


def margin_log_slope(z: Floats, gamma: float, margin: float, *, detach: bool) -> Floats:
    """Return log(l0' / (1 - p)), with l0' the slope of :func:`margin_focal`, in NumPy.

    Minus log A of positives, whose slope is -A (1 - p), it is the log-odds of the true
    probability. -inf below the margin, where negatives have no slope.
    """
    log_p, log_q = log_expit(z), log_expit(-z)
    if margin == 0.0:
        scale = gamma * log_p if detach else log_slope_scale(log_q, log_p, gamma)
        return np.asarray(log_p - log_q + scale)
    shifted = np.maximum(np.exp(log_p) - margin, 0.0)
    inner = 1.0 / (1.0 - shifted)
    if not detach:
        inner = inner - gamma * np.log1p(-shifted) / np.maximum(shifted, 1e-300)
    with np.errstate(divide="ignore"):
        power = gamma * np.log(shifted) if gamma else 0.0
        return np.asarray(np.where(shifted > 0, log_p + power + np.log(inner), -np.inf))
