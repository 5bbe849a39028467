"""Which rows the heads of a stack are trained on, batch by batch, gathered and standardised.

Heads of one seed whose rows are drawn and mixed in the same way share mini-batches; seeds never
do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.messages import say
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.training.heads.jobs import ROWS_AT_ONCE, HeadJob, HeadSettings, Rows, deferred
from equipoise.training.remedy import RowSampler
from equipoise.training.run_data import make_sampler


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


Make = Callable[..., RowSampler]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """One order of rows, and all who follow it.

    Args:
        jobs: They differ in loss and settings only.
        scale: Of the features over the training rows.
        early: Draws positions within the training rows; None shuffles all of them.
        late: Takes over in epoch ``late_from``.
        late_from: Epoch.
        draws: Rows per epoch.
    """

    jobs: tuple[HeadJob, ...]
    scale: Scale
    early: RowSampler | None
    late: RowSampler | None
    late_from: int
    draws: int

    @classmethod
    def of(cls, jobs: Sequence[HeadJob], scale: Scale, epochs: int) -> Order:
        """Return the order of jobs that share one."""
        job = jobs[0]
        schedule = deferred(job.remedy)
        late = None if schedule is None else schedule.sampler
        return cls(
            tuple(jobs),
            scale,
            _sampler(job.remedy.sampler, job, epochs),
            _sampler(late, job, epochs),
            epochs if schedule is None else schedule.first_epoch(epochs),
            draws_of(job, epochs),
        )

    def draw(self, epoch: int) -> Rows:
        """Return positions within the training rows, in the order of this epoch."""
        job = self.jobs[0]
        sampler = self.late if self.late is not None and epoch >= self.late_from else self.early
        if sampler is None:
            return generator(job.seed, "order", epoch).permutation(job.train.size)
        sampler.set_epoch(epoch)
        within = np.fromiter(iter(sampler), dtype=np.int64)
        if within.size != self.draws:
            wanted = f"draw {self.draws} rows in each epoch"
            raise UsageError(say(f"the sampler of '{job.remedy.name}'", wanted, within.size))
        return within

    def batches(
        self, features: Features, target: Tensor, within: Rows, size: int, epoch: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield inputs (B, D), targets and positions of an epoch, mixed where the remedy mixes."""
        job = self.jobs[0]
        mixing, rows = job.remedy.mixing, torch.from_numpy(job.train[within])
        for number, batch in enumerate(torch.split(rows, size)):
            x = features.take(batch, self.scale)
            truth = target.index_select(0, batch.to(target.device))
            if mixing is not None:
                seed = child_seed(job.seed, "batch", epoch, number)
                x, truth = mixing(x, truth, torch.Generator().manual_seed(seed))
                truth = truth.to(x.dtype)
            yield x, truth, batch


def draws_of(job: HeadJob, epochs: int) -> int:
    """Return how many rows a job draws per epoch."""
    sampler = _sampler(job.remedy.sampler, job, epochs)
    return int(job.train.size) if sampler is None else len(sampler)


def _sampler(make: Make | None, job: HeadJob, epochs: int) -> RowSampler | None:
    if make is None:
        return None
    return make_sampler(make, job.train.size, seed=job.seed, epochs=epochs)


def group_jobs(jobs: Sequence[HeadJob]) -> list[list[HeadJob]]:
    """Return jobs in groups that share an order, those of the same rows side by side."""
    same_rows: dict[tuple[int, bytes, bytes], list[list[HeadJob]]] = {}
    for job in jobs:
        key = job.seed, job.train.tobytes(), job.val.tobytes()
        groups = same_rows.setdefault(key, [])
        found = next((group for group in groups if _same_order(group[0], job)), None)
        if found is None:
            groups.append([job])
        else:
            found.append(job)
    return [group for _, groups in sorted(same_rows.items()) for group in groups]


def _same_order(one: HeadJob, other: HeadJob) -> bool:
    """Whether two jobs of the same rows draw and mix alike; in doubt they do not."""
    left, right = one.remedy, other.remedy
    if not (_same(left.sampler, right.sampler) and _same(left.mixing, right.mixing)):
        return False
    late, later = deferred(left), deferred(right)
    sampler = None if late is None else late.sampler
    if not _same(sampler, None if later is None else later.sampler):
        return False
    if sampler is None or late is None or later is None:
        return True
    return late.start == later.start


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, partial):
        keys = one.keywords.keys() == other.keywords.keys()
        return (
            keys
            and _same(one.func, other.func)
            and _same(one.args, other.args)
            and all(_same(value, other.keywords[key]) for key, value in one.keywords.items())
        )
    if isinstance(one, tuple | list):
        return bool(len(one) == len(other) and all(map(_same, one, other)))
    if isinstance(one, Labels):
        return bool(one.fingerprint == other.fingerprint)
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    return bool(one == other) if isinstance(one, _COMPARABLE) or _is_record(one) else False


_COMPARABLE = (bool, int, float, str, np.integer, np.floating)


def _is_record(value: Any) -> bool:
    """Whether it is a frozen dataclass that compares by its fields, as mixings do."""
    settings: Any = getattr(value, "__dataclass_params__", None)
    return bool(settings is not None and settings.frozen and settings.eq)


def _same_array(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)
