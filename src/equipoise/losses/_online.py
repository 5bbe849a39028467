"""What the losses over picked entries share: their checks, their mean and their Module."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch import distributed as dist

from equipoise._core.targets import IGNORE_INDEX
from equipoise._core.words import one_of, say
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.errors import ShapeError, UsageError
from equipoise.losses._checks import check_classes, check_labels, upcast
from equipoise.losses._reduction import REDUCTIONS, Reduction
from equipoise.losses._selection import Band, Per, Selection
from equipoise.losses.base import Loss

LossFunction = Callable[[Tensor, Tensor], Tensor]
_PER: dict[Kind, tuple[Per, ...]] = {
    "multilabel": ("batch", "image", "label"),
    "multiclass": ("batch", "class"),
}


def make_rule(
    loss: LossFunction,
    kind: Kind | None,
    per: Per,
    gather: bool,
    band: Band,
    *,
    positives: bool = False,
    background: int | None = None,
) -> Selection:
    """Check what the three losses share and return what picks."""
    reduces = getattr(loss, "reduction", "none")
    if reduces != "none":
        do = 'Build it with reduction="none".'
        raise UsageError(say("loss", "return one value per row or entry", f"{reduces!r}", do))
    said = kind if kind is not None else getattr(loss, "kind", None)
    if said is None:
        do = 'Name it: kind="multilabel" or kind="multiclass".'
        raise UsageError(say("kind", "be given for a loss that does not say it", None, do))
    known: Kind = one_of("kind", said, KINDS)
    allowed = _PER[known]
    if positives and known == "multiclass":
        allowed = ("batch",)
    one_of("per", per, allowed)
    if gather and per == "image":
        do = "An image lies on one rank: leave gather out."
        raise UsageError(say("gather", "be False where images are ranked apart", gather, do))
    of_classes = background if known == "multiclass" else None
    return Selection(known, per, band, positives, of_classes, _ignored(loss))


def _ignored(loss: LossFunction) -> int:
    """Return the class index that a loss leaves out; torch's own name it as these do."""
    return int(getattr(loss, "ignore_index", IGNORE_INDEX))


def _is_shared(gather: bool) -> bool:
    """Whether there are other ranks to share with."""
    return gather and dist.is_available() and dist.is_initialized()


def _unreduced(loss: LossFunction, logits: Tensor, target: Tensor, kind: Kind) -> Tensor:
    """Return one value per row or entry, in float32 where logits are half precision."""
    z = upcast(logits)
    if kind == "multiclass":
        target, _ = check_classes(logits, target, _ignored(loss))
    else:
        check_labels(logits, target)
        if not isinstance(loss, Loss):
            # A loss from elsewhere knows no NaN, and 0 times its slope there would be NaN too.
            target = torch.where(target >= 0, target, 0.0).to(z.dtype)
    values = loss(z, target)
    shape = logits.shape if kind == "multilabel" else logits.shape[:-1]
    if values.shape != shape:
        what = "(..., N, L), one value per entry" if kind == "multilabel" else "(..., N), per row"
        do = "A loss of whole rows, labels or batches has no examples to pick from."
        raise ShapeError(say("loss", f"return {what} = {tuple(shape)}", tuple(values.shape), do))
    return values


def pick(
    rule: Selection, values: Tensor, target: Tensor, width: int, gather: bool
) -> tuple[Tensor, Tensor]:
    """Return what counts, and what the mean divides by, (...)."""
    values = values.detach()
    if _is_shared(gather):
        return rule.keep_globally(values, target, width)
    mask = rule.keep(values, target, width)
    return mask, mask.sum(rule.axes)


def mean_of_kept(
    rule: Selection,
    loss: LossFunction,
    logits: Tensor,
    target: Tensor,
    reduction: Reduction,
    gather: bool,
) -> Tensor:
    """Reduce a loss over what a rule keeps."""
    one_of("reduction", reduction, REDUCTIONS[1:])
    values = _unreduced(loss, logits, target, rule.kind)
    mask, kept = pick(rule, values, target, logits.shape[-1], gather)
    total = torch.where(mask, values, 0.0).contiguous().sum(rule.axes)
    if reduction != "sum":
        total = total / torch.where(kept > 0, kept, 1).to(total.dtype)
    return total.to(logits.dtype)


class OnlineLoss(Loss):
    """A loss over the entries of the batch that a rule picks by their loss.

    Base of :class:`OHEMLoss`, :class:`NegativeRatioLoss` and :class:`SemiHardLoss`.

    Args:
        loss: Maps logits and target to one value per row or entry: a Module with reduction "none".
        rule: What picks.
        gather: Rank the rows of all ranks together while training. In evaluation, where ranks may
            have different numbers of batches, each rank picks by itself.
        reduction: "mean", "sum" or "batchmean".

    Attributes:
        kind: That of ``loss``; the class attribute is the more frequent of the two.
    """

    kind: ClassVar[Kind] = "multilabel"
    exactness = "none"
    linear_in_target = False

    def __init__(
        self, loss: LossFunction, rule: Selection, *, gather: bool, reduction: Reduction
    ) -> None:
        super().__init__(reduction=one_of("reduction", reduction, REDUCTIONS[1:]))
        self.loss = loss
        self.rule = rule
        self.gather = gather
        self.kind = rule.kind  # type: ignore[misc]  # a wrapper is of the kind of what it wraps
        self.num_classes = getattr(loss, "num_classes", None)
        self.ignore_index = rule.ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss; shapes as in the function of the same name."""
        shared = self.gather and self.training
        return mean_of_kept(self.rule, self.loss, logits, target, self.reduction, shared)

    @torch.no_grad()
    def selected(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return which rows (..., N) or entries (..., N, L) this rank's loss counts, bool.

        Args:
            logits: As :meth:`forward` takes them.
            target: As :meth:`forward` takes it.
        """
        values = _unreduced(self.loss, logits, target, self.rule.kind)
        shared = self.gather and self.training
        return pick(self.rule, values, target, logits.shape[-1], shared)[0]

    def operating_point(self, num_classes: int | None = None) -> Tensor:
        """Raise :class:`NotRecoverableError`: outputs rank."""
        self._require_recoverable()
        return super().operating_point(num_classes)

    def divisor(self, target: Tensor) -> Tensor:
        """Return what "mean" divides by on these targets: how many entries are kept."""
        if self.reduction == "sum":
            return super().divisor(target)
        if _is_shared(self.gather and self.training):
            return self.rule.count(self.rule.gather_target(target)) / dist.get_world_size()
        return self.rule.count(target)

    def _settings(self) -> str:
        return ""

    def extra_repr(self) -> str:
        """Name the settings."""
        shared = ", gather=True" if self.gather else ""
        return f"{self._settings()}, per={self.rule.per!r}{shared}, {super().extra_repr()}"
