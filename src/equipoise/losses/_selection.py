"""Which entries of a batch count: by the rank of their loss in their group, on one rank or all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch import distributed as dist

from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts.labels import Kind
from equipoise.losses._checks import known_rows

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
    counts = [int(count) for count in sizes]
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: rows.shape[0]] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    joined = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    start = sum(counts[: dist.get_rank()])
    return joined.movedim(0, axis), slice(start, start + rows.shape[0])
