"""Binary cross entropy over labels in Keras, masked where unknown, with or without weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import LabelLoss, Vector, focal
from equipoise.labels.losses import BCESide, PosWeightSide


@keras.saving.register_keras_serializable(PACKAGE)
class BCELoss(BCESide, LabelLoss):
    r"""Masked binary cross entropy of independent labels.

    Use as the baseline that every remedy has to beat, and wherever targets are unknown: Keras' own
    loss takes -1 for a number.

    .. math:: \ell = -y \log p - (1 - y) \log(1 - p)

    Args:
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown), any dtype; outputs (..., L), floating.

    Raises:
        ShapeError: targets do not fit outputs.

    Note:
        Leaves probabilities as they are.

    Example:
        >>> loss = BCELoss(from_logits=True)
        >>> round(float(loss([[1.0, -1.0]], [[0.0, 2.0]])), 4)
        0.6931

    References:
        The torch function :func:`equipoise.losses.bce_loss`; equal to 1e-5.
    """

    def _terms(self, z: Any) -> tuple[Any, Any]:
        return focal(-z, 0.0), focal(z, 0.0)


@keras.saving.register_keras_serializable(PACKAGE)
class PosWeightBCELoss(PosWeightSide, LabelLoss):
    r"""Binary cross entropy with a weight on the positives of each label.

    Use where positives are rare and training stalls at "always no": it does what ``class_weight``
    cannot do with several labels. Prefer :class:`BCELoss` with tuned thresholds when only the
    operating point is wrong.

    .. math:: \ell = -w_l\, y \log p - (1 - y) \log(1 - p)

    Args:
        pos_weight: One weight per label, (L,), >= 0; 1 is BCE exactly.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries, never over weights.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown), any dtype; outputs (..., L), floating.

    Raises:
        DataError: negative or infinite weights.
        ShapeError: outputs are not (..., L).

    Note:
        The output 0.5 stands for the true probability 1 / (1 + w): true log-odds are z - log w.

    Example:
        >>> loss = PosWeightBCELoss.from_label_counts([10], 100, from_logits=True)
        >>> round(float(loss([[1.0]], [[0.0]])), 4), loss.operating_point().round(3).tolist()
        (6.2383, [0.1])

    References:
        The torch function :func:`equipoise.losses.pos_weight_bce_loss`; equal to 1e-5.
    """

    def __init__(
        self,
        pos_weight: Vector,
        *,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            from_logits=from_logits, class_dim=class_dim, reduction=reduction, name=name
        )
        self._settle(pos_weight)

    def _terms(self, z: Any) -> tuple[Any, Any]:
        weight = self.pos_weight.astype(np.float32)
        return keras.ops.convert_to_tensor(weight, z.dtype) * focal(-z, 0.0), focal(z, 0.0)
