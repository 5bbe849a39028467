"""Asymmetric loss in Keras: focusing apart for positives and negatives, a margin on negatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.logistic import log_expit
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses._checks import to_strength, unit_interval
from equipoise.keras.losses._terms import focal, log_slope_scale, margin_focal, margin_log_slope
from equipoise.keras.losses.base import LabelLoss


@keras.saving.register_keras_serializable(PACKAGE)
class AsymmetricLoss(LabelLoss):
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

    Source:
        Ridnik et al., ICCV 2021, eq. 7; :func:`equipoise.losses.asymmetric_loss`.
    """

    def __init__(
        self,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        *,
        detach_focus: bool = False,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction, name=name)
        self.gamma_positive = to_strength("gamma_positive", gamma_positive)
        self.gamma_negative = to_strength("gamma_negative", gamma_negative)
        self.margin = unit_interval("margin", margin, "The published margin is 0.05.")
        self.detach_focus = bool(detach_focus)

    def settings(self) -> dict[str, Any]:
        """Return the two gammas, the margin and whether focus is detached."""
        names = ("gamma_positive", "gamma_negative", "margin", "detach_focus")
        return {name: getattr(self, name) for name in names}

    def _terms(self, z: Any) -> tuple[Any, Any]:
        one = focal(-z, self.gamma_positive, detach=self.detach_focus)
        return one, margin_focal(z, self.gamma_negative, self.margin, detach=self.detach_focus)

    def _log_odds(self, z: Floats) -> Floats:
        log_p, log_q = log_expit(z), log_expit(-z)
        one = log_slope_scale(log_p, log_q, self.gamma_positive)
        if self.detach_focus:
            one = self.gamma_positive * log_q
        zero = margin_log_slope(z, self.gamma_negative, self.margin, detach=self.detach_focus)
        return np.asarray(zero - one)
