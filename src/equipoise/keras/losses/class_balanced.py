"""Class-balanced losses of labels in Keras: weights from effective numbers of examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import LabelLoss, Vector, focal
from equipoise.labels.loss_settings import WeightOn
from equipoise.labels.losses import ClassBalancedSide


@keras.saving.register_keras_serializable(PACKAGE)
class ClassBalancedFocalLoss(ClassBalancedSide, LabelLoss):
    r"""Sigmoid focal loss weighted by the effective number of examples (Cui et al., 2019).

    Use when counts differ by orders of magnitude, near-duplicates make frequent labels less
    informative than they count, and easy entries drown the rest. Prefer
    :class:`ClassBalancedBCELoss` first: it has one setting less.

    .. math:: \ell = -a_l\, y (1-p)^\gamma \log p - b_l (1-y)\, p^\gamma \log(1-p)

    Args:
        weight: One weight per label, (L,), >= 0.
        weight_on: "positives": a = weight, b = 1, which moves the operating point. "label":
            a = b = weight, which only sets the share of a label in the whole.
        gamma: Focusing strength, >= 0.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries, never over weights.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown), any dtype; outputs (..., L), floating.

    Raises:
        UsageError: an unknown ``weight_on``, or ``gamma`` < 0.
        ShapeError: outputs are not (..., L).

    Note:
        On positives the output 0.5 means 1 / (1 + w); on the label it means 0.5.

    Example:
        >>> loss = ClassBalancedFocalLoss([3.0], weight_on="positives", from_logits=True)
        >>> round(float(loss([[1.0]], [[0.0]])), 4), loss.operating_point().round(2).tolist()
        (0.5199, [0.25])

    References:
        Cui et al., CVPR 2019, eq. 12; :func:`equipoise.losses.class_balanced_focal_loss`.
    """

    def __init__(
        self,
        weight: Vector,
        *,
        weight_on: WeightOn,
        gamma: float = 2.0,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            from_logits=from_logits, class_dim=class_dim, reduction=reduction, name=name
        )
        self._settle(weight, weight_on, gamma)

    def _terms(self, z: Any) -> tuple[Any, Any]:
        weight = keras.ops.convert_to_tensor(self.weight.astype(np.float32), z.dtype)
        one, zero = weight * focal(-z, self.gamma), focal(z, self.gamma)
        return one, zero if self.weight_on == "positives" else weight * zero


@keras.saving.register_keras_serializable(PACKAGE)
class ClassBalancedBCELoss(ClassBalancedFocalLoss):
    r"""Binary cross entropy weighted by the effective number of examples (Cui et al., 2019).

    Use when counts differ by orders of magnitude and near-duplicates make frequent labels less
    informative than they count. Prefer :class:`PosWeightBCELoss` for the plain ratio.

    .. math:: \ell = -a_l\, y \log p - b_l (1 - y) \log(1 - p)

    Args:
        weight: One weight per label, (L,), >= 0.
        weight_on: "positives" or "label"; see :class:`ClassBalancedFocalLoss`.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries, never over weights.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown), any dtype; outputs (..., L), floating.

    Raises:
        UsageError: an unknown ``weight_on``.
        ShapeError: outputs are not (..., L).

    Note:
        On positives the output 0.5 means 1 / (1 + w); on the label it means 0.5.

    Example:
        >>> loss = ClassBalancedBCELoss.from_label_counts(
        ...     [10, 500], 1000, weight_on="positives", from_logits=True
        ... )
        >>> loss.weight.round(2).tolist()
        [63.14, 1.0]

    References:
        Cui et al., CVPR 2019, eq. 4; :func:`equipoise.losses.class_balanced_bce_loss`.
    """

    def __init__(
        self,
        weight: Vector,
        *,
        weight_on: WeightOn,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            weight,
            weight_on=weight_on,
            gamma=0.0,
            from_logits=from_logits,
            class_dim=class_dim,
            reduction=reduction,
            name=name,
        )
