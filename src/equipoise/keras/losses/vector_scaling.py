"""Vector scaling in Keras: a factor, a shift and a weight per class inside cross entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.errors import UsageError
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import ClassLoss, Vector
from equipoise.labels.losses import VectorScalingSide


@keras.saving.register_keras_serializable(PACKAGE)
class VectorScalingLoss(VectorScalingSide, ClassLoss):
    r"""Scale and shift the logits of each class by its share of rows (Kini et al., 2021).

    Use when a network separates its training rows, where shifts and weights fade out and only
    factors keep acting. Prefer :class:`LogitAdjustedLoss` before that: it has one setting less.

    .. math::
        \ell_i = -\omega_{y_i} \log \mathrm{softmax}(\Delta \odot z_i + \tau \log \pi)_{y_i},
        \qquad \Delta_k = (\pi_k / \max_j \pi_j)^\gamma

    Args:
        prior: Class shares (or counts) of the training rows, (C,), > 0.
        gamma: Strength of the factors, >= 0; 0 is logit adjustment exactly.
        tau: Strength of the shift, >= 0; 0 leaves the factors alone.
        weight: One weight per class, (C,), >= 0, or None.
        ignore_index: Class index of rows that are left out.
        from_logits: Must be True where ``gamma`` > 0: a constant added to all logits changes the
            loss, and probabilities do not tell it.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras.
        name: As in Keras.

    Targets are class indices (...,) or (..., 1), or shares (..., C); outputs (..., C), C >= 2.

    Raises:
        UsageError: ``gamma`` or ``tau`` below 0, or probabilities with factors.
        ShapeError: outputs are not (..., C), or targets do not fit them.

    Note:
        The true posterior is softmax(factors * z + tau log prior) / weight, normalised. Decide by
        z itself, as the paper does, or by the posterior; not by softmax(z).

    Example:
        >>> loss = VectorScalingLoss([0.9, 0.1])
        >>> round(float(loss([1], [[0.0, 0.0]])), 4)
        2.3026

    References:
        Kini et al., NeurIPS 2021, eq. 2; :func:`equipoise.losses.vector_scaling_loss`.
    """

    def __init__(
        self,
        prior: Vector,
        *,
        gamma: float = 0.15,
        tau: float = 1.0,
        weight: Vector | None = None,
        ignore_index: int = IGNORE_INDEX,
        from_logits: bool = True,
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
        self._settle(prior, gamma, tau, weight)
        if self.gamma > 0 and not from_logits:
            do = "Take the softmax out of the model, or use LogitAdjustedLoss."
            raise UsageError(say("from_logits", "be True with gamma > 0", from_logits, do))

    def _per_class(self, z: Any) -> Any:
        factor = (self.prior / self.prior.max()) ** self.gamma
        shift = self.tau * np.log(self.prior)
        factor, shift = (
            keras.ops.convert_to_tensor(v.astype(np.float32), z.dtype) for v in (factor, shift)
        )
        loss = -keras.ops.log_softmax(factor * z + shift, axis=-1)
        if self.weight is None:
            return loss
        return loss * keras.ops.convert_to_tensor(self.weight.astype(np.float32), z.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class CDTLoss(VectorScalingLoss):
    r"""Divide the logit of each class by a temperature that grows with rarity (Ye et al., 2020).

    Use when rare classes are fitted in training and missed in testing. Prefer
    :class:`LogitAdjustedLoss` as the first thing to try.

    .. math:: \ell_i = -\log \mathrm{softmax}(z_i / a)_{y_i}, \qquad
        a_k = (\max_j \pi_j / \pi_k)^\gamma

    Args:
        prior: Class shares (or counts) of the training rows, (C,), > 0.
        gamma: Strength, >= 0; 0 is cross entropy exactly.
        ignore_index: Class index of rows that are left out.
        from_logits: Must be True where ``gamma`` > 0.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras.
        name: As in Keras.

    Targets, outputs and errors as for :class:`VectorScalingLoss`.

    Note:
        The true posterior is softmax(z / a).

    Example:
        >>> loss = CDTLoss([0.9, 0.1])
        >>> round(float(loss([1], [[0.0, 0.0]])), 4)
        0.6931

    References:
        Ye et al., 2020, eq. 3; :func:`equipoise.losses.cdt_loss`.
    """

    def __init__(
        self,
        prior: Vector,
        *,
        gamma: float = 0.2,
        ignore_index: int = IGNORE_INDEX,
        from_logits: bool = True,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"from_logits": from_logits, "class_dim": class_dim}
        options["reduction"] = reduction
        options["ignore_index"] = ignore_index
        super().__init__(prior, gamma=gamma, tau=0.0, name=name, **options)
