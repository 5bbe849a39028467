"""Inputs brought to mean 0 and deviation 1 inside the network, so that new data need no recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from equipoise._core.messages import say
from equipoise.errors import DataError


class ScaledInputs(nn.Module):
    """A network that scales its inputs first: (x - mean) / std, per channel or feature.

    The numbers are buffers: they are saved with the weights, and prediction cannot forget them.

    Args:
        network: Any module.
        mean: C or F numbers, of the training rows.
        std: As many, above 0; a feature that does not vary takes 1.
        axis: Axis of x that they belong to: 1 for images (N, C, H, W), -1 for tables (N, F) and
            padded sequences (N, T, F), whose padding is then no longer 0 and has to be masked by
            the network, as :class:`LSTMClassifier` does.

    x is floating, uint8 (taken from [0, 255] to [0, 1] first), or a pair of x and lengths.

    Raises:
        DataError: means and deviations that do not pair up, or a deviation not above 0.

    Example:
        >>> net = ScaledInputs(nn.Identity(), [2.0], [4.0])
        >>> net(torch.tensor([[10.0]])).item()
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], *, axis: int = -1
    ) -> None:
        super().__init__()
        self.network, self.axis = network, axis
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32))
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            found = f"{tuple(self.mean.shape)} and {tuple(self.std.shape)}"
            raise DataError(say("mean and std", "be as many numbers", found))
        if not bool((self.std > 0).all()) or not bool(torch.isfinite(self.mean).all()):
            raise DataError(say("std", "be above 0", f"{float(self.std.min()):g}"))

    def forward(self, x: Any) -> Tensor:
        """Return what the network makes of scaled inputs."""
        if isinstance(x, (tuple, list)):
            first, *rest = x
            scaled: Any = (self._scale(first), *rest)
        else:
            scaled = self._scale(x)
        outputs: Tensor = self.network(scaled)
        return outputs

    def _scale(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = x.to(self.mean.dtype) / 255
        shape = [1] * x.ndim
        shape[self.axis] = -1
        return (x - self.mean.view(shape).to(x.dtype)) / self.std.view(shape).to(x.dtype)

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"features={self.mean.numel()}, axis={self.axis}"
