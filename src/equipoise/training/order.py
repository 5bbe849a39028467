"""The order of training rows: shuffled or drawn by a sampler, counted, and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._core.rng import child_seed, generator
from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.training.ranks import collective_device, place, sum_over_ranks
from equipoise.training.remedy import RowSampler

Make = Callable[..., RowSampler]


class Shuffle:
    """Every training row once per epoch, in an order that seed and epoch decide.

    Row i of the order goes to rank i modulo the number of ranks; where the ranks do not divide
    the rows, the order begins anew at its end.
    """

    def __init__(self, n_rows: int, *, seed: int) -> None:
        self.n_rows, self.seed, self.epoch = n_rows, seed, 0

    def __iter__(self) -> Iterator[int]:
        order = generator(self.seed, "order", self.epoch).permutation(self.n_rows)
        rank, world = place()
        return iter(np.resize(order, len(self) * world)[rank::world].tolist())

    def __len__(self) -> int:
        return -(-self.n_rows // place()[1])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch


class Counted:
    """A sampler that counts how often each training row is drawn, and can skip what was drawn.

    Args:
        early: Draws positions within the training rows.
        n_rows: Training rows.
        late: Takes over in epoch ``late_from``; as long as ``early``.
        late_from: Epoch.

    Attributes:
        drawn: (n_rows,) how often each row was drawn in this epoch, by this rank.
        skip: Positions that the next iteration counts and does not yield.
    """

    def __init__(
        self, early: RowSampler, n_rows: int, late: RowSampler | None = None, late_from: int = 0
    ) -> None:
        self.early, self.late, self.late_from = early, late, late_from
        self.active = early
        self.drawn = np.zeros(n_rows, dtype=np.int64)
        self.skip = 0
        if late is not None and len(late) != len(early):
            expected = f"draw as many rows as before it begins, {len(early)}"
            raise UsageError(say("schedule.sampler", expected, len(late), "Pass num_samples=."))

    def __iter__(self) -> Iterator[int]:
        skip, self.skip = self.skip, 0
        self.drawn[:] = 0
        for position, row in enumerate(self.active):
            self.drawn[row] += 1
            if position >= skip:
                yield row

    def __len__(self) -> int:
        return len(self.early)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the sampler inside, and which sampler that is."""
        late = self.late is not None and epoch >= self.late_from
        self.active = self.late if late and self.late is not None else self.early
        self.active.set_epoch(epoch)

    def counts(self) -> NDArray[np.int64]:
        """Return how often each row was drawn in this epoch, by all ranks together."""
        total = sum_over_ranks(torch.from_numpy(self.drawn.copy()), collective_device())
        return np.asarray(total.cpu().numpy())


def make_sampler(make: Make | None, n_rows: int, *, seed: int, epochs: int) -> RowSampler:
    """Return a remedy's sampler, or a shuffle where it has none.

    A sampler that changes over training learns how many epochs there are.
    """
    stream = child_seed(seed, "order")
    sampler = Shuffle(n_rows, seed=stream) if make is None else make(seed=stream)
    tell = getattr(sampler, "set_num_epochs", None)
    if callable(tell):
        tell(epochs)
    return sampler
