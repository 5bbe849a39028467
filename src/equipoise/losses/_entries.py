"""One pass for elementwise losses: value and slope together, in blocks that stay in the cache.

A term maps logits to the loss of every entry and its derivative by the logit, for target 1 or for
target 0. Written out by hand, the slope states what training sees: a frozen focusing weight is
left out of it, and no power of zero turns into NaN. Where negatives are the rule, the term of
positives is evaluated at positives alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.losses._checks import is_mapped, where_known
from equipoise.losses._reduction import Reduction, reduce_entries

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
