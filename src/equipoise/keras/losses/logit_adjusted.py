"""Logit adjustment in Keras: add the log prior while training, so that logits are balanced."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.targets import IGNORE_INDEX
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import ClassLoss, Vector
from equipoise.labels.losses import LogitAdjustedSide, ZeroPrior


@keras.saving.register_keras_serializable(PACKAGE)
class LogitAdjustedLoss(LogitAdjustedSide, ClassLoss):
    r"""Cross entropy with the log prior added to the logits (Menon et al., 2021).

    Use when balanced accuracy, or accuracy under another known prior, is the aim. Prefer plain
    cross entropy and a shift of its logits afterwards when one model serves several priors.

    .. math:: \ell_i = -\log \mathrm{softmax}(z_i + \tau (\log \pi - \log \pi^{t}))_{y_i}

    Args:
        prior: Class shares (or counts) of the training rows, (C,); normalised.
        tau: Strength, >= 0; 0 is cross entropy exactly.
        target_prior: Class shares where the model is to be right, (C,); None is uniform.
        zero_prior: "error" refuses a share of 0; "ignore" leaves such classes out of the softmax.
        ignore_index: Class index of rows that are left out.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras.
        name: As in Keras.

    Targets are class indices (...,) or (..., 1), or shares (..., C); outputs (..., C), C >= 2.

    Raises:
        UsageError: ``tau`` < 0.
        DataError: a share of 0, unless ignored.
        ShapeError: outputs are not (..., C), or targets do not fit them.

    Note:
        softmax(z) is the posterior under ``target_prior`` (with tau = 1); that under the training
        prior is softmax(z + tau (log prior - log target_prior)). Do not combine with a
        class-balanced sampler: both correct the prior.

    Example:
        >>> loss = LogitAdjustedLoss([0.9, 0.1], from_logits=True)
        >>> round(float(loss([1], [[0.0, 0.0]])), 4), loss.operating_point().round(2).tolist()
        (2.3026, [0.9, 0.1])

    References:
        Menon et al., ICLR 2021, eq. 10; :func:`equipoise.losses.logit_adjusted_loss`.
    """

    def __init__(
        self,
        prior: Vector,
        *,
        tau: float = 1.0,
        target_prior: Vector | None = None,
        zero_prior: ZeroPrior = "error",
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
        self._settle(prior, tau, target_prior, zero_prior)

    def _per_class(self, z: Any) -> Any:
        offset = keras.ops.convert_to_tensor(self._offset().astype(np.float32), z.dtype)
        return -keras.ops.log_softmax(z + offset, axis=-1)


@keras.saving.register_keras_serializable(PACKAGE)
class BalancedSoftmaxLoss(LogitAdjustedLoss):
    r"""Logit adjustment with tau = 1 under its other name (Ren et al., 2020).

    Use as :class:`LogitAdjustedLoss`; prefer that to choose tau or a target prior.

    .. math:: \ell_i = -\log \frac{\pi_{y_i} e^{z_{i,y_i}}}{\sum_k \pi_k e^{z_{i,k}}}

    Args:
        prior: Class shares (or counts) of the training rows, (C,); normalised.
        zero_prior: "error" refuses a share of 0; "ignore" leaves such classes out of the softmax.
        ignore_index: Class index of rows that are left out.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras.
        name: As in Keras.

    Targets, outputs, errors and calibration as for :class:`LogitAdjustedLoss`.

    Example:
        >>> loss = BalancedSoftmaxLoss([0.9, 0.1], from_logits=True)
        >>> round(float(loss([1], [[0.0, 0.0]])), 4)
        2.3026

    References:
        Ren et al., NeurIPS 2020, eq. 4; :func:`equipoise.losses.balanced_softmax_loss`.
    """

    def __init__(
        self,
        prior: Vector,
        *,
        zero_prior: ZeroPrior = "error",
        ignore_index: int = IGNORE_INDEX,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"from_logits": from_logits, "class_dim": class_dim}
        options["reduction"] = reduction
        options["ignore_index"] = ignore_index
        super().__init__(prior, zero_prior=zero_prior, name=name, **options)
