"""Checks and readings that the Keras losses share: settings with NumPy, shapes of batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from equipoise._core.targets import IGNORE_INDEX, require_classes
from equipoise._core.words import say
from equipoise.errors import ShapeError
from equipoise.keras._keras import keras

Vector = ArrayLike | Sequence[float]


def _width(name: str, outputs: Any, width: int | None) -> int:
    have = outputs.shape[-1]
    if width is not None and have is not None and have != width:
        do = "Give the last layer one output per class or label."
        raise ShapeError(say(name, f"have {width} outputs, as the loss", have, do))
    return int(have)


def as_labels(y_true: Any, y_pred: Any, width: int | None) -> Any:
    """Return targets in the shape of outputs (..., L); (N,) goes with (N, 1)."""
    if len(y_pred.shape) < 2:
        raise ShapeError(say("y_pred", "have shape (..., N, L)", tuple(y_pred.shape)))
    labels = _width("y_pred", y_pred, width)
    if len(y_true.shape) == len(y_pred.shape) - 1 and labels == 1:
        y_true = keras.ops.expand_dims(y_true, -1)
    if len(y_true.shape) != len(y_pred.shape) or y_true.shape[-1] != labels:
        do = "One column per label, 0 or 1, with -1 where unknown."
        wanted = f"have shape (..., N, L) = {tuple(y_pred.shape)}"
        raise ShapeError(say("y_true", wanted, tuple(y_true.shape), do))
    return y_true


def as_shares(
    y_true: Any, y_pred: Any, width: int | None, ignore_index: int = IGNORE_INDEX
) -> tuple[Any, Any, Any]:
    """Return class probabilities (..., C) from those or from class indices (..., ) or (..., 1).

    Returns:
        The shares; which rows are known, (...) bool; and which of them hold a class, (...) bool,
        where a graph could not be asked whether all do, else None.
    """
    if len(y_pred.shape) < 2:
        raise ShapeError(say("y_pred", "have shape (..., N, C)", tuple(y_pred.shape)))
    classes = _width("y_pred", y_pred, width)
    ops = keras.ops
    same = len(y_true.shape) == len(y_pred.shape)
    if same and y_true.shape[-1] == classes:
        known = ops.all(y_true >= 0, axis=-1)
        return ops.where(ops.expand_dims(known, -1), y_true, 0.0), known, None
    if same and y_true.shape[-1] == 1:
        y_true = keras.ops.squeeze(y_true, -1)
    if len(y_true.shape) != len(y_pred.shape) - 1:
        do = "Pass class indices (N,), or one share per class, (N, C)."
        wanted = f"have shape {tuple(y_pred.shape[:-1])} or {tuple(y_pred.shape)}"
        raise ShapeError(say("y_true", wanted, tuple(y_true.shape), do))
    known = y_true != ignore_index
    if keras.backend.backend() == "torch" and y_true.device.type == "cpu":
        require_classes("y_true", keras.ops.convert_to_numpy(y_true), classes, ignore_index)
        return one_hot(ops.where(known, y_true, 0), classes, y_pred.dtype), known, None
    valid = ops.logical_and(y_true >= 0, y_true < classes)
    return one_hot(ops.where(valid, y_true, 0), classes, y_pred.dtype), known, valid


def one_hot(classes: Any, width: int, dtype: Any) -> Any:
    """Return (..., C) with 1 at the class."""
    return keras.ops.one_hot(keras.ops.cast(classes, "int32"), width, dtype=dtype)
