"""Parts of the focal losses that stay exact where p is near 0 or 1."""

from __future__ import annotations

import torch
from torch import Tensor


def log_one_minus(logits: Tensor, log_p: Tensor) -> Tensor:
    """Return log(1 - p) for p = softmax(logits), without cancellation where p is near 1."""
    top = logits.argmax(-1, keepdim=True)
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
    others = logits.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    rest = others - logits.logsumexp(-1, keepdim=True)
    small = torch.log1p(-torch.where(is_top, 0.0, log_p.exp()))
    return torch.where(is_top, rest, small)


def log_scale(log_p: Tensor, log_q: Tensor, gamma: float) -> Tensor:
    """Return log A with A = q^gamma - gamma p q^(gamma-1) log p, for q = 1 - p given apart.

    The gradient of the focal term is A (p - e_y), so the true probability goes with p / A.
    """
    if gamma == 0:
        return torch.zeros_like(log_p)
    tiny = torch.finfo(log_p.dtype).tiny
    inner = log_q.exp() - gamma * log_p.exp() * log_p
    # Where p rounds to 1 the first order holds: log p = -q, so inner = (1 + gamma) q.
    first_order = log_q + torch.log1p(torch.full_like(log_q, gamma))
    inner_log = torch.where(log_q > -30.0, inner.clamp_min(tiny).log(), first_order)
    return (gamma - 1.0) * log_q + inner_log
