"""Fixed features as mini-batches: gathered from where they lie, standardised, on the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.training.head_jobs import ROWS_AT_ONCE, HeadSettings, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Mean and standard deviation of the training rows, (D,)."""

    mean: Tensor
    std: Tensor


class Features:
    """Rows of a feature matrix on demand.

    Args:
        features: (N, D) numbers in memory, or a memory map, which is never read as a whole.
        settings: Dtype, device and how much of its memory may be taken.

    The matrix is copied to a GPU where it takes no more than ``memory_gb``.
    """

    def __init__(self, features: NDArray[np.floating], settings: HeadSettings) -> None:
        self.dtype, self.device = settings.torch_dtype, settings.torch_device
        self.width = features.shape[1]
        self._source = _as_tensor(features)
        size = self._source.numel() * self._source.element_size()
        if self.device.type != "cpu" and size <= settings.memory_gb * 1e9:
            self._source = self._source.to(self.device)

    def take(self, rows: Tensor, scale: Scale | None = None) -> Tensor:
        """Return some rows, (B, D), standardised where a scale is given."""
        part = self._source.index_select(0, rows.to(self._source.device))
        part = part.to(self.device, self.dtype)
        return part if scale is None else part.sub_(scale.mean).div_(scale.std)

    def chunks(self, rows: Rows, scale: Scale | None = None) -> Iterator[Tensor]:
        """Yield rows in parts."""
        for part in torch.split(torch.from_numpy(rows), ROWS_AT_ONCE):
            yield self.take(part, scale)

    def scale(self, rows: Rows) -> Scale:
        """Return mean and standard deviation of some rows; a constant feature has 1."""
        mean = sum((part.double().sum(0) for part in self.chunks(rows)), self._zeros()) / rows.size
        squares = ((part.double() - mean).square().sum(0) for part in self.chunks(rows))
        std = (sum(squares, self._zeros()) / rows.size).sqrt()
        constant = std <= 10 * torch.finfo(self.dtype).eps * mean.abs()
        std = torch.where(constant, torch.ones_like(std), std)
        return Scale(mean.to(self.dtype), std.to(self.dtype))

    def _zeros(self) -> Tensor:
        return torch.zeros(self.width, dtype=torch.float64, device=self.device)


def _as_tensor(features: NDArray[np.floating]) -> Tensor:
    """Return features as a tensor without a copy where torch knows their form."""
    with warnings.catch_warnings():
        # They are only read.
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        try:
            return torch.from_numpy(features)
        except (TypeError, ValueError):  # other byte order, negative strides
            return torch.from_numpy(features.astype(features.dtype.newbyteorder("="), order="C"))
