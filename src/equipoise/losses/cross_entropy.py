"""Cross entropy, plain and weighted: the baseline and its most common remedy."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from equipoise._core.checks import one_of
from equipoise.labels.weights import Counts, Normalize, WeightMethod, ZeroCounts, class_weights
from equipoise.losses._checks import Vector, check_classes, check_vector, pick, to_vector, upcast
from equipoise.losses._reduction import Reduction, reduce_rows
from equipoise.losses.base import Loss, log_offset, offset_op

__all__ = [
    "CrossEntropyLoss",
    "Normalizer",
    "WeightedCrossEntropyLoss",
    "cross_entropy",
    "weighted_cross_entropy",
]

Normalizer = Literal["samples", "weights"]
NORMALIZERS: tuple[Normalizer, ...] = ("samples", "weights")
_WHY = "Pass one weight per class, e.g. `class_weights(counts)`."


def cross_entropy(logits: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    r"""Score single-label classification by the negative log-likelihood.

    Use as the baseline that every remedy has to beat. Prefer :func:`logit_adjusted_loss` when
    balanced accuracy is the aim.

    .. math:: \ell_i = -\log p_{i,y_i}

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C),
            floating (mixup).
        reduction: "none" gives (..., N); "mean" divides by N; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``target`` does not fit ``logits``.
        DataError: wrong dtypes.

    Note:
        Leaves probabilities as they are. Distributed: no communication; the mean is per rank.

    Example:
        >>> import torch
        >>> cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        tensor(0.1269)
    """
    check_classes(logits, target)
    log_p = upcast(logits).log_softmax(-1)
    return reduce_rows(-pick(log_p, target), reduction, dtype=logits.dtype)


def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    normalizer: Normalizer = "samples",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weight the cross entropy of each row by the weight of its class.

    Use when rare classes are to count more while the network cannot yet separate the training
    rows. Prefer :func:`logit_adjusted_loss` when it can: weights then fade out.

    .. math:: \ell_i = -w_{y_i} \log p_{i,y_i}, \qquad \text{mean} = \sum_i \ell_i / D

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        weight: One weight per class, (C,), floating, >= 0.
        normalizer: D of "mean": "samples" is N; "weights" is the sum of the weights of the rows
            (what torch does for class indices: a batch of one row then ignores its weight, and
            gradient accumulation is no longer exact).
        reduction: "none" gives (..., N); "mean"; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``weight`` is not (C,), or ``target`` does not fit ``logits``.
        UsageError: an unknown ``normalizer``.

    Note:
        Softmax then estimates a posterior proportional to w times the true one: divide by w.
        Hard and one-hot targets give the same value. Distributed: no communication, so with
        "weights" each rank divides by its own sum.

    Example:
        >>> import torch
        >>> weighted_cross_entropy(
        ...     torch.tensor([[2.0, 0.0]]), torch.tensor([0]), weight=torch.tensor([10.0, 1.0])
        ... )
        tensor(1.2693)
    """
    check_classes(logits, target)
    check_vector("weight", weight, logits, _WHY)
    one_of("normalizer", normalizer, NORMALIZERS)
    log_p = upcast(logits).log_softmax(-1)
    w = weight.to(log_p.dtype).expand_as(log_p)
    divisor = pick(w, target).sum(-1) if normalizer == "weights" else None
    return reduce_rows(pick(-w * log_p, target), reduction, dtype=logits.dtype, divisor=divisor)


class CrossEntropyLoss(Loss):
    """The negative log-likelihood of single-label classes. See :func:`cross_entropy`.

    Args:
        reduction: "none", "mean" or "sum".
    """

    kind = "multiclass"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`cross_entropy`."""
        return cross_entropy(logits, target, reduction=self.reduction)

    def _log_posterior(self, z: Tensor) -> Tensor:
        return z

    def _ops(self) -> list[dict[str, Any]]:
        return []


class WeightedCrossEntropyLoss(Loss):
    """Cross entropy with one weight per class. See :func:`weighted_cross_entropy`.

    Args:
        weight: One weight per class, (C,), >= 0; kept as a float32 buffer.
        normalizer: "samples" or "weights".
        reduction: "none", "mean" or "sum".
    """

    kind = "multiclass"
    weight: Tensor

    def __init__(
        self,
        weight: Vector,
        *,
        normalizer: Normalizer = "samples",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        one_of("normalizer", normalizer, NORMALIZERS)
        self.normalizer: Normalizer = normalizer
        self.register_buffer("weight", to_vector("weight", weight))
        self.num_classes = self.weight.shape[0]

    @classmethod
    def from_class_counts(
        cls,
        counts: Counts,
        *,
        method: WeightMethod = "inverse",
        power: float = 0.5,
        beta: float | Literal["(N-1)/N"] = 0.999,
        normalize: Normalize | None = "samples",
        zero_counts: ZeroCounts = "error",
        normalizer: Normalizer = "samples",
        reduction: Reduction = "mean",
    ) -> WeightedCrossEntropyLoss:
        """Weigh by counts; see :func:`equipoise.labels.weights.class_weights`."""
        weight = class_weights(
            counts,
            method=method,
            power=power,
            beta=beta,
            normalize=normalize,
            zero_counts=zero_counts,
        )
        return cls(weight, normalizer=normalizer, reduction=reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`weighted_cross_entropy`."""
        return weighted_cross_entropy(
            logits,
            target,
            weight=self.weight,
            normalizer=self.normalizer,
            reduction=self.reduction,
        )

    def _log_posterior(self, z: Tensor) -> Tensor:
        return z + log_offset("weight", self.weight)

    def _ops(self) -> list[dict[str, Any]]:
        return [offset_op(log_offset("weight", self.weight))]

    def extra_repr(self) -> str:
        """Name the settings."""
        settings = f"weight={tuple(self.weight.shape)}, normalizer={self.normalizer!r}"
        return f"{settings}, {super().extra_repr()}"
