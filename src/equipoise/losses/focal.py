"""Focal losses of classes and labels, and the parts that stay exact where p is near 0 or 1."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from equipoise._core.targets import IGNORE_INDEX
from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.labels._count_input import Counts
from equipoise.labels.weights import Normalize, WeightMethod, ZeroCounts, class_weights
from equipoise.losses._checks import (
    Vector,
    check_classes,
    check_labels,
    check_vector,
    pick,
    to_strength,
    to_vector,
    upcast,
)
from equipoise.losses._entries import Entrywise, reduce_loss
from equipoise.losses._reduction import Reduction, reduce_rows
from equipoise.losses._rows import rowwise
from equipoise.losses._terms import negative_focal, positive_focal
from equipoise.losses.base import ClassLoss, Loss, log_offset, offset_op


def log_one_minus(logits: Tensor, log_p: Tensor) -> Tensor:
    """Return log(1 - p) for p = softmax(logits), without cancellation where p is near 1."""
    top = logits.argmax(-1, keepdim=True)
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
    others = logits.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    rest = others - logits.logsumexp(-1, keepdim=True)
    small = torch.log1p(-torch.where(is_top, 0.0, log_p.exp()))
    return torch.where(is_top, rest, small)


def log_scale(log_p: Tensor, log_q: Tensor, gamma: float) -> Tensor:
    """Return log A with A = q^gamma - gamma p q^(gamma-1) log p, for q = 1 - p given apart.

    The gradient of the focal term is A (p - e_y), so the true probability goes with p / A.
    """
    if gamma == 0:
        return torch.zeros_like(log_p)
    tiny = torch.finfo(log_p.dtype).tiny
    inner = log_q.exp() - gamma * log_p.exp() * log_p
    # Where p rounds to 1 the first order holds: log p = -q, so inner = (1 + gamma) q.
    first_order = log_q + torch.log1p(torch.full_like(log_q, gamma))
    inner_log = torch.where(log_q > -30.0, inner.clamp_min(tiny).log(), first_order)
    return (gamma - 1.0) * log_q + inner_log


_WHY = "Pass one weight per class, e.g. `class_weights(counts)`."


def softmax_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
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
        weight = (gamma * log_q).exp()
        return -log_p * weight, weight * (log_q.exp() - gamma * log_p.exp() * log_p)

    return rowwise(rule, z, target)


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | Tensor | None = None,
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
        one = torch.full((1,), _open_fraction(alpha), dtype=z.dtype, device=z.device)
    if one is not None:
        zero = 1.0 - one
    loss = Entrywise(positive_focal(exponent), negative_focal(exponent))
    return reduce_loss(
        loss, z, target, reduction, dtype=logits.dtype, one_weight=one, zero_weight=zero
    )


def _open_fraction(alpha: float) -> float:
    if not 0.0 < alpha < 1.0:
        do = "None leaves positives and negatives unweighted."
        raise UsageError(say("alpha", "lie in (0, 1)", alpha, do))
    return alpha


class SoftmaxFocalLoss(ClassLoss):
    """Focal loss of single-label classes. See :func:`softmax_focal_loss`.

    Args:
        gamma: Focusing strength, >= 0.
        weight: One weight per class, (C,), or None; kept as a float32 buffer.
        ignore_index: Class index of rows that are left out.
        reduction: "none", "mean" or "sum".
    """

    weight: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        *,
        weight: Vector | None = None,
        ignore_index: int = IGNORE_INDEX,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        self.gamma = to_strength("gamma", gamma)
        vector = None if weight is None else to_vector("weight", weight)
        self.register_buffer("weight", vector)
        self.num_classes = None if vector is None else vector.shape[0]

    @classmethod
    def from_class_counts(
        cls,
        counts: Counts,
        *,
        gamma: float = 2.0,
        method: WeightMethod = "inverse",
        power: float = 0.5,
        beta: float | Literal["(N-1)/N"] = 0.999,
        normalize: Normalize | None = "samples",
        zero_counts: ZeroCounts = "error",
        ignore_index: int = IGNORE_INDEX,
        reduction: Reduction = "mean",
    ) -> SoftmaxFocalLoss:
        """Weigh by counts; see :func:`equipoise.labels.weights.class_weights`."""
        weight = class_weights(
            counts,
            method=method,
            power=power,
            beta=beta,
            normalize=normalize,
            zero_counts=zero_counts,
        )
        return cls(gamma, weight=weight, ignore_index=ignore_index, reduction=reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`softmax_focal_loss`."""
        return softmax_focal_loss(
            logits,
            target,
            gamma=self.gamma,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def _log_posterior(self, z: Tensor) -> Tensor:
        log_p = z.log_softmax(-1)
        log_eta = log_p - log_scale(log_p, log_one_minus(z, log_p), self.gamma)
        return log_eta if self.weight is None else log_eta + log_offset("weight", self.weight)

    def _ops(self) -> list[dict[str, Any]]:
        ops: list[dict[str, Any]] = []
        if self.gamma > 0:
            ops.append({"op": "focal", "gamma": self.gamma})
        if self.weight is not None:
            ops.append(offset_op(log_offset("weight", self.weight)))
        return ops

    def extra_repr(self) -> str:
        """Name the settings."""
        shape = None if self.weight is None else tuple(self.weight.shape)
        return f"gamma={self.gamma:g}, weight={shape}, {super().extra_repr()}"


class SigmoidFocalLoss(Loss):
    """Focal loss of independent labels. See :func:`sigmoid_focal_loss`.

    Args:
        gamma: Focusing strength, >= 0.
        alpha: Weight of positives in (0, 1): a number, one per label (L,), or None.
        reduction: "none", "mean" or "sum".
    """

    kind = "multilabel"
    alpha: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        *,
        alpha: float | Vector | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.gamma = to_strength("gamma", gamma)
        scalar = isinstance(alpha, (int, float))
        self.alpha_number: float | None = _open_fraction(float(alpha)) if scalar else None  # type: ignore[arg-type]
        vector = None if alpha is None or scalar else to_vector("alpha", alpha)
        if vector is not None and bool(((vector <= 0) | (vector >= 1)).any()):
            raise UsageError(say("alpha", "lie in (0, 1) for every label", vector.tolist()))
        self.register_buffer("alpha", vector)
        self.num_classes = None if vector is None else vector.shape[0]

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`sigmoid_focal_loss`."""
        alpha = self.alpha_number if self.alpha is None else self.alpha
        return sigmoid_focal_loss(
            logits, target, gamma=self.gamma, alpha=alpha, reduction=self.reduction
        )

    def _positive_weight(self) -> Tensor | None:
        """Return alpha / (1 - alpha) in float64: what alpha does, as a weight on positives."""
        alpha = self.alpha
        if alpha is None:
            if self.alpha_number is None:
                return None
            alpha = torch.tensor([self.alpha_number], dtype=torch.float64)
        return alpha.double() / (1.0 - alpha.double())

    def _log_posterior(self, z: Tensor) -> Tensor:
        log_p, log_q = logsigmoid(z), logsigmoid(-z)
        log_odds = z + log_scale(log_q, log_p, self.gamma) - log_scale(log_p, log_q, self.gamma)
        weight = self._positive_weight()
        return log_odds if weight is None else log_odds - weight.to(z.device).log()

    def _ops(self) -> list[dict[str, Any]]:
        ops: list[dict[str, Any]] = []
        if self.gamma > 0:
            ops.append({"op": "focal", "gamma": self.gamma})
        weight = self._positive_weight()
        if weight is not None:
            ops.append(offset_op(log_offset("alpha", weight)))
        return ops

    def _nominal_weight(self) -> tuple[float, ...] | None:
        weight = self._positive_weight()
        return None if weight is None else tuple(weight.tolist())

    def extra_repr(self) -> str:
        """Name the settings."""
        alpha = self.alpha_number if self.alpha is None else tuple(self.alpha.shape)
        return f"gamma={self.gamma:g}, alpha={alpha}, {super().extra_repr()}"
