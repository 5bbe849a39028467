"""The data of one run: rows, their order on every rank, and the loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Subset

from equipoise._core.messages import hint, say
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import Correction, Labels, Split
from equipoise.data import make_loader, seed_worker
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.training.dense import Layout
from equipoise.training.late import Deferred
from equipoise.training.options import TrainingOptions
from equipoise.training.ranks import collective_device, place, sum_over_ranks
from equipoise.training.remedy import Remedy, RowSampler
from equipoise.training.selection import METRIC_NAMES, Monitor, selection_metric

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
            raise UsageError(
                say("schedule.sampler", expected, len(late), hint("Pass {num_samples=}."))
            )

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


_FEW = 4
Rows = NDArray[np.int64]
Collate = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class RunData:
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

    @cached_property
    def layout(self) -> Layout | None:
        """How dense outputs lie; None where each row has one truth."""
        return Layout.of(self.remedy, self.truth.names)

    @property
    def metric_name(self) -> str:
        """What :meth:`measure` measures, in words."""
        kind = self.truth.kind if self.layout is None else self.layout.kind
        return METRIC_NAMES[kind] if self.monitor is None else self.monitor.name

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
