"""Whole batches drawn from labels, dealt out to the ranks, without torch.

Rank and world size are found when iteration starts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.words import say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError
from equipoise.sampling._place import Placed, Sharding, positive_int
from equipoise.sampling.effect import sampler_correction

Rows = NDArray[np.int64]


class BatchDraw(Placed):
    """Base of what draws batches; subclasses say how one after the other is made."""

    def __init__(
        self,
        labels: Labels,
        batch_size: int,
        num_batches: int | None,
        *,
        seed: int,
        sharding: Sharding,
        num_replicas: int | None,
        rank: int | None,
    ) -> None:
        if len(labels) == 0:
            raise DataError(say("labels", "have at least one row", "none"))
        self.labels, self.batch_size = labels, batch_size
        self.seed, self.epoch, self.drop_last = int(seed), 0, True
        # Trainers call set_epoch on the `sampler` of a batch sampler: here both are one.
        self.sampler: Any = self
        whole = max(len(labels) // batch_size, 1)
        total = positive_int("num_batches", whole if num_batches is None else num_batches)
        self._settle(total, sharding, num_replicas, rank)

    @abstractmethod
    def _batches(self) -> Iterator[list[int]]:
        """Yield batches of the current seed and epoch without end."""

    def __iter__(self) -> Iterator[list[int]]:
        rank, world, used, size = self._begin()
        mine = islice(self._batches(), used + rank, used + size, world)
        for done, batch in enumerate(mine):
            self._live = (used + (done + 1) * world, 0, iter(()))
            yield batch
        self._live = None

    def __len__(self) -> int:
        return self._left()

    def correction(self) -> Correction:
        """Return the way back to the natural prior, from how often rows come in three epochs.

        Approximate: it is counted on draws, and for several labels it treats each one alone.
        """
        drawn, epoch = np.zeros(len(self.labels)), self.epoch
        for self.epoch in range(3):
            for batch in islice(self._batches(), self._total):
                np.add.at(drawn, batch, 1.0)
        self.epoch = epoch
        if self.labels.kind == "multiclass":
            values, counts = self.labels.values, self.labels.counts
            of_class = np.bincount(values, weights=drawn, minlength=counts.size)
            drawn = (of_class / np.maximum(counts, 1))[values]
        return replace(sampler_correction(drawn, self.labels), exactness="approximate")

    def _positives(self) -> dict[int, Rows]:
        """Return the rows of every class or label that occurs."""
        counts, values = self.labels.counts, self.labels.values
        if self.labels.kind == "multiclass":
            parts = np.split(np.argsort(values, kind="stable"), np.cumsum(counts)[:-1])
        else:
            parts = [np.flatnonzero(column == 1) for column in values.T]
        return {c: rows.astype(np.int64) for c, rows in enumerate(parts) if rows.size}
