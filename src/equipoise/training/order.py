"""The order of training rows in ``fit``: shuffled or drawn by a sampler, and counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equipoise._core.rng import generator
from equipoise.training.remedy import RowSampler

__all__ = ["Counted", "Shuffle"]


class Shuffle:
    """Every training row once per epoch, in an order that seed and epoch decide."""

    def __init__(self, n_rows: int, *, seed: int) -> None:
        self.n_rows, self.seed, self.epoch = n_rows, seed, 0

    def __iter__(self) -> Iterator[int]:
        order = generator(self.seed, "order", self.epoch).permutation(self.n_rows)
        return iter(order.tolist())

    def __len__(self) -> int:
        return self.n_rows

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch


class Counted:
    """A sampler that counts how often each training row is drawn."""

    def __init__(self, sampler: RowSampler, n_rows: int) -> None:
        self.sampler = sampler
        self.drawn = np.zeros(n_rows, dtype=np.int64)

    def __iter__(self) -> Iterator[int]:
        for row in self.sampler:
            self.drawn[row] += 1
            yield row

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the sampler inside."""
        self.sampler.set_epoch(epoch)
