"""The data of one run: rows, loaders that every rank shares, and their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Subset

from equipoise._core.rng import child_seed
from equipoise._core.words import say
from equipoise.artifacts import Correction, Labels, Split
from equipoise.data import make_loader, seed_worker
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.training.options import TrainingOptions
from equipoise.training.order import Counted, make_sampler
from equipoise.training.ranks import place
from equipoise.training.remedy import Remedy
from equipoise.training.schedule import Deferred
from equipoise.training.selection import METRIC_NAMES, Monitor, selection_metric

_FEW = 4
Rows = NDArray[np.int64]
Collate = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Feed:
    """A data set, its truth and its split, as one run of training reads them.

    Args:
        dataset: Item i is (input, target).
        truth: Of all rows.
        split: Positions of training, validation and test rows.
        remedy: Its sampler and schedule decide the order.
        options: Batch size, workers, epochs.
        seed: Of the order.
        collate: Makes a batch of items; None stacks tensors.
        monitor: What chooses the epoch; None takes the metric of the kind of labels.
    """

    dataset: Dataset[Any]
    truth: Labels
    split: Split
    remedy: Remedy
    options: TrainingOptions
    seed: int
    collate: Collate | None = None
    monitor: Monitor | None = None

    def __post_init__(self) -> None:
        rows = len(self.dataset)  # type: ignore[arg-type]
        if len(self.truth) != rows or self.split.n_rows != rows:
            raise ShapeError(
                say(
                    "labels and split",
                    f"have as many rows as the data set, {rows}",
                    f"{len(self.truth)} labels and a split of {self.split.n_rows} rows",
                    "All three must be of the same table.",
                )
            )
        for name, part in (("train", self.split.train), ("val", self.split.val)):
            if part.size == 0:
                raise DataError(say(f"split.{name}", "hold at least one row", "none"))

    def measure(
        self, outputs: NDArray[np.floating], labels: Labels, correction: Correction
    ) -> float:
        """Return the metric that chooses the epoch."""
        measure = selection_metric if self.monitor is None else self.monitor.measure
        return measure(outputs, labels, correction)

    @property
    def metric_name(self) -> str:
        """What :meth:`measure` measures, in words."""
        return METRIC_NAMES[self.truth.kind] if self.monitor is None else self.monitor.name

    @cached_property
    def deferred(self) -> Deferred | None:
        """The remedy's schedule."""
        schedule = self.remedy.schedule
        if schedule is not None and not isinstance(schedule, Deferred):
            do = "Take equipoise.training.Deferred."
            raise UsageError(say("schedule", "be one that `fit` knows", type(schedule), do))
        return schedule

    @cached_property
    def order(self) -> Counted:
        """The order of training rows; the same object for the whole run."""
        n, options, late = self.split.train.size, self.options, self.deferred
        given = {"seed": self.seed, "epochs": options.epochs}
        early = make_sampler(self.remedy.sampler, n, **given)
        if late is None or late.sampler is None:
            return Counted(early, n)
        after = make_sampler(late.sampler, n, **given)
        return Counted(early, n, after, late.first_epoch(options.epochs))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of order and worker seeds."""
        self.order.set_epoch(epoch)
        self._worker_seeds.manual_seed(child_seed(self.seed, "workers", epoch))

    @cached_property
    def _worker_seeds(self) -> torch.Generator:
        return torch.Generator().manual_seed(child_seed(self.seed, "workers", 0))

    def train_loader(self, pin: bool) -> DataLoader[Any]:
        """Return this rank's share of the training rows, in the order of the sampler."""
        size = self.options.rows_per_pass(place()[1])
        return self._loader(self.split.train, size, pin, sampler=self.order)

    def preview(self, most: int) -> Rows:
        """Return the first positions within the training rows of the first epoch's order."""
        given = {"seed": self.seed, "epochs": self.options.epochs}
        sampler = make_sampler(self.remedy.sampler, self.split.train.size, **given)
        sampler.set_epoch(0)
        return np.fromiter(islice(iter(sampler), most), dtype=np.int64)

    def few(self) -> Any:
        """Return the inputs of a few training rows as one batch."""
        rows = Subset(self.dataset, self.split.train[:_FEW].tolist())
        # A generator of its own: a loader without one draws from torch's state.
        loader = DataLoader(
            rows, batch_size=_FEW, collate_fn=self.collate, generator=torch.Generator()
        )
        return next(iter(loader))[0]

    def eval_loader(self, rows: Rows, pin: bool) -> DataLoader[Any]:
        """Return this rank's share of some rows: those at rank, rank + ranks, ..."""
        rank, world = place()
        return self._loader(rows[rank::world], self.options.rows_per_pass(world), pin)

    def _loader(
        self, rows: Rows, size: int, pin: bool, sampler: Counted | None = None
    ) -> DataLoader[Any]:
        return make_loader(
            self.dataset,
            rows.tolist(),
            size,
            num_workers=self.options.num_workers,
            collate=self.collate,
            pin_memory=pin,
            sampler=sampler,
            worker_init_fn=seed_worker,
            generator=self._worker_seeds if sampler is not None else torch.Generator(),
        )
