"""One pass for a loss, value and slope together, by entries or by rows; and the reductions.

A term maps logits to the loss of every entry and its derivative by the logit, for target 1 or for
target 0. Written out by hand, the slope states what training sees: a frozen focusing weight is
left out of it, and no power of zero turns into NaN. Where negatives are the rule, the term of
positives is evaluated at positives alone.

A softmax loss of the true class's probability alone is a function of the gap
g = log sum_{k != y} exp(z_k) - z_y, with p_y = sigmoid(-g). Its gradient is the slope by g times r,
the softmax of the other classes with -1 at y: one number per row and one softmax, exact also where
p_y rounds to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from equipoise._core.messages import one_of
from equipoise.losses._checks import is_mapped, where_known

Reduction = Literal["none", "mean", "sum", "batchmean"]
"""How a loss becomes one number; "batchmean" divides the sum by the rows that count."""
REDUCTIONS: tuple[Reduction, ...] = ("none", "mean", "sum", "batchmean")


def reduce_rows(
    values: Tensor,
    known: Tensor | None,
    reduction: Reduction,
    *,
    dtype: torch.dtype,
    divisor: Tensor | None = None,
) -> Tensor:
    """Reduce (..., N) over the rows that are ``known``; None means all.

    "mean" divides by their number, or by ``divisor`` (...) where given; "batchmean" always by
    their number. Over no rows both are 0.
    """
    one_of("reduction", reduction, REDUCTIONS)
    if known is not None:
        values = torch.where(known, values, 0.0)
    if reduction == "none":
        return values.to(dtype)
    total = values.sum(-1)
    if reduction == "sum":
        return total.to(dtype)
    if reduction == "mean" and divisor is not None:
        return (total / divisor.clamp_min(torch.finfo(divisor.dtype).tiny)).to(dtype)
    # A tensor: dividing by a number differs in the last bit from dividing by a count.
    rows = torch.full_like(total, values.shape[-1]) if known is None else known.sum(-1)
    return (total / rows.clamp_min(1)).to(dtype)


def reduce_entries(
    values: Tensor, known: Tensor | None, reduction: Reduction, *, dtype: torch.dtype
) -> Tensor:
    """Reduce (..., N, L), 0 where unknown, over N and L; ``known`` None means all known.

    "mean" divides by the number of known entries, "batchmean" by
    the number of rows that have one; both are 0 where there are none.
    """
    one_of("reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return values.to(dtype)
    # In one order of memory, so that a slice sums to the same bits alone and in a stack.
    total = values.contiguous().sum((-2, -1))
    if reduction == "sum":
        return total.to(dtype)
    if known is None:
        rows, width = values.shape[-2:]
        count = rows * width if reduction == "mean" else rows
        # A tensor: dividing by a number differs in the last bit from dividing by a count.
        return (total / torch.full_like(total, max(count, 1))).to(dtype)
    counted = _count(known) if reduction == "mean" else known.any(-1).sum(-1)
    return (total / counted.clamp_min(1)).to(dtype)


def _count(known: Tensor) -> Tensor:
    """Return how many entries are True, over the last two axes."""
    if torch.compiler.is_compiling() or known.device.type != "cpu" or is_mapped(known):
        return known.sum((-2, -1))
    # NumPy counts booleans ten times as fast.
    return torch.from_numpy(np.asarray(np.count_nonzero(known.numpy(), axis=(-2, -1))))


def reduce_units(
    values: Tensor, counted: Tensor, reduction: Reduction, *, dtype: torch.dtype
) -> Tensor:
    """Reduce one value per row (..., N) or per label (..., L); units not ``counted`` are 0.

    "mean" and "batchmean" divide by the number of counted units and are 0 where there are none.
    """
    one_of("reduction", reduction, REDUCTIONS)
    kept = torch.where(counted, values, 0.0)
    if reduction == "none":
        return kept.to(dtype)
    total = kept.sum(-1)
    if reduction != "sum":
        total = total / counted.sum(-1).clamp_min(1)
    return total.to(dtype)


Term = Callable[[Tensor], tuple[Tensor, Tensor]]
# Entries per block: value, slope and what a term makes on the way stay in a cache of a few MB,
# where whole tensors would go to memory and back at every step.
_BLOCK = 65_536


@dataclass(frozen=True)
class Entrywise:
    """A loss of single entries: a term for positives, one for negatives, and their weights.

    Attributes:
        one: Term at target 1.
        zero: Term at target 0.
        row_weight: Maps targets (N, L), unknown as 0, to weights of entries, or None.
    """

    one: Term
    zero: Term
    row_weight: Callable[[Tensor], Tensor] | None = None

    def __call__(
        self,
        logits: Tensor,
        target: Tensor,
        known: Tensor | None = None,
        one_weight: Tensor | None = None,
        zero_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of every entry, 0 where unknown; only logits get a gradient.

        Args:
            logits: (..., N, L) in the dtype to compute in.
            target: The same shape, bool or the same dtype.
            known: Where targets are known, bool; None where all are.
            one_weight: Factor of the term of positives, (L,) or (1,).
            zero_weight: Factor of the term of negatives, (L,) or (1,).
        """
        if torch.compiler.is_compiling():
            # The same value and slope without a Function, which dynamo traces with a warning: the
            # difference is 0, and its gradient is the slope.
            value, slope = _dense(self, logits.detach(), target, known, one_weight, zero_weight)
            return value + (logits - logits.detach()) * slope
        made: tuple[Tensor, Tensor] = _Pass.apply(  # type: ignore[no-untyped-call]
            logits, target, self, known, one_weight, zero_weight
        )
        return made[0]


def reduce_loss(
    loss: Entrywise,
    logits: Tensor,
    target: Tensor,
    reduction: Reduction,
    *,
    dtype: torch.dtype,
    one_weight: Tensor | None = None,
    zero_weight: Tensor | None = None,
) -> Tensor:
    """Reduce the loss of entries over those that are known; ``dtype`` is that of the result."""
    truth = target if target.dtype == torch.bool else target.to(logits.dtype)
    known = where_known(truth)
    values = loss(logits, truth, known, one_weight, zero_weight)
    return reduce_entries(values, known, reduction, dtype=dtype)


class _Pass(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        z: Tensor,
        y: Tensor,
        loss: Entrywise,
        known: Tensor | None,
        one: Tensor | None,
        zero: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        if z.device.type != "cpu" or is_mapped(z, y, known, one, zero):
            return _dense(loss, z, y, known, one, zero)
        width = max(z.shape[-1], 1)
        flat, truth = z.reshape(-1, width), y.reshape(-1, width)
        seen = None if known is None else known.reshape(-1, width)
        value, slope = torch.empty_like(flat), torch.empty_like(flat)
        step = max(1, _BLOCK // width)
        for start in range(0, flat.shape[0], step):
            part = slice(start, start + step)
            into, holes = (value[part], slope[part]), None if seen is None else seen[part]
            _block(loss, flat[part], truth[part], one, zero, holes, into)
        return value.view(z.shape), slope.view(z.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        z, y, ctx.loss, known, one, zero = inputs
        # The slope is an output because nothing else comes here from the forward: with rules for
        # vmap, a Function shows this method its inputs and outputs alone.
        _, slope = output
        ctx.mark_non_differentiable(slope)
        ctx.save_for_backward(z, y, known, one, zero, slope)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Any:
        *given, slope = ctx.saved_tensors
        if torch.is_grad_enabled() and not is_mapped(*given):
            # Someone wants a second derivative: give the slope a graph of its own.
            slope = _dense(ctx.loss, *given)[1]
        return gradient * slope, None, None, None, None, None


def _dense(
    loss: Entrywise,
    z: Tensor,
    y: Tensor,
    known: Tensor | None,
    one: Tensor | None,
    zero: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return value and slope with both terms evaluated everywhere."""
    truth = y.to(z.dtype)
    if known is not None:
        truth = torch.where(known, truth, 0.0)
    positive, negative = loss.one(z), loss.zero(z)
    weights = loss.row_weight(truth) if loss.row_weight is not None else None
    found = []
    for up, down in zip(positive, negative, strict=True):
        up = up if one is None else one * up
        down = down if zero is None else zero * down
        mixed = truth * up + (1.0 - truth) * down
        mixed = mixed if weights is None else weights * mixed
        found.append(mixed if known is None else torch.where(known, mixed, 0.0))
    return found[0], found[1]


def _block(
    loss: Entrywise,
    z: Tensor,
    y: Tensor,
    one: Tensor | None,
    zero: Tensor | None,
    known: Tensor | None,
    into: tuple[Tensor, Tensor],
) -> None:
    """Write value and slope: all entries as negatives, then those that are not once more."""
    # Positives are rare, so to gather them costs less than both terms everywhere. Negatives first:
    # a fractional target mixes its own negative term, which stands there already.
    made = loss.zero(z)
    if zero is not None:
        made = made[0] * zero, made[1] * zero
    at = _places(y.numpy() > 0)  # NaN is not among them
    if at.numel():
        truth = y.reshape(-1).index_select(0, at).to(z.dtype)
        whole = bool((truth == 1.0).all())
        weight = None if one is None else one.expand(z.shape[1])[at % z.shape[1]]
        positive = loss.one(z.reshape(-1).index_select(0, at))
        for part, up in zip(made, positive, strict=True):
            up = up if weight is None else weight * up
            if not whole:
                up = truth * up + (1.0 - truth) * part.view(-1).index_select(0, at)
            part.view(-1).index_put_((at,), up)
    if loss.row_weight is not None:
        weights = loss.row_weight(y.to(z.dtype) if known is None else torch.where(known, y, 0.0))
        for out, part in zip(into, made, strict=True):
            torch.mul(part, weights, out=out)
    else:
        for out, part in zip(into, made, strict=True):
            out.copy_(part)
    if known is not None:
        unknown = _places(~known.numpy())
        for out in into:
            out.view(-1).index_fill_(0, unknown, 0.0)


def _places(mask: NDArray[np.bool_]) -> Tensor:
    """Return where a mask is True; NumPy is several times as fast at this as torch."""
    return torch.from_numpy(np.flatnonzero(mask))


RowRule = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def rowwise(rule: RowRule, logits: Tensor, target: Tensor) -> Tensor:
    """Return the loss of every row, (..., N).

    Args:
        rule: Maps log p_y and log(1 - p_y) to the loss and to its slope by the gap.
        logits: (..., N, C) in the dtype to compute in, C >= 2.
        target: Class indices, (..., N).
    """
    if torch.compiler.is_compiling():
        # The same value and slope without a Function, which dynamo traces with a warning.
        gap = _gap(logits, target)
        value, slope = rule(*_log_chances(gap.detach()))
        return value + slope * (gap - gap.detach())
    made: tuple[Tensor, ...] = _RowPass.apply(logits, target, rule)  # type: ignore[no-untyped-call]
    return made[0]


class _RowPass(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, target: Tensor, rule: RowRule) -> tuple[Tensor, Tensor, Tensor]:
        at = target.unsqueeze(-1)
        others = z.scatter(-1, at, -torch.inf)
        share = others.softmax(-1)
        # logsumexp from what softmax has left: its largest entry is exp(max - logsumexp).
        total = others.amax(-1) - share.amax(-1).log()
        value, slope = rule(*_log_chances(total - z.gather(-1, at).squeeze(-1)))
        return value, slope, share.scatter(-1, at, -1.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        z, target, ctx.rule = inputs
        _, slope, residual = output
        ctx.mark_non_differentiable(slope, residual)
        ctx.save_for_backward(z, target, slope, residual)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:
        z, target, slope, residual = ctx.saved_tensors
        if torch.is_grad_enabled() and not is_mapped(z, target):
            # Someone wants a second derivative: give the slope a graph of its own.
            slope = ctx.rule(*_log_chances(_gap(z, target)))[1]
            at = target.unsqueeze(-1)
            residual = _mask(z, at).softmax(-1).scatter(-1, at, -1.0)
        return (gradient * slope).unsqueeze(-1) * residual, None, None


def _mask(z: Tensor, at: Tensor) -> Tensor:
    # Compared, not scattered: a compiler can fuse that with what follows.
    own = torch.arange(z.shape[-1], device=z.device) == at
    return z.masked_fill(own, -torch.inf)


def _gap(z: Tensor, target: Tensor) -> Tensor:
    at = target.unsqueeze(-1)
    return _mask(z, at).logsumexp(-1) - z.gather(-1, at).squeeze(-1)


def _log_chances(gap: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p_y and log(1 - p_y), neither from the other, so that both stay exact."""
    return logsigmoid(-gap), logsigmoid(gap)
