"""Cross entropy, plain and weighted: the baseline and its most common remedy."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, distributed as dist

from equipoise._core.messages import one_of, say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.errors import UsageError
from equipoise.labels.losses import ClassWeightSide, Steps
from equipoise.losses._checks import (
    Vector,
    check_classes,
    check_vector,
    known_rows,
    upcast,
)
from equipoise.losses._dense import dense
from equipoise.losses._passes import Reduction, reduce_rows
from equipoise.losses.base import ClassLoss
from equipoise.losses.smoothing import smoothed, to_smoothing, unmix_ops

Normalizer = Literal["samples", "weights", "global"]
NORMALIZERS: tuple[Normalizer, ...] = ("samples", "weights", "global")
_WHY = "Pass one weight per class, e.g. `class_weights(counts)`."


def _in_place(
    z: Tensor,
    y: Tensor,
    slope: Tensor | None,
    *,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    **_: Any,
) -> Tensor:
    """Return -w log p of the class of every row, (A, B), and write w (p - e) to ``slope``.

    Args:
        z: Outputs, (A, C, B), float32 or wider.
        y: Class indices, (A, B).
        slope: Where the slopes of the losses go, (A, C, B), or None.
        weight: One weight per class, (C,); None is 1.
        ignore_index: Class index of rows without a loss.
    """
    y, known = check_classes(z.movedim(1, -1), y, ignore_index)
    log_p = z.log_softmax(1)
    at = y.unsqueeze(1)
    loss = -log_p.gather(1, at).squeeze(1)
    w = None if weight is None else weight.to(z.dtype)[y]
    if w is not None:
        loss = w * loss
    if known is not None:
        loss = torch.where(known, loss, 0.0)
        w = known.to(z.dtype) if w is None else torch.where(known, w, 0.0)
    if slope is not None:
        p = log_p.exp_()
        p.scatter_add_(1, at, torch.full_like(p[:, :1], -1.0))
        slope.copy_(p if w is None else p.mul_(w.unsqueeze(1)))
    return loss


@dense("multiclass", "row", in_place=_in_place)
def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Score single-label classification by the negative log-likelihood.

    Use as the baseline that every remedy has to beat. Prefer :func:`logit_adjusted_loss` when
    balanced accuracy is the aim.

    .. math:: \ell_i = -(1 - \epsilon) \log p_{i,y_i} - \epsilon / C \sum_k \log p_{i,k}

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C),
            floating (mixup).
        label_smoothing: Share of each target that is spread evenly over all classes, in [0, 1).
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``target`` does not fit ``logits``.
        DataError: wrong dtypes.

    Note:
        Leaves probabilities as they are; with smoothing, p = (1 - e) times the true ones + e / C.
        Distributed: no communication; the mean is per rank.

    Example:
        >>> import torch
        >>> cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        tensor(0.1269)
    """
    target, known = check_classes(logits, target, ignore_index)
    log_p = upcast(logits).log_softmax(-1)
    loss = -smoothed(log_p, target, to_smoothing(label_smoothing))
    return reduce_rows(loss, known, reduction, dtype=logits.dtype)


def _of_rows(weight: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
    """Return the weight of every row's class, (..., N), 0 where unknown."""
    if target.is_floating_point():
        target = target if known is None else torch.where(known.unsqueeze(-1), target, 0.0)
        of_rows = (weight * target.to(weight.dtype)).sum(-1)
    else:
        of_rows = weight[target if known is None else torch.where(known, target, 0)]
    return of_rows if known is None else torch.where(known, of_rows, 0.0)


def _mean_divisor(
    weight: Tensor,
    target: Tensor,
    known: Tensor | None,
    normalizer: Normalizer,
    weight_total: float | Tensor | None,
) -> Tensor:
    """Return the sum of the weights of the rows, (...), or of those of a whole step."""
    own = _of_rows(weight, target, known).sum(-1)
    return _per_rank(own, weight_total) if normalizer == "global" else own


def _dense_divisor(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    normalizer: Normalizer = "samples",
    weight_total: float | Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    **_: Any,
) -> Tensor | None:
    if normalizer == "samples":
        return None
    known = known_rows(target, ignore_index)
    w = weight.to(upcast(logits[:0]).dtype)
    return _mean_divisor(w, target, known, normalizer, weight_total)


@dense("multiclass", "row", divisor=_dense_divisor, in_place=_in_place)
def weighted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    normalizer: Normalizer = "samples",
    weight_total: float | Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weight the cross entropy of each row by the weight of its class.

    Use when rare classes are to count more while the network cannot yet separate the training
    rows. Prefer :func:`logit_adjusted_loss` when it can: weights then fade out.

    .. math::
        \ell_i = -w_{y_i} \left[ (1 - \epsilon) \log p_{i,y_i}
        + \epsilon / C \sum_k \log p_{i,k} \right], \qquad \text{mean} = \sum_i \ell_i / D

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        weight: One weight per class, (C,), floating, >= 0.
        normalizer: D of "mean": "samples" is N; "weights" is the sum of the weights of the rows
            (what torch does for class indices: a batch of one row then ignores its weight, and
            gradient accumulation is no longer exact); "global" is the sum of the weights of all
            rows of an optimiser step, over micro-batches and ranks: see the note.
        weight_total: For "global": the sum of the weights of this rank's rows in the whole step,
            all micro-batches together; None is this batch alone.
        label_smoothing: As for :func:`cross_entropy`. The weight of the row's class counts for
            the whole smoothed term; weights inside the sum (as torch has them) would draw p
            towards classes with large weights.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N); "mean"; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``weight`` is not (C,), or ``target`` does not fit ``logits``.
        UsageError: an unknown ``normalizer``; ``weight_total`` with one that takes none.

    Note:
        Softmax then estimates a posterior proportional to w times the true one: divide by w.
        Hard and one-hot targets give the same value. Distributed: "samples" and "weights" do not
        communicate, so with "weights" each rank divides by its own sum. With "global", totals
        are summed over ranks where torch.distributed is initialised, and the mean is multiplied
        by the number of ranks, since DDP averages gradients over them: the step is then the one
        of a single process with all rows. Add up the micro-batches, do not average them.

    Example:
        >>> import torch
        >>> weighted_cross_entropy(
        ...     torch.tensor([[2.0, 0.0]]), torch.tensor([0]), weight=torch.tensor([10.0, 1.0])
        ... )
        tensor(1.2693)
    """
    target, known = check_classes(logits, target, ignore_index)
    check_vector("weight", weight, logits, _WHY)
    one_of("normalizer", normalizer, NORMALIZERS)
    if weight_total is not None and normalizer != "global":
        do = "Leave it out, or ask for the normalizer 'global'."
        raise UsageError(say("weight_total", "come with 'global'", f"'{normalizer}'", do))
    log_p = upcast(logits).log_softmax(-1)
    w = weight.to(log_p.dtype)
    divisor = None
    if normalizer != "samples" and reduction == "mean":
        divisor = _mean_divisor(w, target, known, normalizer, weight_total)
    loss = -smoothed(log_p, target, to_smoothing(label_smoothing), w)
    return reduce_rows(loss, known, reduction, dtype=logits.dtype, divisor=divisor)


def _per_rank(own: Tensor, weight_total: float | Tensor | None) -> Tensor:
    """Return the weight total of a whole step over the number of ranks."""
    total = own.detach()
    if weight_total is not None:
        given = torch.as_tensor(weight_total, dtype=own.dtype, device=own.device)
        total = given.detach().expand_as(own)
    if dist.is_available() and dist.is_initialized():
        # Over the number of ranks, because DDP will take the mean of their gradients.
        total = total.clone()
        dist.all_reduce(total)
        total = total / dist.get_world_size()
    return total


class CrossEntropyLoss(ClassLoss):
    """The negative log-likelihood of single-label classes. See :func:`cross_entropy`.

    Args:
        label_smoothing: Share of each target spread evenly over all classes, in [0, 1).
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self.label_smoothing = to_smoothing(label_smoothing)
        self.is_untreated = self.label_smoothing == 0.0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`cross_entropy`."""
        return cross_entropy(
            logits,
            target,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def _ops(self) -> Steps:
        return unmix_ops(self.label_smoothing)

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"label_smoothing={self.label_smoothing:g}, {super().extra_repr()}"


class WeightedCrossEntropyLoss(ClassWeightSide, ClassLoss):
    """Cross entropy with one weight per class. See :func:`weighted_cross_entropy`.

    Args:
        weight: One weight per class, (C,), >= 0; kept as a float32 buffer.
        normalizer: "samples", "weights" or "global".
        label_smoothing: Share of each target spread evenly over all classes, in [0, 1).
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    weight: Tensor

    def __init__(
        self,
        weight: Vector,
        *,
        normalizer: Normalizer = "samples",
        label_smoothing: float = 0.0,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        one_of("normalizer", normalizer, NORMALIZERS)
        self.label_smoothing = to_smoothing(label_smoothing)
        self.normalizer: Normalizer = normalizer
        self._settle_weight(weight)

    def weight_total(self, *targets: Tensor) -> Tensor:
        """Return the sum of the weights of the known rows of these targets."""
        return torch.stack([self._total(self._rows(target)) for target in targets]).sum()

    def _total(self, target: Tensor) -> Tensor:
        return _of_rows(self.weight, target, known_rows(target, self.ignore_index)).sum()

    def _divisor(self, target: Tensor) -> Tensor:
        """Return how many rows are known, or the sum of their weights."""
        if self.normalizer == "samples" or self.reduction != "mean":
            return super()._divisor(target)
        total = self._total(target)
        return total if self.normalizer == "weights" else _per_rank(total, None)

    def forward(
        self, logits: Tensor, target: Tensor, weight_total: float | Tensor | None = None
    ) -> Tensor:
        """See :func:`weighted_cross_entropy`."""
        return weighted_cross_entropy(
            logits,
            target,
            weight=self.weight,
            normalizer=self.normalizer,
            weight_total=weight_total,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def _ops(self) -> Steps:
        return unmix_ops(self.label_smoothing) + super()._ops()

    def extra_repr(self) -> str:
        """Name the settings."""
        settings = f"weight={tuple(self.weight.shape)}, normalizer={self.normalizer!r}"
        settings += f", label_smoothing={self.label_smoothing:g}"
        return f"{settings}, {super().extra_repr()}"
