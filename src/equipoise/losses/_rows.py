"""One pass for softmax losses of the true class's probability alone: value and slope together.

Such a loss is a function of the gap g = log sum_{k != y} exp(z_k) - z_y, with p_y = sigmoid(-g).
Its gradient is the slope by g times r, the softmax of the other classes with -1 at y: one number
per row and one softmax, exact also where p_y rounds to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from equipoise.losses._checks import is_mapped

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
    made: tuple[Tensor, ...] = _Pass.apply(logits, target, rule)  # type: ignore[no-untyped-call]
    return made[0]


class _Pass(torch.autograd.Function):
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
