"""Focal losses in Keras: less weight on examples that are already right."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.targets import IGNORE_INDEX
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import ClassLoss, LabelLoss, Vector, focal, log_one_minus
from equipoise.labels.losses import SigmoidFocalSide, SoftmaxFocalSide


@keras.saving.register_keras_serializable(PACKAGE)
class SoftmaxFocalLoss(SoftmaxFocalSide, ClassLoss):
    r"""Focal loss of single-label classes, with one weight per class (Lin et al., 2017).

    Use when many rows are easy and drown the hard ones. Prefer :class:`LogitAdjustedLoss` against
    a long tail. With ``gamma`` 0 it is weighted cross entropy. Unlike Keras'
    ``CategoricalFocalCrossentropy`` it has a gradient at any logit gap, and no scalar alpha, which
    would only scale the learning rate.

    .. math:: \ell_i = -w_{y_i} (1 - p_{i,y_i})^\gamma \log p_{i,y_i}

    Args:
        gamma: Focusing strength, >= 0.
        weight: One weight per class, (C,), >= 0, or None.
        ignore_index: Class index of rows that are left out.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras.
        name: As in Keras.

    Targets are class indices (...,) or (..., 1), or shares (..., C); outputs (..., C), C >= 2.

    Raises:
        UsageError: ``gamma`` < 0.
        ShapeError: outputs are not (..., C), or targets do not fit them.

    Note:
        Makes probabilities too timid: the true posterior is proportional to p / (w A(p)) with
        A(p) = (1-p)^gamma - gamma p (1-p)^(gamma-1) log p.

    Example:
        >>> loss = SoftmaxFocalLoss(gamma=2.0, from_logits=True)
        >>> round(float(loss([0], [[2.0, 0.0]])), 4)
        0.0018
        >>> loss.posterior([[2.0, 0.0]]).round(3).tolist()
        [[0.995, 0.005]]

    References:
        Lin et al., ICCV 2017, eq. 4 and 5; :func:`equipoise.losses.softmax_focal_loss`.
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        weight: Vector | None = None,
        ignore_index: int = IGNORE_INDEX,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            ignore_index=ignore_index,
            from_logits=from_logits,
            class_dim=class_dim,
            reduction=reduction,
            name=name,
        )
        self._settle(gamma, weight)

    def _per_class(self, z: Any) -> Any:
        log_p = keras.ops.log_softmax(z, axis=-1)
        loss = -log_p
        if self.gamma > 0:
            loss = loss * keras.ops.exp(self.gamma * log_one_minus(z, log_p))
        if self.weight is None:
            return loss
        return loss * keras.ops.convert_to_tensor(self.weight.astype(np.float32), z.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class SigmoidFocalLoss(SigmoidFocalSide, LabelLoss):
    r"""Focal loss of independent labels, with one alpha per label (Lin et al., 2017).

    Use when easy negatives dominate the loss. Prefer :class:`BCELoss` with tuned thresholds when
    only the operating point is wrong.

    .. math::
        \ell = -\alpha\, y (1-p)^\gamma \log p - (1-\alpha)(1-y)\, p^\gamma \log(1-p)

    Args:
        gamma: Focusing strength, >= 0; 0 is BCE, weighted by alpha.
        alpha: Weight of positives against 1 - alpha for negatives, in (0, 1): a number, (L,), or
            None for no weights. The published 0.25 weakens positives.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown), any dtype; outputs (..., L), floating.

    Raises:
        UsageError: ``gamma`` < 0, or ``alpha`` outside (0, 1).
        ShapeError: outputs are not (..., L).

    Note:
        With gamma 2 the output 0.29 means 0.085; with alpha 0.25 also, 0.5 means 0.75.

    Example:
        >>> loss = SigmoidFocalLoss(gamma=2.0, alpha=0.25, from_logits=True)
        >>> round(float(loss([[1.0]], [[0.0]])), 4), loss.operating_point().tolist()
        (0.0433, [0.75])

    References:
        Lin et al., ICCV 2017, eq. 5; :func:`equipoise.losses.sigmoid_focal_loss`.
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: float | Vector | None = None,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            from_logits=from_logits, class_dim=class_dim, reduction=reduction, name=name
        )
        self._settle(gamma, alpha)

    def settings(self) -> dict[str, Any]:
        """Return gamma and alpha."""
        alpha = self.alpha_number if self.alpha is None else self.alpha
        return {"gamma": self.gamma, "alpha": alpha}

    def _terms(self, z: Any) -> tuple[Any, Any]:
        one, zero = focal(-z, self.gamma), focal(z, self.gamma)
        alpha = self.settings()["alpha"]
        if alpha is None:
            return one, zero
        weight = keras.ops.convert_to_tensor(np.asarray(alpha, np.float32), z.dtype)
        return weight * one, (1.0 - weight) * zero
