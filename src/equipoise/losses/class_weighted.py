"""One weight per class around a softmax loss that takes none itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot


class ClassWeighted(nn.Module):
    """A softmax loss with one weight per class, for losses that take none themselves.

    Args:
        loss: Linear in its target: the weights go into the targets. Its mean still divides by
            rows.
        weight: (C,), >= 0.
    """

    linear_in_target = True
    weight: Tensor

    def __init__(self, loss: nn.Module, weight: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (N, C) and class indices (N,), or class shares (N, C)."""
        if not target.is_floating_point():
            target = one_hot(target, len(self.weight))
        value: Tensor = self.loss(logits, target * self.weight)
        return value

    def divisor(self, target: Tensor) -> Tensor:
        """Return what the mean divides by: rows."""
        return torch.tensor(len(target))
