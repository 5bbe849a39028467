"""Asymmetric loss: focusing apart for positives and negatives, and a margin on negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.labels.losses import AsymmetricSide, to_margin, to_strength
from equipoise.losses._checks import check_labels, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import Entrywise, Reduction, Term, reduce_loss
from equipoise.losses._terms import negative_focal, positive_focal, power, sigmoids
from equipoise.losses.base import Loss


@dense("multilabel", "entry")
def asymmetric_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    detach_focus: bool = False,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Silence easy negatives more than easy positives (Ridnik et al., 2021).

    Use when negatives outnumber positives many times in every row. Prefer :func:`bce_loss` with
    tuned thresholds when only the operating point is wrong.

    .. math::
        \ell = -y (1-p)^{\gamma_+} \log p - (1-y)\, p_m^{\gamma_-} \log(1-p_m), \quad
        p_m = \max(p - m, 0)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        gamma_positive: Focusing of positives, >= 0.
        gamma_negative: Focusing of negatives, >= 0.
        margin: Negatives with p below it have neither loss nor gradient; in [0, 1). With all three
            at 0 the loss is BCE exactly.
        detach_focus: Whether the focusing weights are constants for the gradient. Values do not
            change, training does: see the note.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "batchmean" by the number of rows with one, as published codes come close to;
            "sum". All keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: a negative gamma, or ``margin`` outside [0, 1).
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        The output 0.5 means, with settings (0, 4, 0.05), 0.128, and detached 0.036; with
        (1, 4, 0.05) 0.147 and 0.069; with (0, 2, 0.05) 0.312 and 0.156. With (0, 4, 0.05) no
        output means more than 0.964 (detached 0.942), and every output below the margin means 0.
        With a margin a negative at a very high logit has no gradient either. With
        ``gamma_negative`` 0 and a margin m the loss is continuous, but its slope jumps at p = m
        from 0 to m (1 - m): no output means a probability between 0 and that of the jump,
        m (1 - m) / (m (1 - m) + 1 - m) = m / (1 + m).

    Example:
        >>> import torch
        >>> z = torch.tensor([[0.0, -4.0]])
        >>> asymmetric_loss(z, torch.tensor([[1.0, 0.0]]), reduction="none")
        tensor([[0.6931, 0.0000]])

    References:
        Ridnik et al., Asymmetric Loss For Multi-Label Classification, ICCV 2021, eq. 7.
    """
    check_labels(logits, target)
    z = upcast(logits)
    focus = to_strength("gamma_positive", gamma_positive)
    loss = Entrywise(
        positive_focal(focus, detach=detach_focus),
        negative_margin(
            to_strength("gamma_negative", gamma_negative), to_margin(margin), detach=detach_focus
        ),
    )
    return reduce_loss(loss, z, target, reduction, dtype=logits.dtype)


def negative_margin(gamma: float, margin: float, *, detach: bool) -> Term:
    """Return the term -p_m^gamma log(1 - p_m) of negatives, with p_m = max(p - m, 0)."""
    if margin == 0.0:
        return negative_focal(gamma, detach=detach)

    def term(z: Tensor) -> tuple[Tensor, Tensor]:
        p, q = sigmoids(z)
        shifted = (p - margin).clamp_min(0.0)
        minus_log = -torch.log1p(-shifted)
        if gamma == 0.0:
            return minus_log, torch.where(shifted > 0, p * q / (1.0 - shifted), 0.0)
        # One factor of p_m stays outside, so that a small gamma divides nothing by zero.
        tiny = torch.finfo(p.dtype).tiny
        weight = power(shifted if gamma >= 1.0 else shifted.clamp_min(tiny), gamma - 1.0)
        rise = shifted / (1.0 - shifted)
        if not detach:
            rise = rise + gamma * minus_log
        return weight * (shifted * minus_log), weight * (rise * (p * q))

    return term


class AsymmetricLoss(AsymmetricSide, Loss):
    """Asymmetric loss of independent labels. See :func:`asymmetric_loss`.

    Args:
        gamma_positive: Focusing of positives, >= 0.
        gamma_negative: Focusing of negatives, >= 0.
        margin: Negatives below it are left alone; in [0, 1).
        detach_focus: Whether the focusing weights are constants for the gradient.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    def __init__(
        self,
        *,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        detach_focus: bool = False,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self._settle(gamma_positive, gamma_negative, margin, detach_focus)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`asymmetric_loss`."""
        return asymmetric_loss(
            logits,
            target,
            gamma_positive=self.gamma_positive,
            gamma_negative=self.gamma_negative,
            margin=self.margin,
            detach_focus=self.detach_focus,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        own = f"{self.gamma_positive:g}, {self.gamma_negative:g}, {self.margin:g}"
        return f"{own}, detach_focus={self.detach_focus}, {super().extra_repr()}"
