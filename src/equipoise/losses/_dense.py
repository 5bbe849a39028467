"""Classes along any axis: one decorator takes dense targets to the rows that a loss is written for.

A loss function is written for rows, (..., N, C). With ``class_dim`` its outputs are dense, such as
(N, C, H, W), and every pixel is a row. To bring the classes last would copy outputs that are often
the largest tensor of a training step, and their gradient again. So rows are taken some at a time:
a block is turned, valued and differentiated while a cache holds it, and the slope is written where
the outputs stand. Entries that depend on nothing else are taken label by label, without a turn.
New memory costs several times what a pass over old memory does: blocks are small, sums are made on
the way, and the first backward pass scales the slope where it stands. Cross-entropy costs hardly
more than those turns: it has a form of its own that reads and writes classes where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec

import torch
from torch import Tensor

from equipoise._core.messages import one_of, say
from equipoise._core.targets import IGNORE_INDEX, to_class_dim
from equipoise.artifacts.labels import Kind
from equipoise.errors import ShapeError
from equipoise.losses._checks import (
    is_mapped,
    known_rows,
    require_tensors,
    upcast,
    where_known,
)
from equipoise.losses._passes import REDUCTIONS, Reduction

Unit = Literal["entry", "row", "label", "batch"]
"""What reduction "none" returns a value for."""

Form = Literal["row", "entry", "coupled"]
"""What is valued alone: a row, an entry, or an entry with its row."""

P = ParamSpec("P")
Divisor = Callable[..., Tensor | None]
InPlace = Callable[..., Tensor]
# Entries per block; several tensors of its size are made from it and should share a cache.
_BLOCK = 1 << 18


def to_rows(target: Tensor, class_dim: int) -> Tensor:
    """Return dense entries, (N, C, H, W) for 1, as rows (N * H * W, C)."""
    return target.movedim(class_dim, -1).reshape(-1, target.shape[class_dim])


def dense(
    kind: Kind | None,
    unit: Unit,
    *,
    by_blocks: bool = True,
    coupled: bool = False,
    divisor: Divisor | None = None,
    in_place: InPlace | None = None,
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Give a loss of rows (..., N, C) its ``class_dim``.

    Args:
        kind: Of the loss; None where its targets tell.
        unit: What reduction "none" returns a value for.
        by_blocks: Whether no row depends on another, so that rows may be taken some at a time.
        coupled: Whether an entry depends on others of its row.
        divisor: Called as ``divisor(logits, target, **settings)`` with rows; returns what "mean"
            divides by where that is not the number of known rows or entries, else None.
        in_place: Called as ``in_place(z, y, slope, **settings)`` with a block (A, C, B) of outputs
            and class indices (A, B), where no target is smoothed: returns the losses, (A, B), and
            writes what they gain per output to ``slope``, unless that is None.
    """

    def decorate(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
        @wraps(loss)
        def along(*given: P.args, **settings: P.kwargs) -> Tensor:
            class_dim: Any = settings.pop("class_dim", -1)
            if to_class_dim(class_dim) == -1 or len(given) != 2:
                return loss(*given, **settings)
            logits: Any = given[0]
            target: Any = given[1]
            _require_layout(logits, target, class_dim, kind)
            plain: Any = loss
            if class_dim == logits.ndim - 1 or not (
                by_blocks and _is_plain(logits, target, settings)
            ):
                return _flat(plain, logits, target, class_dim, unit, settings)
            form: Form = "row" if unit == "row" else "coupled" if coupled else "entry"
            return _by_blocks(plain, logits, target, class_dim, form, settings, divisor, in_place)

        return along

    return decorate


def _require_layout(logits: Tensor, target: Tensor, class_dim: int, kind: Kind | None) -> None:
    require_tensors(logits=logits, target=target)
    full = tuple(logits.shape)
    if len(full) <= class_dim:
        wanted = f"have its classes or labels on axis class_dim = {class_dim}"
        raise ShapeError(say("logits", wanted, full, "Leave class_dim out for rows (N, C)."))
    rows = full[:class_dim] + full[class_dim + 1 :]
    of_rows = target.ndim < len(full) if kind is None else not target.is_floating_point()
    of_rows = of_rows and kind != "multilabel"
    expected, do = (rows, "Give one class index per row, pixel or step.") if of_rows else (full, "")
    if kind == "multilabel":
        do = "Give one entry per label and row, pixel or step."
    elif not of_rows:
        do = "Float targets are class probabilities; class indices are int64."
    if tuple(target.shape) != expected:
        wanted = f"have shape {expected}, as outputs {full} with class_dim = {class_dim}"
        raise ShapeError(say("target", wanted, tuple(target.shape), do))


def _is_plain(logits: Tensor, target: Tensor, settings: dict[str, Any]) -> bool:
    """Whether values may steer the code and logits alone want a gradient."""
    if torch.compiler.is_compiling() or logits.device.type != "cpu" or is_mapped(logits, target):
        return False
    others = [target, *(x for x in settings.values() if isinstance(x, Tensor))]
    return logits.is_floating_point() and not any(x.requires_grad for x in others)


def _flat(
    loss: Any, logits: Tensor, target: Tensor, class_dim: int, unit: Unit, settings: Any
) -> Tensor:
    """Value all rows at once, classes last."""
    same = target.ndim == logits.ndim
    rows = to_rows(target, class_dim).contiguous() if same else target.reshape(-1)
    values: Tensor = loss(to_rows(logits, class_dim).contiguous(), rows, **settings)
    if settings.get("reduction", "mean") != "none" or unit in ("label", "batch"):
        return values
    moved = logits.movedim(class_dim, -1)
    if unit == "row":
        return values.reshape(moved.shape[:-1])
    return values.reshape(moved.shape).movedim(-1, class_dim)


def _by_blocks(
    loss: Any,
    logits: Tensor,
    target: Tensor,
    class_dim: int,
    form: Form,
    settings: dict[str, Any],
    divisor: Divisor | None,
    in_place: InPlace | None,
) -> Tensor:
    """Value rows some at a time, and reduce over all."""
    reduction: Reduction = one_of("reduction", settings.get("reduction", "mean"), REDUCTIONS)
    before, width = math.prod(logits.shape[:class_dim]), logits.shape[class_dim]
    after = math.prod(logits.shape[class_dim + 1 :])
    same = target.ndim == logits.ndim
    z = logits.reshape(before, width, after)
    y = target.reshape(before, width, after) if same else target.reshape(before, after)
    if same or settings.get("label_smoothing", 0.0) != 0.0:
        in_place = None
    work = _Work(loss, {**settings, "reduction": "none"}, form, reduction != "none", in_place)
    if torch.is_grad_enabled() and z.requires_grad:
        found: Tensor = _Blocks.apply(z, y, work)  # type: ignore[no-untyped-call]
    else:
        found = work.run(z, y, None)
    if reduction == "none":
        shape = logits.select(class_dim, 0).shape if form == "row" else logits.shape
        return found.view(shape).to(logits.dtype)
    if reduction == "sum":
        return found.to(logits.dtype)
    counted = None
    if divisor is not None and reduction == "mean":
        counted = divisor(z, to_rows(y, 1) if same else y.reshape(-1), **settings)
    if counted is None:
        counted = _count(y, form, same, reduction == "mean", settings).clamp_min(1)
    else:
        counted = counted.clamp_min(torch.finfo(counted.dtype).tiny)
    return (found / counted).to(logits.dtype)


def _count(y: Tensor, form: Form, same: bool, entries: bool, settings: dict[str, Any]) -> Tensor:
    """Return how many rows or entries are known."""
    if not same:
        return known_rows(y, settings.get("ignore_index", IGNORE_INDEX)).sum()
    if form == "row":
        return (y >= 0).all(1).sum()
    known = where_known(y)
    if known is None:
        return torch.tensor(y.numel() if entries else y.numel() // max(y.shape[1], 1))
    return known.sum() if entries else known.any(1).sum()


def _blocks(before: int, width: int, after: int) -> Iterator[tuple[slice, slice]]:
    """Yield parts of the first and of the last axis of (A, C, B), some thousand rows each."""
    image = max(width * after, 1)
    if image >= _BLOCK:
        step = max(1, _BLOCK // width)
        for i in range(before):
            for start in range(0, after, step):
                yield slice(i, i + 1), slice(start, start + step)
        return
    for start in range(0, before, _BLOCK // image):
        yield slice(start, start + _BLOCK // image), slice(None)


@dataclass(frozen=True, eq=False)
class _Work:
    """What to value, and how.

    Args:
        loss: Of rows, unreduced.
        settings: Its settings.
        form: What is valued alone.
        as_sum: Whether the sum is wanted.
        in_place: Its form for classes where they are, if it has one for these targets.
    """

    loss: Any
    settings: dict[str, Any]
    form: Form
    as_sum: bool
    in_place: InPlace | None = None

    def run(self, z: Tensor, y: Tensor, slope: Tensor | None) -> Tensor:
        """Return the loss of every row (A, B) or entry (A, C, B), or the sum, in float32 or wider.

        Args:
            z: Outputs, (A, C, B).
            y: Targets, (A, B) or (A, C, B).
            slope: Where to write the slope of each loss by its own outputs, or None.
        """
        wide = upcast(z[:0]).dtype
        before, width, after = z.shape
        shape = (before, after) if self.form == "row" else z.shape
        values = None if self.as_sum else torch.empty(shape, dtype=wide)
        total = torch.zeros((), dtype=torch.float64)
        if self.in_place is not None:
            # It takes settings as they come: the loss refuses what is wrong with them.
            self.loss(torch.empty(0, width, dtype=wide), y.new_empty(0), **self.settings)
        for columns in self._columns(width):
            settings = self._settings(columns, width)
            size = columns.stop - columns.start
            for i, j in _blocks(before, size, after):
                if self.in_place is not None:
                    there = None if slope is None else slope[i, :, j]
                    found = self.in_place(z[i, :, j].detach().to(wide), y[i, j], there, **settings)
                    if values is None:
                        total += found.sum()
                    else:
                        values[i, j] = found
                    continue
                part = z[i, columns, j].detach().movedim(1, -1)
                rows = part.contiguous().view(-1, size).to(wide)
                truth = self._truth(y, i, columns, j)
                if slope is None:
                    found = self.loss(rows, truth, **settings)
                else:
                    with torch.enable_grad():
                        rows.requires_grad_()
                        found = self.loss(rows, truth, **settings)
                        (own,) = torch.autograd.grad(found.sum(), rows)
                    slope[i, columns, j] = own.view(part.shape).movedim(-1, 1)
                    found = found.detach()
                if values is None:
                    total += found.sum()
                elif self.form == "row":
                    values[i, j] = found.view(part.shape[:-1])
                else:
                    values[i, columns, j] = found.view(part.shape).movedim(-1, 1)
        return total.to(wide) if values is None else values

    def whole(self, z: Tensor, y: Tensor) -> Tensor:
        """Return what :meth:`run` does, with a graph of all rows at once."""
        truth = to_rows(y, 1).contiguous() if y.ndim == 3 else y.reshape(-1)
        found: Tensor = self.loss(upcast(to_rows(z, 1)).contiguous(), truth, **self.settings)
        if self.as_sum:
            return found.sum()
        before, width, after = z.shape
        if self.form == "row":
            return found.view(before, after)
        return found.view(before, after, width).movedim(-1, 1)

    def _columns(self, width: int) -> list[slice]:
        if self.form == "entry":
            return [slice(c, c + 1) for c in range(width)]
        return [slice(0, width)]

    def _settings(self, columns: slice, width: int) -> dict[str, Any]:
        """Return the settings of some labels."""
        if self.form != "entry":
            return self.settings
        return {
            name: x[columns] if isinstance(x, Tensor) and tuple(x.shape) == (width,) else x
            for name, x in self.settings.items()
        }

    def _truth(self, y: Tensor, i: slice, columns: slice, j: slice) -> Tensor:
        if y.ndim == 2:
            return y[i, j].reshape(-1)
        return to_rows(y[i, columns, j], 1).contiguous()


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor, work: _Work) -> Tensor:
        # Not saved as a tensor of the graph: the first backward pass writes on it.
        ctx.slope = torch.empty(z.shape, dtype=upcast(z[:0]).dtype)
        values = work.run(z, y, ctx.slope)
        ctx.save_for_backward(z, y)
        ctx.work = work
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        z, y = ctx.saved_tensors
        work: _Work = ctx.work
        if torch.is_grad_enabled():
            # Someone wants a second derivative.
            (found,) = torch.autograd.grad(work.whole(z, y), z, gradient, create_graph=True)
            return found, None, None
        slope, ctx.slope = ctx.slope, None
        if slope is None:
            slope = torch.empty(z.shape, dtype=upcast(z[:0]).dtype)
            work.run(z, y, slope)
        by_row = work.form == "row" and not work.as_sum
        slope.mul_(gradient.unsqueeze(1) if by_row else gradient)
        return slope.to(z.dtype), None, None
