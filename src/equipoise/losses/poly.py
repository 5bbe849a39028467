"""Poly-1: cross entropy with its leading polynomial term turned up or down."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from equipoise._core.targets import IGNORE_INDEX
from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.losses._checks import check_classes, pick, upcast
from equipoise.losses._reduction import Reduction, reduce_rows
from equipoise.losses._rows import rowwise
from equipoise.losses.base import ClassLoss


def poly1_cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    *,
    epsilon: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Change the first term of the expansion of cross entropy in 1 - p (Leng et al., 2022).

    Use when plain cross entropy under-fits and one number is to be tuned. Prefer
    :func:`logit_adjusted_loss` against imbalance: this loss treats all classes alike.

    .. math:: \ell_i = -\log p_{i,y_i} + \epsilon (1 - p_{i,y_i})

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        epsilon: Weight of the added term, > -1; 0 is cross entropy exactly.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``epsilon`` is not above -1: right answers would be pushed away.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        With epsilon > 0 probabilities are too sure: the gradient is (1 + e p)(p - e_y), so the
        true posterior is proportional to p / (1 + e p). Distributed: no communication.

    Example:
        >>> import torch
        >>> poly1_cross_entropy_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), epsilon=1.0)
        tensor(0.2461)

    References:
        Leng et al., PolyLoss, ICLR 2022, section 3.
    """
    target, known = check_classes(logits, target, ignore_index)
    strength = _to_epsilon(epsilon)
    z = upcast(logits)
    if target.is_floating_point():
        log_p = z.log_softmax(-1)
        loss = pick(-log_p - strength * torch.expm1(log_p), target)
    else:
        loss = rowwise(partial(_rule, epsilon=strength), z, target)
    return reduce_rows(loss, known, reduction, dtype=logits.dtype)


def _rule(log_p: Tensor, log_q: Tensor, *, epsilon: float) -> tuple[Tensor, Tensor]:
    q = log_q.exp()
    return epsilon * q - log_p, q * (1.0 + epsilon * log_p.exp())


def _to_epsilon(value: float) -> float:
    if not -1.0 < value < math.inf:
        raise UsageError(say("epsilon", "be finite and > -1", value, "Start with 1."))
    return float(value)


class Poly1CrossEntropyLoss(ClassLoss):
    """Cross entropy plus epsilon (1 - p). See :func:`poly1_cross_entropy_loss`.

    Args:
        epsilon: Weight of the added term, > -1.
        ignore_index: Class index of rows that are left out.
        reduction: "none", "mean" or "sum".
    """

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        ignore_index: int = IGNORE_INDEX,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.epsilon = _to_epsilon(epsilon)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`poly1_cross_entropy_loss`."""
        return poly1_cross_entropy_loss(
            logits,
            target,
            epsilon=self.epsilon,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def _log_posterior(self, z: Tensor) -> Tensor:
        log_p = z.log_softmax(-1)
        return log_p - torch.log1p(self.epsilon * log_p.exp())

    def _ops(self) -> list[dict[str, Any]]:
        return [{"op": "poly", "epsilon": self.epsilon}] if self.epsilon else []

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"epsilon={self.epsilon:g}, {super().extra_repr()}"
