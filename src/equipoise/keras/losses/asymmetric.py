"""Asymmetric loss in Keras: focusing apart for positives and negatives, a margin on negatives."""

from __future__ import annotations

from typing import Any

from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import LabelLoss, focal, margin_focal
from equipoise.labels.losses import AsymmetricSide


@keras.saving.register_keras_serializable(PACKAGE)
class AsymmetricLoss(AsymmetricSide, LabelLoss):
    r"""Silence easy negatives more than easy positives (Ridnik et al., 2021).

    Use when negatives outnumber positives many times in every row. Prefer :class:`BCELoss` with
    tuned thresholds when only the operating point is wrong.

    .. math::
        \ell = -y (1-p)^{\gamma_+} \log p - (1-y)\, p_m^{\gamma_-} \log(1-p_m), \quad
        p_m = \max(p - m, 0)

    Args:
        gamma_positive: Focusing of positives, >= 0.
        gamma_negative: Focusing of negatives, >= 0.
        margin: Negatives with p below it have neither loss nor gradient; in [0, 1).
        detach_focus: Whether the focusing weights are constants for the gradient.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown), any dtype; outputs (..., L), floating.

    Raises:
        UsageError: a negative gamma, or ``margin`` outside [0, 1).

    Note:
        With (0, 4, 0.05) the output 0.5 means 0.128, detached 0.036; with (1, 4, 0.05) 0.147 and
        0.069. No output means more than 0.964 (detached 0.942), and every output below the margin
        means 0.

    Example:
        >>> loss = AsymmetricLoss(from_logits=True)
        >>> [round(float(v), 4) for v in loss.unreduced([[1.0, 0.0]], [[0.0, 0.0]])[0]]
        [0.6931, 0.0245]
        >>> loss.operating_point().round(3).tolist()
        [0.128]

    References:
        Ridnik et al., ICCV 2021, eq. 7; :func:`equipoise.losses.asymmetric_loss`.
    """

    def __init__(
        self,
        *,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        detach_focus: bool = False,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            from_logits=from_logits, class_dim=class_dim, reduction=reduction, name=name
        )
        self._settle(gamma_positive, gamma_negative, margin, detach_focus)

    def _terms(self, z: Any) -> tuple[Any, Any]:
        one = focal(-z, self.gamma_positive, detach=self.detach_focus)
        return one, margin_focal(z, self.gamma_negative, self.margin, detach=self.detach_focus)
