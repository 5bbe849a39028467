"""Which rows the heads of a stack are trained on, batch by batch.

Heads of one seed whose rows are drawn and mixed in the same way share mini-batches; seeds never
do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.rng import child_seed, generator
from equipoise._core.words import say
from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.training.head_inputs import Features, Scale
from equipoise.training.head_jobs import HeadJob, Rows, deferred
from equipoise.training.order import make_sampler
from equipoise.training.remedy import RowSampler

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
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs (B, D) and targets of an epoch, mixed where the remedy mixes."""
        job = self.jobs[0]
        mixing, rows = job.remedy.mixing, torch.from_numpy(job.train[within])
        for number, batch in enumerate(torch.split(rows, size)):
            x = features.take(batch, self.scale)
            truth = target.index_select(0, batch.to(target.device))
            if mixing is not None:
                seed = child_seed(job.seed, "batch", epoch, number)
                x, truth = mixing(x, truth, torch.Generator().manual_seed(seed))
                truth = truth.to(x.dtype)
            yield x, truth


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
