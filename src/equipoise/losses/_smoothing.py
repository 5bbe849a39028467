"""Label smoothing and its inverse: a share of every target spread evenly over all classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.losses._checks import pick

_ORDER = 1e-10


def to_smoothing(value: float) -> float:
    """Return a share in [0, 1); plain Python, so that torch.compile can look through it."""
    if not 0.0 <= value < 1.0:
        raise UsageError(say("label_smoothing", "lie in [0, 1)", value, "Start with 0.1."))
    return float(value)


def smoothed(
    log_p: Tensor, target: Tensor, smoothing: float | Tensor, weight: Tensor | None = None
) -> Tensor:
    """Return the log p of every row under its smoothed target, times the weight of its class.

    The target of class k is (1 - e_k) on k plus e_k / C on every class.
    """
    none = not isinstance(smoothing, Tensor) and smoothing == 0
    if target.is_floating_point():
        every = log_p
        if not none:
            every = (1.0 - smoothing) * log_p + smoothing * log_p.mean(-1, keepdim=True)
        return pick(every if weight is None else weight * every, target)
    found = pick(log_p, target)
    if not none:
        share = smoothing[target] if isinstance(smoothing, Tensor) else smoothing
        found = (1.0 - share) * found + share * log_p.mean(-1)
    return found if weight is None else weight[target] * found


def unmix(log_p: Tensor, smoothing: float | Tensor) -> Tensor:
    """Return log q up to a constant, where p mixes the smoothed targets with shares q.

    From p_k = (1 - e_k) q_k + B, with B = sum_c q_c e_c / C found from sum q = 1. A class below B
    keeps 1e-10 of its p, so that order is kept.
    """
    if not isinstance(smoothing, Tensor) and smoothing == 0:
        return log_p
    log_p = log_p.log_softmax(-1)
    p = log_p.exp()
    kept = 1.0 - torch.as_tensor(smoothing, dtype=p.dtype, device=p.device).expand_as(p)
    spread = ((p / kept).sum(-1, keepdim=True) - 1.0) / kept.reciprocal().sum(-1, keepdim=True)
    above = (p - spread).clamp_min(torch.finfo(p.dtype).tiny).log()
    floor = log_p + torch.tensor(_ORDER, dtype=p.dtype, device=p.device).log()
    return torch.maximum(above, floor) - kept.log()


def unmix_ops(smoothing: float) -> list[dict[str, Any]]:
    """Return the steps of a correction that undo label smoothing."""
    return [{"op": "unmix", "smoothing": smoothing}] if smoothing > 0 else []
