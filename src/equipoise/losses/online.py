"""Losses over picked entries: the hardest, so many per positive, or a band; on one rank or all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, distributed as dist

from equipoise._core.checks import to_integer, to_number
from equipoise._core.messages import one_of, say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.errors import ShapeError, UsageError
from equipoise.losses._checks import (
    check_classes,
    check_labels,
    known_rows,
    require_tensors,
    upcast,
)
from equipoise.losses._dense import Unit, dense
from equipoise.losses._passes import REDUCTIONS, Reduction
from equipoise.losses.base import Loss

Per = Literal["batch", "image", "label", "class"]
Band = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps candidates and positives per group to the first rank that is kept and the one after."""

_SLACK = 1e-9  # 0.1 * 30 is 3.0000000000000004 and must not round up to 4


def hardest(ratio: float, at_least: int, n: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    """Keep a share of the candidates, the hardest first."""
    wanted = (ratio * n.double() - _SLACK).ceil().clamp_min(at_least).long()
    return torch.zeros_like(n), torch.minimum(n, wanted)


def per_positive(ratio: float, at_least: int, n: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Keep a multiple of the positives, the hardest first."""
    wanted = (ratio * p.double() - _SLACK).ceil().clamp_min(at_least).long()
    return torch.zeros_like(n), torch.minimum(n, wanted)


def middle(low: float, high: float, n: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    """Keep what lies between two quantiles, and one candidate at least where there is any."""
    steps = (n - 1).clamp_min(0).double()
    first = ((1.0 - high) * steps - _SLACK).ceil().clamp_min(0.0).long()
    end = ((1.0 - low) * steps + _SLACK).floor().long() + 1
    return first, torch.minimum(torch.maximum(end, first + 1), n)


@dataclass(frozen=True, slots=True)
class Selection:
    """A rule that picks entries by the rank of their loss; it sees no gradient.

    Attributes:
        kind: "multilabel": losses are (..., N, L); "multiclass": (..., N).
        per: What is ranked together: the "batch", an "image" (a row), a "label" or a "class".
        band: Which ranks are kept.
        keeps_positives: Whether positives are kept and negatives ranked, or all are ranked.
        background: The class that counts as negative; None takes all rows for negatives.
        ignore_index: Class index of rows that never count.
    """

    kind: Kind
    per: Per
    band: Band
    keeps_positives: bool = False
    background: int | None = None
    ignore_index: int = IGNORE_INDEX

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that one loss is a mean over."""
        return (-2, -1) if self.kind == "multilabel" else (-1,)

    def keep(self, values: Tensor, target: Tensor, width: int) -> Tensor:
        """Return which entries count, bool, in the shape of ``values``.

        Args:
            values: Losses, (..., N, L) or (..., N), without a gradient.
            target: As the loss takes it.
            width: Labels or classes.
        """
        known, positive = self._sides(target)
        member = self._member(target, width)
        ranked = self._spread(known & ~positive, member)
        n, p = ranked.sum(-1), self._spread(positive, member).sum(-1)
        first, end = self.band(n, p)
        spread = self._spread(values, member).masked_fill(~ranked, -torch.inf)
        # Stable: equal losses are picked by position, so that a slice alone, a stack of slices and
        # every rank pick the same.
        order = spread.argsort(dim=-1, descending=True, stable=True)
        place = torch.arange(order.shape[-1], device=order.device).expand_as(order)
        rank = torch.zeros_like(order).scatter(-1, order, place)
        inside = ranked & (rank >= first.unsqueeze(-1)) & (rank < end.unsqueeze(-1))
        return positive | self._join(inside, values.shape)

    def count(self, target: Tensor) -> Tensor:
        """Return how many entries :meth:`keep` keeps, (...); targets alone decide that."""
        known, positive = self._sides(target)
        width = 0
        if self.per == "class":
            hard = not target.is_floating_point()
            width = (int(target.max()) + 1 if target.numel() else 0) if hard else target.shape[-1]
        member = self._member(target, width)
        n, p = (self._spread(x, member).sum(-1) for x in (known & ~positive, positive))
        first, end = self.band(n, p)
        return (end - first).sum(-1) + positive.sum(self.axes)

    def _sides(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return where entries are known and where they are positives that are kept."""
        if self.kind == "multilabel":
            known, positive = target >= 0, target >= 0.5
        else:
            known = known_rows(target, self.ignore_index)
            if self.background is None:
                positive = torch.zeros_like(known)
            elif target.is_floating_point():
                positive = known & (target[..., self.background] < 0.5)
            else:
                positive = known & (target != self.background)
        return known, positive if self.keeps_positives else torch.zeros_like(positive)

    def _member(self, target: Tensor, width: int) -> Tensor | None:
        """Return which rows are of which class, (..., C, N), where classes are ranked apart."""
        if self.per != "class":
            return None
        at = target.argmax(-1) if target.is_floating_point() else target
        return at.unsqueeze(-2) == torch.arange(width, device=at.device).unsqueeze(-1)

    def _spread(self, x: Tensor, member: Tensor | None) -> Tensor:
        """Bring what is ranked together into the last axis: (..., groups, entries)."""
        if member is not None:
            apart = x.unsqueeze(-2)
            return apart & member if x.dtype == torch.bool else apart.expand_as(member)
        if self.per == "label":
            return x.mT
        if self.per == "image":
            return x
        return (x.flatten(-2) if self.kind == "multilabel" else x).unsqueeze(-2)

    def _join(self, x: Tensor, shape: torch.Size) -> Tensor:
        """Undo :meth:`_spread` for a mask."""
        if self.per == "class":
            return x.any(-2)
        return x.mT if self.per == "label" else x.reshape(shape)

    def keep_globally(self, values: Tensor, target: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return what is kept when the rows of all ranks are ranked together.

        Returns:
            The part of the mask that is of this rank, and the entries kept on all ranks over the
            number of ranks, (...).
        """
        axis = -2 if self.kind == "multilabel" else -1
        every, own = gather_rows(values, axis)
        mask = self.keep(every, self.gather_target(target), width)
        kept = mask.sum(self.axes).double() / dist.get_world_size()
        return mask.narrow(axis, own.start, own.stop - own.start), kept

    def gather_target(self, target: Tensor) -> Tensor:
        """Return the targets of all ranks."""
        if target.dtype == torch.bool:
            target = target.float()
        rows_last = self.kind == "multiclass" and not target.is_floating_point()
        return gather_rows(target, -1 if rows_last else -2)[0]


def gather_rows(rows: Tensor, axis: int) -> tuple[Tensor, slice]:
    """Return the rows of all ranks one after the other, without a gradient, and which are own."""
    rows = rows.detach().movedim(axis, 0).contiguous()
    size = torch.tensor([rows.shape[0]], device=rows.device)
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    # all_gather wants one shape on all ranks, and the last batch may be shorter on some.
    counts = [int(count) for count in sizes]
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: rows.shape[0]] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    joined = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    start = sum(counts[: dist.get_rank()])
    return joined.movedim(0, axis), slice(start, start + rows.shape[0])


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
    own: int = getattr(loss, "class_dim", -1)
    if own != -1:
        do = "Give class_dim to the loss that picks: it hands over rows."
        raise UsageError(say("loss.class_dim", "be -1", own, do))
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
    require_tensors(logits=logits, target=target)
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


@dense(None, "batch", by_blocks=False)
def mean_of_kept(
    logits: Tensor,
    target: Tensor,
    *,
    rule: Selection,
    loss: LossFunction,
    gather: bool,
    class_dim: int = -1,
    reduction: Reduction = "mean",
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
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "mean", "sum" or "batchmean".

    Attributes:
        kind: That of ``loss``; the class attribute is the more frequent of the two.
    """

    kind: ClassVar[Kind] = "multilabel"
    exactness = "none"
    linear_in_target = False

    def __init__(
        self,
        loss: LossFunction,
        rule: Selection,
        *,
        gather: bool,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            class_dim=class_dim, reduction=one_of("reduction", reduction, REDUCTIONS[1:])
        )
        self.loss = loss
        self.rule = rule
        self.gather = gather
        self.kind = rule.kind  # type: ignore[misc]  # a wrapper is of the kind of what it wraps
        self.num_classes = getattr(loss, "num_classes", None)
        self.ignore_index = rule.ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss; shapes as in the function of the same name."""
        return mean_of_kept(
            logits,
            target,
            rule=self.rule,
            loss=self.loss,
            gather=self.gather and self.training,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def along(self, class_dim: int, ignore_index: int | None = None) -> None:
        """Take classes or labels from another axis, and leave out what has another index."""
        super().along(class_dim, ignore_index)
        if ignore_index is None:
            return
        if not isinstance(self.loss, Loss):
            do = "Set the index of the loss that is wrapped."
            raise UsageError(say("ignore_index", "be that of a loss from here", ignore_index, do))
        self.loss.along(-1, ignore_index)
        self.rule = replace(self.rule, ignore_index=to_integer("ignore_index", ignore_index))

    @torch.no_grad()
    def selected(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return which rows (..., N) or entries (..., N, L) this rank's loss counts, bool.

        Dense outputs (N, L, H, W) give a mask of their own shape, or (N, H, W) for classes.

        Args:
            logits: As :meth:`forward` takes them.
            target: As :meth:`forward` takes it.
        """

        def mask(z: Tensor, y: Tensor, *, class_dim: int = -1, reduction: str) -> Tensor:
            values = _unreduced(self.loss, z, y, self.rule.kind)
            return pick(self.rule, values, y, z.shape[-1], self.gather and self.training)[0]

        unit: Unit = "entry" if self.rule.kind == "multilabel" else "row"
        along = dense(self.rule.kind, unit, by_blocks=False)(mask)
        return along(logits, target, class_dim=self.class_dim, reduction="none")

    def _divisor(self, target: Tensor) -> Tensor:
        """Return how many entries are kept."""
        if self.reduction == "sum":
            return super()._divisor(target)
        if _is_shared(self.gather and self.training):
            return self.rule.count(self.rule.gather_target(target)) / dist.get_world_size()
        return self.rule.count(target)

    def _settings(self) -> str:
        return ""

    def extra_repr(self) -> str:
        """Name the settings."""
        shared = ", gather=True" if self.gather else ""
        return f"{self._settings()}, per={self.rule.per!r}{shared}, {super().extra_repr()}"


def negative_ratio_loss(
    logits: Tensor,
    target: Tensor,
    *,
    loss: LossFunction,
    ratio: float = 3.0,
    min_negatives: int = 1,
    per: Per = "batch",
    background: int = 0,
    gather: bool = False,
    kind: Kind | None = None,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Keep all positives and a multiple of them in negatives, the hardest (SSD, 2016).

    Use when negatives outnumber positives by far and most are easy. Prefer a loss with an inverse,
    such as :class:`PosWeightBCELoss`, where probabilities matter.

    .. math:: n_- = \min(N_-, \max(\lceil r P \rceil, n_{min}))

    Args:
        logits: As in :func:`ohem_loss`, and so are ``target`` (an entry of 0.5 and above is a
            positive), ``loss``, ``gather``, ``kind`` and ``reduction``.
        ratio: r, negatives for each positive, finite and >= 0.
        min_negatives: Negatives kept at least, and where there is no positive: 0 lets a group
            without positives count for nothing.
        per: What is counted and ranked together: the "batch", or for labels an "image" (a row) or
            a "label". For the candidates of an image, as SSD has it, stack images in a leading
            axis, (B, N, C): each slice is ranked by itself.
        background: For classes: the class whose rows are the negatives.

    Returns:
        As :func:`ohem_loss`; the mean is over positives and kept negatives together.

    Raises:
        UsageError: settings out of range, a loss that reduces, or an unknown ``kind``.
        ShapeError: ``target`` or what ``loss`` returns does not fit ``logits``.

    Note:
        Calibration and ranks: as for :func:`ohem_loss`.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0], [2.0], [0.0], [-3.0]])
        >>> y = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
        >>> hard = torch.nn.BCEWithLogitsLoss(reduction="none")
        >>> negative_ratio_loss(z, y, loss=hard, ratio=1.0, kind="multilabel")
        tensor(1.2201)

    References:
        Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 2.2.
    """
    band = _ratio_band(ratio, min_negatives)
    rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
    return mean_of_kept(
        logits,
        target,
        rule=rule,
        loss=loss,
        gather=gather,
        class_dim=class_dim,
        reduction=reduction,
    )


def semi_hard_loss(
    logits: Tensor,
    target: Tensor,
    *,
    loss: LossFunction,
    low: float = 0.5,
    high: float = 0.95,
    per: Per = "batch",
    background: int | None = 0,
    gather: bool = False,
    kind: Kind | None = None,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Keep all positives and the negatives between two quantiles of their losses.

    Use when easy negatives drown the rest and the very hardest are likely positives that nobody
    marked. Prefer :func:`negative_ratio_loss` where labels are clean: this one never looks at the
    hardest negatives, so confident mistakes among them stay.

    .. math:: q_{low} \le \ell_i \le q_{high} \quad (i \text{ negative})

    Args:
        logits: As in :func:`ohem_loss`, and so are ``target`` (an entry of 0.5 and above is a
            positive), ``loss``, ``per``, ``gather``, ``kind`` and ``reduction``.
        low: Quantile below which negatives are too easy, in [0, 1].
        high: Quantile above which they are too hard, in [low, 1]. Below 1 the hardest negative is
            never kept while there is another.
        background: For classes: the class whose rows are the negatives; None treats all rows
            alike, which drops the hardest rows of every class.

    Returns:
        As :func:`ohem_loss`; the mean is over positives and kept negatives together. Where no
        negative lies in the band, the first below it is kept.

    Raises:
        UsageError: quantiles out of range or order, a loss that reduces, or an unknown ``kind``.
        ShapeError: ``target`` or what ``loss`` returns does not fit ``logits``.

    Note:
        Calibration and ranks: as for :func:`ohem_loss`.

    Example:
        >>> import torch
        >>> z = torch.tensor([[4.0], [1.0], [0.0], [-3.0], [-5.0]])
        >>> hard = torch.nn.BCEWithLogitsLoss(reduction="none")
        >>> semi_hard_loss(z, torch.zeros(5, 1), loss=hard, low=0.5, high=0.9, kind="multilabel")
        tensor(1.0032)
    """
    band = _middle_band(low, high)
    rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
    return mean_of_kept(
        logits,
        target,
        rule=rule,
        loss=loss,
        gather=gather,
        class_dim=class_dim,
        reduction=reduction,
    )


def _ratio_band(ratio: float, min_negatives: int) -> Band:
    times, least = to_number("ratio", ratio), to_integer("min_negatives", min_negatives)
    if not 0.0 <= times < math.inf:
        raise UsageError(say("ratio", "be finite and >= 0", ratio, "The published value is 3."))
    if least < 0:
        raise UsageError(say("min_negatives", "be at least 0", min_negatives))
    return partial(per_positive, times, least)


def _middle_band(low: float, high: float) -> Band:
    start, end = to_number("low", low), to_number("high", high)
    if not 0.0 <= start <= end <= 1.0:
        raise UsageError(say("low and high", "be 0 <= low <= high <= 1", f"{low} and {high}"))
    return partial(middle, start, end)


class NegativeRatioLoss(OnlineLoss):
    """A loss over positives and a multiple of them in negatives. See :func:`negative_ratio_loss`.

    Args:
        loss: A Module with reduction "none", or a function; one value per row or entry.
        ratio: Negatives for each positive, finite and >= 0.
        min_negatives: Negatives kept at least, in each group.
        per: What is counted and ranked together: "batch", or for labels "image" or "label".
        background: For classes: the class whose rows are the negatives.
        gather: Rank the rows of all ranks together while training.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "mean", "sum" or "batchmean".
    """

    def __init__(
        self,
        loss: LossFunction,
        *,
        ratio: float = 3.0,
        min_negatives: int = 1,
        per: Per = "batch",
        background: int = 0,
        gather: bool = False,
        kind: Kind | None = None,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        band = _ratio_band(ratio, min_negatives)
        rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
        super().__init__(loss, rule, gather=gather, class_dim=class_dim, reduction=reduction)
        self.ratio = ratio
        self.min_negatives = min_negatives

    def _settings(self) -> str:
        return f"ratio={self.ratio:g}, min_negatives={self.min_negatives}"


class SemiHardLoss(OnlineLoss):
    """A loss over positives and negatives between two quantiles. See :func:`semi_hard_loss`.

    Args:
        loss: A Module with reduction "none", or a function; one value per row or entry.
        low: Quantile below which negatives are too easy.
        high: Quantile above which they are too hard.
        per: What is ranked together: "batch", or for labels "image" or "label".
        background: For classes: the class whose rows are the negatives; None: all rows.
        gather: Rank the rows of all ranks together while training.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "mean", "sum" or "batchmean".
    """

    def __init__(
        self,
        loss: LossFunction,
        *,
        low: float = 0.5,
        high: float = 0.95,
        per: Per = "batch",
        background: int | None = 0,
        gather: bool = False,
        kind: Kind | None = None,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        band = _middle_band(low, high)
        rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
        super().__init__(loss, rule, gather=gather, class_dim=class_dim, reduction=reduction)
        self.low = low
        self.high = high

    def _settings(self) -> str:
        return f"low={self.low:g}, high={self.high:g}"


def ohem_loss(
    logits: Tensor,
    target: Tensor,
    *,
    loss: LossFunction,
    ratio: float = 0.25,
    min_kept: int = 1,
    per: Per = "batch",
    gather: bool = False,
    kind: Kind | None = None,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Take the mean over the hardest share of the batch only (OHEM, Shrivastava et al., 2016).

    Use when most rows are easy and labels are clean. Prefer ``per="class"`` or ``per="label"``
    against a long tail, where most hard rows belong to frequent classes and crowd out the rare
    ones; prefer :func:`semi_hard_loss` where labels are noisy: the hardest rows are then the wrong
    labels.

    .. math:: \ell = \frac{1}{k} \sum_{i \in \text{top } k} \ell_i, \quad
        k = \max(\lceil r n \rceil, k_{min})

    Args:
        logits: (..., N, C) for classes, (..., N, L) for labels, floating.
        target: As ``loss`` takes it; unknown entries of labels are NaN and never count.
        loss: Maps logits and target to one value per row (classes) or entry (labels): a Module
            with reduction "none", or a function.
        ratio: r, the share that is kept, in (0, 1].
        min_kept: Kept at least, where there are as many; in each group where groups are ranked
            apart.
        per: What is ranked together, n entries: the "batch"; a "class" (classes; rows of soft
            targets go to their largest share); a "label" or an "image", that is a row (labels).
        gather: Rank the rows of all ranks of torch.distributed together.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so by its ``kind``.
        reduction: "mean" and "batchmean" divide by the number kept; "sum". "none" is refused.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes, each slice ranked by itself; 0 where
        nothing is known. Dtype and device of ``logits``; ``loss`` gets float32 where they are half
        precision.

    Raises:
        UsageError: settings out of range, a loss that reduces, or an unknown ``kind``.
        ShapeError: ``target`` or what ``loss`` returns does not fit ``logits``.

    Note:
        The choice carries no gradient. Outputs lose their meaning as probabilities: scores rank,
        and need a fitted calibrator. Distributed: each rank picks among its own rows and does not
        communicate; with ``gather`` losses and targets are gathered, all ranks share one threshold
        and the mean over the number kept on all is scaled so that the gradients that DDP averages
        are those of one process with all rows.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[2.0], [0.0], [-3.0], [-2.0]]), torch.zeros(4, 1)
        >>> hard = torch.nn.BCEWithLogitsLoss(reduction="none")
        >>> ohem_loss(z, y, loss=hard, ratio=0.5, kind="multilabel")
        tensor(1.4100)

    References:
        Shrivastava, Gupta and Girshick, Training Region-Based Object Detectors with Online Hard
        Example Mining, CVPR 2016.
    """
    rule = make_rule(loss, kind, per, gather, _ohem_band(ratio, min_kept))
    return mean_of_kept(
        logits,
        target,
        rule=rule,
        loss=loss,
        gather=gather,
        class_dim=class_dim,
        reduction=reduction,
    )


def _ohem_band(ratio: float, min_kept: int) -> Band:
    share, least = to_number("ratio", ratio), to_integer("min_kept", min_kept)
    if not 0.0 < share <= 1.0:
        raise UsageError(say("ratio", "lie in (0, 1]", ratio, "Published values: 0.25 to 0.7."))
    if least < 1:
        raise UsageError(say("min_kept", "be at least 1", min_kept))
    return partial(hardest, share, least)


class OHEMLoss(OnlineLoss):
    """A loss over the hardest share of the batch. See :func:`ohem_loss`.

    Args:
        loss: A Module with reduction "none", or a function; one value per row or entry.
        ratio: Share that is kept, in (0, 1].
        min_kept: Kept at least, in each group.
        per: What is ranked together: "batch", "class" (classes), "label" or "image" (labels).
        gather: Rank the rows of all ranks together while training.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "mean", "sum" or "batchmean".

    Example:
        >>> import torch
        >>> from equipoise.losses import BCELoss
        >>> loss = OHEMLoss(BCELoss(reduction="none"), ratio=0.5)
        >>> loss.selected(torch.tensor([[2.0, -1.0]]), torch.zeros(1, 2))
        tensor([[ True, False]])
    """

    def __init__(
        self,
        loss: LossFunction,
        *,
        ratio: float = 0.25,
        min_kept: int = 1,
        per: Per = "batch",
        gather: bool = False,
        kind: Kind | None = None,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        rule = make_rule(loss, kind, per, gather, _ohem_band(ratio, min_kept))
        super().__init__(loss, rule, gather=gather, class_dim=class_dim, reduction=reduction)
        self.ratio = ratio
        self.min_kept = min_kept

    def _settings(self) -> str:
        return f"ratio={self.ratio:g}, min_kept={self.min_kept}"
