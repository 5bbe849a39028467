"""Focal losses of classes and labels, and the parts that stay exact where p is near 0 or 1."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise._core.targets import IGNORE_INDEX
from equipoise.labels.losses import SigmoidFocalSide, SoftmaxFocalSide, to_alpha, to_strength
from equipoise.losses._checks import (
    Vector,
    check_classes,
    check_labels,
    check_vector,
    pick,
    upcast,
)
from equipoise.losses._dense import dense
from equipoise.losses._passes import Entrywise, Reduction, reduce_loss, reduce_rows, rowwise
from equipoise.losses._terms import negative_focal, positive_focal
from equipoise.losses.base import ClassLoss, Loss


def log_one_minus(logits: Tensor, log_p: Tensor) -> Tensor:
    """Return log(1 - p) for p = softmax(logits), without cancellation where p is near 1."""
    top = logits.argmax(-1, keepdim=True)
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
    # The top class leaves what the others share; from its p near 1 no digit of that would be left.
    others = logits.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    rest = others - logits.logsumexp(-1, keepdim=True)
    small = torch.log1p(-torch.where(is_top, 0.0, log_p.exp()))
    return torch.where(is_top, rest, small)


_WHY = "Pass one weight per class, e.g. `class_weights(counts)`."


@dense("multiclass", "row")
def softmax_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Down-weight easy rows in single-label classification (Lin et al., 2017).

    Use when many rows are easy and drown the hard ones. Prefer :func:`logit_adjusted_loss` against
    a long tail: most hard rows there belong to frequent classes.

    .. math:: \ell_i = -w_{y_i} (1 - p_{i,y_i})^\gamma \log p_{i,y_i}

    Args:
        logits: Unnormalised scores, (..., N, C), floating, C >= 2. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        gamma: Focusing strength, >= 0; 0 is weighted cross entropy exactly.
        weight: One weight per class, (C,), or None. It multiplies the loss and leaves p alone.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``gamma`` < 0.
        ShapeError: ``weight`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        Makes probabilities too timid: the true posterior is proportional to p / (w A(p)) with
        A(p) = (1-p)^gamma - gamma p (1-p)^(gamma-1) log p. Distributed: no communication.

    Example:
        >>> import torch
        >>> softmax_focal_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), gamma=2.0)
        tensor(0.0018)

    References:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 4 and 5 (sigmoid form).
    """
    target, known = check_classes(logits, target, ignore_index)
    exponent = to_strength("gamma", gamma)
    if weight is not None:
        check_vector("weight", weight, logits, _WHY)
    z = upcast(logits)
    if target.is_floating_point():
        log_p = z.log_softmax(-1)
        every = -log_p if exponent == 0 else -log_p * (exponent * log_one_minus(z, log_p)).exp()
        loss = pick(every if weight is None else every * weight.to(z.dtype), target)
    else:
        loss = _hard_focal(z, target, exponent)
        loss = loss if weight is None else loss * weight.to(z.dtype)[target]
    return reduce_rows(loss, known, reduction, dtype=logits.dtype)


def _hard_focal(z: Tensor, target: Tensor, gamma: float) -> Tensor:
    if gamma == 0:
        return -pick(z.log_softmax(-1), target)

    def rule(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        # By the gap g, with p = sigmoid(-g): d/dg -q^gamma log p = q^gamma (q - gamma p log p).
        weight = (gamma * log_q).exp()
        return -log_p * weight, weight * (log_q.exp() - gamma * log_p.exp() * log_p)

    return rowwise(rule, z, target)


@dense("multilabel", "entry")
def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | Tensor | None = None,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Down-weight easy entries in binary and multi-label classification (Lin et al., 2017).

    Use when easy negatives dominate the loss. Prefer plain BCE with tuned thresholds when only
    the operating point is wrong.

    .. math::
        \ell = -\alpha\, y (1-p)^\gamma \log p - (1-\alpha)(1-y)\, p^\gamma \log(1-p)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        gamma: Focusing strength, >= 0; 0 is (alpha-weighted) BCE exactly.
        alpha: Weight of positives against 1 - alpha for negatives, in (0, 1): a number, (L,), or
            None for no weights at all. The published 0.25 weakens positives: for rare positives
            use None or more than 0.5. A setting: no gradient flows to it.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``gamma`` < 0, or a number ``alpha`` outside (0, 1).
        ShapeError: ``alpha`` is not (L,), or ``target`` does not fit ``logits``.

    Note:
        With gamma 2 the output 0.29 means 0.085; with alpha 0.25 also, 0.5 means 0.75.

    Example:
        >>> import torch
        >>> sigmoid_focal_loss(torch.tensor([[0.0]]), torch.tensor([[1.0]]), gamma=2.0)
        tensor(0.1733)

    References:
        Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 5.
    """
    check_labels(logits, target)
    exponent = to_strength("gamma", gamma)
    z = upcast(logits)
    one = zero = None
    if isinstance(alpha, Tensor):
        check_vector("alpha", alpha, logits, "Pass one number per label, or one for all.")
        one = alpha.to(z.dtype)
    elif alpha is not None:
        one = torch.full((1,), to_alpha(alpha), dtype=z.dtype, device=z.device)
    if one is not None:
        zero = 1.0 - one
    loss = Entrywise(positive_focal(exponent), negative_focal(exponent))
    return reduce_loss(
        loss, z, target, reduction, dtype=logits.dtype, one_weight=one, zero_weight=zero
    )


class SoftmaxFocalLoss(SoftmaxFocalSide, ClassLoss):
    """Focal loss of single-label classes. See :func:`softmax_focal_loss`.

    Args:
        gamma: Focusing strength, >= 0.
        weight: One weight per class, (C,), or None; kept as a float32 buffer.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    weight: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        weight: Vector | None = None,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self._settle(gamma, weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`softmax_focal_loss`."""
        return softmax_focal_loss(
            logits,
            target,
            gamma=self.gamma,
            weight=self.weight,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        shape = None if self.weight is None else tuple(self.weight.shape)
        return f"gamma={self.gamma:g}, weight={shape}, {super().extra_repr()}"


class SigmoidFocalLoss(SigmoidFocalSide, Loss):
    """Focal loss of independent labels. See :func:`sigmoid_focal_loss`.

    Args:
        gamma: Focusing strength, >= 0.
        alpha: Weight of positives in (0, 1): a number, one per label (L,), or None.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    alpha: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: float | Vector | None = None,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self._settle(gamma, alpha)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`sigmoid_focal_loss`."""
        alpha = self.alpha_number if self.alpha is None else self.alpha
        return sigmoid_focal_loss(
            logits,
            target,
            gamma=self.gamma,
            alpha=alpha,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        alpha = self.alpha_number if self.alpha is None else tuple(self.alpha.shape)
        return f"gamma={self.gamma:g}, alpha={alpha}, {super().extra_repr()}"
