"""The base of the Keras losses: checks, terms, reduction over known entries, the inverse."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_floats, to_integer
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX, require_classes, to_class_dim
from equipoise.errors import NotRecoverableError, ShapeError
from equipoise.keras._keras import keras
from equipoise.labels.losses import LossSide

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


_MOST = float(np.float32(1.0) - np.finfo(np.float32).epsneg)
_LEAST = float(np.finfo(np.float32).tiny)
_OF_ALL = {"ignore_index", "from_logits", "class_dim", "reduction", "name"}
"""Settings of every loss, which the bases put into the configuration."""


class Loss(LossSide, keras.losses.Loss):  # type: ignore[misc]
    """A Keras loss with an inverse; subclasses are registered under "equipoise".

    Args:
        from_logits: Whether outputs are logits. False, as in Keras, takes probabilities: where the
            last activation is Keras' own sigmoid or softmax its input is used, so that nothing is
            lost to rounding. Where it cannot be had (on JAX, or after another layer) logits are
            computed from probabilities, and a label that is wrong beyond 1 - 6e-8 has no gradient.
        class_dim: Axis of classes or labels in the outputs: -1 is last, whatever comes before it;
            1 takes (N, C, H, W) and (N, C, T), with class indices (N, H, W) and (N, T), or
            labels as the outputs are.
        reduction: As in Keras. "sum_over_batch_size" and "mean" divide by the known entries of the
            batch (labels) or by its known rows (classes); "sum" and None do not divide.
        name: As in Keras.

    Attributes:
        kind: "multiclass" or "multilabel".
        exactness: How exactly the inverse holds: "exact", "approximate" or "none".
        num_classes: Classes or labels, where a setting fixes them, else None.
    """

    def __init__(
        self,
        *,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        self.from_logits = bool(from_logits)
        self.class_dim = to_class_dim(class_dim)
        self.num_classes: int | None = None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss; lists are arrays here, not the targets of several outputs."""
        y_true, y_pred = (
            keras.ops.convert_to_tensor(v, dtype=self.dtype) if isinstance(v, (list, tuple)) else v
            for v in (y_true, y_pred)
        )
        return super().__call__(y_true, y_pred, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        own = self.settings()
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in own.items()}
        layout = {"from_logits": self.from_logits, "class_dim": self.class_dim}
        return {**super().get_config(), **layout, **plain}

    def settings(self) -> dict[str, Any]:
        """Return the settings of this loss by the names of the constructor, which keeps them."""
        named = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in named if name not in _OF_ALL}

    def unreduced(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of every entry, 0 where unknown, or of every row of classes.

        Args:
            y_true: Targets, as the loss takes them; any array.
            y_pred: Outputs, as the loss takes them.
        """
        y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
        y_true = keras.ops.convert_to_tensor(y_true, dtype=self.dtype)
        values = self._of_dense(y_true, y_pred)[0]
        if self.class_dim == -1 or self.kind == "multiclass":
            return values
        return keras.ops.moveaxis(values, -1, self.class_dim)

    def _of_dense(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return what :meth:`_values` says of outputs with their classes brought last."""
        if self.class_dim == -1:
            return self._values(y_true, y_pred)
        if len(y_pred.shape) <= self.class_dim:
            wanted = f"have its classes or labels on axis class_dim = {self.class_dim}"
            do = "Leave class_dim out for outputs (N, C)."
            raise ShapeError(say("y_pred", wanted, tuple(y_pred.shape), do))
        moved = keras.ops.moveaxis(y_pred, self.class_dim, -1)
        cached = getattr(y_pred, "_keras_logits", None)
        if cached is not None:
            moved._keras_logits = keras.ops.moveaxis(cached, self.class_dim, -1)
        if len(y_true.shape) == len(y_pred.shape):
            y_true = keras.ops.moveaxis(y_true, self.class_dim, -1)
        return self._values(y_true, moved)

    @abstractmethod
    def _values(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return the loss of entries or rows, and which of them are known, as 0 or 1."""

    def _over_known(self, rows: Any, known: Any) -> Any:
        """Return rows whose mean over all is the mean over what is known."""
        if self.reduction in ("sum", "none", None):
            return rows
        # Rows with more known entries weigh more, so that unknown ones dilute nothing.
        count = keras.ops.maximum(keras.ops.sum(known), 1.0)
        return rows * (keras.ops.sum(keras.ops.ones_like(rows)) / count)

    def posterior(self, outputs: ArrayLike) -> Floats:
        """Return the true probabilities that these outputs of a trained model stand for.

        Args:
            outputs: (N, C), logits where ``from_logits``, else probabilities; with a ``class_dim``
                dense, such as (N, C, H, W).

        Returns:
            The same shape, float64: where the expected training gradient is zero, these are the
            true probabilities under the prior of the training rows.

        Raises:
            NotRecoverableError: the loss has no inverse, for example with a zero weight.
        """
        ndim = 2 if self.class_dim == -1 else tuple(range(self.class_dim + 1, 9))
        given = to_floats("outputs", to_array("outputs", outputs, ndim=ndim))
        moved = np.moveaxis(given, self.class_dim, -1)
        rows = moved.reshape(-1, moved.shape[-1])
        found = self._posterior(rows if self.from_logits else self._unsquash(rows))
        return np.moveaxis(found.reshape(moved.shape), -1, self.class_dim)

    def _unsquash(self, p: Floats) -> Floats:
        if self.kind == "multiclass":
            return np.asarray(np.log(np.maximum(p, _LEAST)))
        p = np.clip(p, _LEAST, _MOST)
        return np.asarray(np.log(p) - np.log1p(-p))

    def _posterior(self, z: Floats) -> Floats:
        found = self._probabilities(z)
        if found is None:
            raise NotRecoverableError(
                f"{type(self).__name__} says no way back to probabilities. Give it `_ops` or "
                "`_log_odds`, or fit a calibrator on validation data: tune(scores)."
            )
        return found

    def operating_point(self, num_classes: int | None = None) -> Floats:
        """Return the true probability behind equal logits, (C,) float64.

        For labels: the probability at which a sigmoid output says 0.5, (1,) where all labels share
        it. For classes: the posterior where softmax says 1 / C.

        Args:
            num_classes: Needed for classes where no setting fixes their number.
        """
        return np.asarray(self._posterior(np.zeros((1, self._width(num_classes))))[0])


class LabelLoss(Loss):
    """A loss of independent labels; targets are 0, 1 or a fraction, and -1 where unknown."""

    kind = "multilabel"

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one value per row, (..., N), whose mean is that over the known entries."""
        values, known = self._of_dense(y_true, y_pred)
        return self._over_known(keras.ops.sum(values, axis=-1), known)

    def _values(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        y_true = as_labels(y_true, y_pred, self.num_classes)
        one, zero = self._terms(self._logits(y_pred))
        return mix(y_true, one, zero)

    def _logits(self, y_pred: Any) -> Any:
        if self.from_logits:
            return y_pred
        cached = getattr(y_pred, "_keras_logits", None)
        if cached is not None and tuple(cached.shape) == tuple(y_pred.shape):
            return cached
        p = keras.ops.clip(y_pred, _LEAST, _MOST)
        return keras.ops.log(p) - keras.ops.log1p(-p)

    @abstractmethod
    def _terms(self, z: Any) -> tuple[Any, Any]:
        """Return the loss of every entry at target 1 and at target 0."""


class ClassLoss(Loss):
    """A loss of classes; targets are indices (N,), or shares such as one-hot rows (N, C).

    Args:
        ignore_index: Class index of rows whose class is unknown: they have no loss and no
            gradient, and means do not count them. So have rows of shares with a NaN or a number
            below 0. Any other index outside 0 to C - 1 is refused on the torch backend, and gives
            NaN in the compiled graphs of the others.
        from_logits: As for :class:`Loss`, and so are ``class_dim``, ``reduction`` and ``name``.
    """

    kind = "multiclass"

    def __init__(
        self,
        *,
        ignore_index: int = IGNORE_INDEX,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            from_logits=from_logits, class_dim=class_dim, reduction=reduction, name=name
        )
        self.ignore_index = to_integer("ignore_index", ignore_index)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        return {**super().get_config(), "ignore_index": self.ignore_index}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one value per row, (..., N), whose mean is that over the known rows."""
        return self._over_known(*self._of_dense(y_true, y_pred))

    def _values(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        ops = keras.ops
        share, known, valid = as_shares(y_true, y_pred, self.num_classes, self.ignore_index)
        rows = ops.sum(share * self._per_class(self._logits(y_pred)), axis=-1)
        if valid is not None:
            rows = ops.where(valid, rows, math.nan)
        return ops.where(known, rows, 0.0), ops.cast(known, rows.dtype)

    def _logits(self, y_pred: Any) -> Any:
        if self.from_logits:
            return y_pred
        cached = getattr(y_pred, "_keras_logits", None)
        if cached is not None and tuple(cached.shape) == tuple(y_pred.shape):
            return cached
        return keras.ops.log(keras.ops.maximum(y_pred, _LEAST))

    @abstractmethod
    def _per_class(self, z: Any) -> Any:
        """Return the loss of each row at each class, (..., N, C)."""
