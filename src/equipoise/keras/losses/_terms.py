"""Terms of the Keras losses on logits, from softplus and logsumexp, so that no gradient dies."""

from __future__ import annotations

from typing import Any

from equipoise.keras._keras import keras

# Not minus infinity, which a gradient may multiply by 0.
_FAR = -1e30


def focal(u: Any, gamma: float, *, detach: bool = False) -> Any:
    """Return s^gamma softplus(u) with s = sigmoid(u), the chance given to the wrong answer.

    Of a negative ``u`` is its logit, of a positive minus its logit. log s = -softplus(-u), so
    neither side saturates.
    """
    loss = keras.ops.softplus(u)
    if gamma == 0.0:
        return loss
    # log s by softplus: where s rounds to 0, a power of it has no gradient, or NaN.
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
