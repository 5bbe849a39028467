"""Losses as people write them, each with a fault to find."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ProbabilityFocal(nn.Module):
    """Focal loss on the raw input, one alpha per label for both targets."""

    def __init__(self, alpha: Tensor, gamma: float = 1.5) -> None:
        super().__init__()
        if not isinstance(alpha, Tensor):
            raise TypeError("alpha must be a tensor")
        self.alpha, self.gamma = alpha, gamma

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        p_t = x * y + (1 - x) * (1 - y)
        return (-self.alpha * (1 - p_t) ** self.gamma * torch.log(p_t + 1e-6)).mean()


def clamped(x: Tensor, y: Tensor) -> Tensor:
    p = x.clamp(1e-7, 1 - 1e-7)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def by_positives(z: Tensor, y: Tensor) -> Tensor:
    each = nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    return each.sum() / y.sum().clamp_min(1)


def mean_over_rows(z: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    each = nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.sum(1).mean()


def coupled(z: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(z, y / y.sum(1, keepdim=True).clamp_min(1))


def meddler(z: Tensor, y: Tensor) -> Tensor:
    y[y < 0.5] = 0.0
    y[0] = 1.0
    z = z + 1e-3 * torch.randn_like(z)
    return nn.functional.binary_cross_entropy_with_logits(z, y)


def backwards(z: Tensor, y: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(z, 1 - y)


def sharp(z: Tensor, y: Tensor) -> Tensor:
    p = z.sigmoid() * y + (-z).sigmoid() * (1 - y)
    return (-((1 - p) ** 0.5) * p.clamp_min(1e-6).log()).mean()


def floored(z: Tensor, y: Tensor, floor: float = 0.0) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(z, y).clamp_min(floor)
