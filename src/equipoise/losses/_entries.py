"""One pass for elementwise losses: value and slope together, in blocks that stay in the cache.

A rule maps (logits, target, *vectors) to the loss of every entry and its derivative by the logit.
Written out by hand, the slope states what training sees: a frozen focusing weight is left out of
it, and no power of zero turns into NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["Rule", "entrywise", "focal_rule", "focal_term", "mix"]

Rule = Callable[..., tuple[Tensor, Tensor]]
_BLOCK = 65_536


def entrywise(rule: Rule, logits: Tensor, target: Tensor, *vectors: Tensor) -> Tensor:
    """Return the loss of every entry; only ``logits`` get a gradient, and no second one.

    Args:
        rule: Pure; ``vectors`` (L,) or (1,) reach it as they are.
        logits: (..., N, L) in the dtype to compute in.
        target: The same shape and dtype, free of NaN.
        vectors: Settings per label.
    """
    if torch.compiler.is_compiling():
        # The same value and slope without a Function, which dynamo traces with a warning.
        value, slope = rule(logits.detach(), target, *vectors)
        return value + (logits - logits.detach()) * slope
    made: tuple[Tensor, Tensor] = _Entrywise.apply(logits, target, rule, *vectors)  # type: ignore[no-untyped-call]
    return made[0]


class _Entrywise(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, y: Tensor, rule: Rule, *vectors: Tensor) -> tuple[Tensor, Tensor]:
        width = z.shape[-1]
        step = max(1, _BLOCK // max(width, 1))
        if z.device.type != "cpu" or z.numel() <= 2 * _BLOCK:
            return rule(z, y, *vectors)
        flat, truth = z.reshape(-1, width), y.reshape(-1, width)
        value, slope = torch.empty_like(flat), torch.empty_like(flat)
        for start in range(0, flat.shape[0], step):
            part = slice(start, start + step)
            value[part], slope[part] = rule(flat[part], truth[part], *vectors)
        return value.view(z.shape), slope.view(z.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, slope = output
        ctx.mark_non_differentiable(slope)
        ctx.save_for_backward(slope)
        ctx.unused = len(inputs) - 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Any:
        (slope,) = ctx.saved_tensors
        return gradient * slope, *([None] * ctx.unused)


def mix(target: Tensor, one: Tensor, zero: Tensor) -> Tensor:
    """Return y one + (1 - y) zero, exact at y = 0 and y = 1."""
    return target * one + (1.0 - target) * zero


def focal_term(
    log_p: Tensor, p: Tensor, q: Tensor, gamma: float, *, detach: bool = False
) -> tuple[Tensor, Tensor]:
    """Return -q^gamma log p and its slope along log(p / q), for q = 1 - p given apart."""
    if gamma == 0:
        return -log_p, -q
    weight = q.pow(gamma)
    inner = q if detach else q - gamma * p * log_p
    return -(weight * log_p), -(weight * inner)


def focal_rule(
    z: Tensor,
    target: Tensor,
    one: Tensor | float = 1.0,
    zero: Tensor | float = 1.0,
    *,
    gamma: float,
) -> tuple[Tensor, Tensor]:
    """Return value and slope with weight ``one`` on positives and ``zero`` on negatives."""
    # exp of logsigmoid, not sigmoid: its last bits do not depend on where an entry lies in memory.
    log_p, log_q = logsigmoid(z), logsigmoid(-z)
    p, q = log_p.exp(), log_q.exp()
    positive, rise = focal_term(log_p, p, q, gamma)
    negative, fall = focal_term(log_q, q, p, gamma)
    if isinstance(one, Tensor) or isinstance(zero, Tensor) or one != 1.0 or zero != 1.0:
        positive, rise = one * positive, one * rise
        negative, fall = zero * negative, zero * fall
    return mix(target, positive, negative), mix(target, rise, -fall)
