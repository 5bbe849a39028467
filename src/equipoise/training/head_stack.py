"""Heads of one form that draw equally many rows per epoch, as one batched tensor program.

One stacked weight tensor, each slice its own loss. Heads of one seed that share an order of rows
share mini-batches; seeds never do. Each slice ends where it would end if it were trained alone
with the same batches, whatever else is in the stack.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.checks import say
from equipoise._core.rng import generator
from equipoise.artifacts import Labels
from equipoise.errors import TrainingError, UsageError
from equipoise.training.head_jobs import HeadJob, HeadSettings, Progress, Rows
from equipoise.training.head_network import CosineNetwork, HeadNetwork
from equipoise.training.order import make_sampler as named_sampler
from equipoise.training.remedy import RowSampler
from equipoise.training.selection import selection_metric
from equipoise.training.shared_losses import SharedLosses
from equipoise.training.targets import to_target

__all__ = ["Stack", "StackOutcome", "make_sampler"]

# Rows that are scored at once.
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class StackOutcome:
    """One trained head: its job, history, chosen epoch, draws, logits and best weights."""

    job: HeadJob
    history: list[dict[str, Any]]
    epoch: int
    drawn: Rows
    val_logits: NDArray[Any]
    test_logits: NDArray[Any]
    state: dict[str, NDArray[np.floating]]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A run of heads with the same seed and rows; mean and scale of its training rows, (D,)."""

    heads: slice
    job: HeadJob
    mean: Tensor
    std: Tensor


def make_sampler(job: HeadJob, epochs: int) -> RowSampler | None:
    """Return the sampler of a job, or None where all rows are shuffled."""
    make = job.remedy.sampler
    if make is None:
        return None
    return named_sampler(make, job.train.size, seed=job.seed, epochs=epochs)


class Stack:
    """Heads of one form that draw equally many rows per epoch, as one batched tensor program."""

    def __init__(
        self,
        features: NDArray[np.floating],
        labels: Labels,
        jobs: Sequence[HeadJob],
        settings: HeadSettings,
    ) -> None:
        self.settings, self.labels = settings, labels
        # Heads with the same rows stand together, those with a sampler of their own last.
        self.jobs = sorted(jobs, key=lambda job: (_rows_key(job), job.remedy.sampler is not None))
        self.samplers = [make_sampler(job, settings.epochs) for job in self.jobs]
        self.drawn = [np.zeros(job.train.size, dtype=np.int64) for job in self.jobs]
        self.dtype = torch.float64 if settings.dtype == "float64" else torch.float32
        self.x = _to_tensor(features, self.dtype)
        self.y = to_target(labels, self.dtype)
        self.places = self._places()
        width = [settings.hidden] if settings.hidden else []
        widths = [self.x.shape[1], *width, labels.num_classes]
        network = CosineNetwork if self.jobs[0].remedy.head == "cosine" else HeadNetwork
        self.net = network(widths, [job.seed for job in self.jobs], self.dtype)
        self.losses = SharedLosses([job.remedy.loss for job in self.jobs])
        sampler = self.samplers[0]
        self.draws = self.jobs[0].train.size if sampler is None else len(sampler)
        self.total_steps = math.ceil(self.draws / settings.batch_size) * settings.epochs

    def _places(self) -> list[_Place]:
        places, start = [], 0
        for _, run in groupby(self.jobs, key=_rows_key):
            members = list(run)
            part = self.x[torch.from_numpy(members[0].train)]
            std, mean = torch.std_mean(part, dim=0, correction=0)
            constant = std <= 10 * torch.finfo(self.dtype).eps * mean.abs()
            std = torch.where(constant, torch.ones_like(std), std)
            heads = slice(start, start + len(members))
            places.append(_Place(heads, members[0], mean, std))
            start = heads.stop
        return places

    def _inputs(self, rows: Tensor, place: _Place) -> Tensor:
        """Return standardised features of some rows, (B, D)."""
        return self.x.index_select(0, rows).sub_(place.mean).div_(place.std)

    def _orders(self, epoch: int) -> list[tuple[slice, _Place, Tensor]]:
        """Return the distinct orders of an epoch: the heads that follow it and its rows."""
        orders: list[tuple[slice, _Place, Tensor]] = []
        for place in self.places:
            start, stop = place.heads.start, place.heads.stop
            plain = sum(sampler is None for sampler in self.samplers[start:stop])
            runs = [slice(start, start + plain)] if plain else []
            runs += [slice(head, head + 1) for head in range(start + plain, stop)]
            for heads in runs:
                within = self._draw(heads.start, epoch)
                counts = np.bincount(within, minlength=place.job.train.size)
                for head in range(heads.start, heads.stop):
                    self.drawn[head] += counts
                orders.append((heads, place, torch.from_numpy(place.job.train[within])))
        return orders

    def _draw(self, head: int, epoch: int) -> Rows:
        """Return positions within the training rows, in the order of this epoch."""
        job, sampler = self.jobs[head], self.samplers[head]
        if sampler is None:
            return generator(job.seed, "order", epoch).permutation(job.train.size)
        sampler.set_epoch(epoch)
        within = np.fromiter(iter(sampler), dtype=np.int64)
        if within.size != self.draws:
            wanted = f"draw {self.draws} rows in each epoch"
            raise UsageError(say(f"the sampler of '{job.remedy.name}'", wanted, within.size))
        return within

    def _epoch(self, epoch: int, done: Progress | None) -> Tensor:
        """Train one epoch and return the mean loss per head, (H,)."""
        orders = self._orders(epoch)
        self.losses.start_epoch(epoch)
        lengths = torch.tensor([heads.stop - heads.start for heads, _, _ in orders])
        which = torch.repeat_interleave(torch.arange(len(orders)), lengths)
        total = torch.zeros(len(self.jobs), dtype=torch.float64)
        for start in range(0, self.draws, self.settings.batch_size):
            batch = slice(start, min(start + self.settings.batch_size, self.draws))
            value = self._step([(h, p, rows[batch]) for h, p, rows in orders], which)
            total += value.double() * ((batch.stop - batch.start) / self.draws)
            if done is not None:
                done(self.net.steps, self.total_steps)
        bad = ~torch.isfinite(total)
        if bad.any():
            raise _lost(self.jobs[int(bad.nonzero()[0])], "loss", epoch)
        return total

    def _step(self, orders: Sequence[tuple[slice, _Place, Tensor]], which: Tensor) -> Tensor:
        """Take one step with all heads and return their losses, (H,)."""
        inputs = [self._inputs(rows, place) for _, place, rows in orders]
        targets = torch.stack([self.y.index_select(0, rows) for _, _, rows in orders])
        runs = [heads for heads, _, _ in orders]
        outputs = [self.net.forward(x, h) for x, h in zip(inputs, runs, strict=True)]
        value, slope = self.losses(torch.cat([out[-1] for out in outputs]), targets, which)
        grads = [
            self.net.backward(x, heads, out, slope[heads])
            for x, heads, out in zip(inputs, runs, outputs, strict=True)
        ]
        half_cosine = 0.5 * (1 + math.cos(math.pi * self.net.steps / self.total_steps))
        self.net.step(
            [torch.cat(parts) for parts in zip(*grads, strict=True)],
            lr=self.settings.lr * half_cosine,
            weight_decay=self.settings.weight_decay,
        )
        return value

    def _score(self, rows: Sequence[Rows], params: Sequence[Tensor]) -> list[NDArray[Any]]:
        """Return the logits of each head; ``rows`` has one entry per place."""
        out: list[NDArray[Any]] = []
        for place, part in zip(self.places, rows, strict=True):
            chunks = [
                self.net.forward(self._inputs(chunk, place), place.heads, params)[-1]
                for chunk in torch.split(torch.from_numpy(part), _CHUNK)
            ]
            out.extend(torch.cat(chunks, dim=1).double().numpy())
        return out

    @torch.no_grad()
    def run(self, test: Rows, progress: Progress | None) -> list[StackOutcome]:
        """Train, choose each head's best epoch, score validation and test once."""
        val = [place.job.val for place in self.places]
        truth = [self.labels[p.job.val] for p in self.places for _ in self.jobs[p.heads]]
        best = [p.clone() for p in self.net.params]
        chosen = [0] * len(self.jobs)
        history: list[list[dict[str, Any]]] = [[] for _ in self.jobs]
        for epoch in range(self.settings.epochs):
            losses = self._epoch(epoch, progress).tolist()
            for head, (job, logits) in enumerate(
                zip(self.jobs, self._score(val, self.net.params), strict=True)
            ):
                if not np.isfinite(logits).all():
                    raise _lost(job, "output", epoch)
                value = selection_metric(logits, truth[head], job.remedy.correction)
                rows = history[head]
                rows.append({"epoch": epoch, "loss": losses[head], "val_metric": value})
                # Where the metric is NaN in every epoch, the last one is kept.
                if epoch == 0 or not value <= rows[chosen[head]]["val_metric"]:
                    chosen[head] = epoch
                    for kept, now in zip(best, self.net.params, strict=True):
                        kept[head] = now[head]
        val_logits = self._score(val, best)
        tested = test.size > 0
        test_logits = self._score([test] * len(val), best) if tested else val_logits
        places = [place for place in self.places for _ in self.jobs[place.heads]]
        return [
            StackOutcome(
                job,
                history[head],
                chosen[head],
                self.drawn[head],
                val_logits[head],
                test_logits[head],
                self._state(head, best, places[head]),
            )
            for head, job in enumerate(self.jobs)
        ]

    def _state(
        self, head: int, params: Sequence[Tensor], place: _Place
    ) -> dict[str, NDArray[np.floating]]:
        names = ("hidden.weight", "hidden.bias", "head.weight", "head.bias")
        first = 0 if self.settings.hidden else 2
        own = names[first : first + len(params)]  # a cosine head has no bias
        state = {n: p[head].numpy().copy() for n, p in zip(own, params, strict=True)}
        return state | {"mean": place.mean.numpy(), "std": place.std.numpy()}


def _rows_key(job: HeadJob) -> tuple[int, bytes, bytes]:
    return job.seed, job.train.tobytes(), job.val.tobytes()


def _to_tensor(features: NDArray[np.floating], dtype: torch.dtype) -> Tensor:
    """Return features as a tensor, memory maps without a copy; they are never written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.as_tensor(np.ascontiguousarray(features), dtype=dtype)


def _lost(job: HeadJob, what: str, epoch: int) -> TrainingError:
    return TrainingError(
        f"The {what} of '{job.remedy.name}' (seed {job.seed}) is not finite in epoch {epoch}. "
        "Lower the learning rate, or check the weights of rare labels."
    )
