"""Heads of one form that draw equally many rows per epoch, as one batched tensor program.

One stacked weight tensor, each slice its own loss, learning rate and weight decay. Each slice ends
where it would end if it were trained alone with the same batches, up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.artifacts import Labels
from equipoise.errors import TrainingError
from equipoise.training.head_inputs import Features, Scale
from equipoise.training.head_jobs import HeadJob, HeadSettings, Progress, Rows
from equipoise.training.head_kept import Kept
from equipoise.training.head_losses import HeadLosses
from equipoise.training.head_network import make_network
from equipoise.training.head_orders import Order
from equipoise.training.lessons import BATCHES, require_lessons
from equipoise.training.targets import to_target


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


class Stack:
    """Heads of one form that draw equally many rows per epoch, as one batched tensor program.

    Args:
        features: Of all rows.
        labels: Of the same rows.
        groups: Jobs that share an order, as :func:`group_jobs` returns them.
        settings: Shared by all heads.
    """

    def __init__(
        self,
        features: Features,
        labels: Labels,
        groups: Sequence[Sequence[HeadJob]],
        settings: HeadSettings,
    ) -> None:
        self.settings, self.labels, self.features = settings, labels, features
        self.jobs = [job for group in groups for job in group]
        scales: dict[tuple[int, bytes], Scale] = {}
        self.orders: list[Order] = []
        for group in groups:
            key = group[0].seed, group[0].train.tobytes()
            if key not in scales:
                scales[key] = features.scale(group[0].train)
            self.orders.append(Order.of(group, scales[key], settings.epochs))
        self.draws = self.orders[0].draws
        self.steps_per_epoch = math.ceil(self.draws / settings.batch_size)
        self.total_steps = self.steps_per_epoch * settings.epochs
        device = features.device
        self.target = to_target(labels, settings.torch_dtype).to(device)
        width = [settings.hidden] if settings.hidden else []
        widths = [features.width, *width, labels.num_classes]
        runs = [len(order.jobs) for order in self.orders]
        form = self.jobs[0].remedy.head
        self.net = make_network(form, widths, runs, settings.torch_dtype, device)
        self.net.start([job.seed for job in self.jobs])
        self.lr = self._per_head("lr")
        self.weight_decay = self._per_head("weight_decay")
        self.losses = HeadLosses([job.remedy for job in self.jobs], settings.epochs, device)
        for order in self.orders:
            first = order.draw(0)[: settings.batch_size * BATCHES]
            for job in order.jobs:
                require_lessons(job.remedy, labels[job.train[first]], settings.batch_size)
        lengths = torch.tensor(runs, device=device)
        self.which = torch.repeat_interleave(torch.arange(len(runs), device=device), lengths)

    def _per_head(self, name: str) -> list[Tensor]:
        """Return a setting of the jobs, where they have none that of all, for `net.step`."""
        own = [getattr(job, name) for job in self.jobs]
        values = [getattr(self.settings, name) if value is None else value for value in own]
        on = self.features.device
        return self.net.spread(torch.tensor(values, dtype=torch.float64, device=on))

    def _batches(self, epoch: int, drawn: list[Rows]) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """Yield one batch of each order at a time."""
        size = self.settings.batch_size
        feeds = [
            order.batches(self.features, self.target, within, size, epoch)
            for order, within in zip(self.orders, drawn, strict=True)
        ]
        return (list(batch) for batch in zip(*feeds, strict=True))

    def _epoch(self, epoch: int, drawn: list[Rows], done: Progress | None) -> Tensor:
        """Train one epoch and return the mean loss per head, (H,)."""
        self.losses.start_epoch(epoch)
        on = self.features.device
        total = torch.zeros(len(self.jobs), dtype=torch.float64, device=on)
        for batch in self._batches(epoch, drawn):
            value = self._step([x for x, _ in batch], torch.stack([y for _, y in batch]))
            total += value.double() * (len(batch[0][0]) / self.draws)
            if done is not None:
                done(self.net.steps, self.total_steps)
        bad = ~torch.isfinite(total)
        if bad.any():
            raise _lost(self.jobs[int(bad.nonzero()[0])], "loss", epoch)
        return total

    def _step(self, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Take one step with all heads and return their losses, (H,)."""
        outputs = [self.net.forward(x, run) for run, x in enumerate(inputs)]
        value, slope = self.losses(torch.cat([out[-1] for out in outputs]), targets, self.which)
        for run, (x, out) in enumerate(zip(inputs, outputs, strict=True)):
            self.net.backward(x, run, out, slope[self.net.layout.heads_of[run]])
        half_cosine = 0.5 * (1 + math.cos(math.pi * self.net.steps / self.total_steps))
        self.net.step([lr * half_cosine for lr in self.lr], self.weight_decay)
        return value

    def _score(self, rows: Sequence[Rows], params: Sequence[Tensor]) -> list[NDArray[Any]]:
        """Return the logits of each head; ``rows`` has one entry per order."""
        out: list[NDArray[Any]] = []
        for run, (order, part) in enumerate(zip(self.orders, rows, strict=True)):
            chunks = [
                self.net.forward(x, run, params)[-1].cpu()
                for x in self.features.chunks(part, order.scale)
            ]
            out.extend(torch.cat(chunks, dim=1).double().numpy())
        return out

    @torch.no_grad()
    def run(self, test: Rows, progress: Progress | None) -> list[StackOutcome]:
        """Train, choose each head's best epoch, score validation and test once."""
        val = [order.jobs[0].val for order in self.orders]
        kept = Kept(self.jobs, self.labels, self.settings.epochs, self.settings.batch_size)
        best = [p.clone() for p in self.net.params]
        counts = [np.zeros(order.jobs[0].train.size, dtype=np.int64) for order in self.orders]
        for epoch in range(self.settings.epochs):
            drawn = [order.draw(epoch) for order in self.orders]
            for count, within in zip(counts, drawn, strict=True):
                count += np.bincount(within, minlength=count.size)
            losses = self._epoch(epoch, drawn, progress).tolist()
            logits = self._score(val, self.net.params)
            for job, values in zip(self.jobs, logits, strict=True):
                if not np.isfinite(values).all():
                    raise _lost(job, "output", epoch)
            better = kept.take(epoch, losses, logits)
            self.net.keep(best, torch.from_numpy(better).to(self.features.device))
        val_logits = self._score(val, best)
        tested = test.size > 0
        test_logits = self._score([test] * len(val), best) if tested else val_logits
        owners = [run for run, order in enumerate(self.orders) for _ in order.jobs]
        return [
            StackOutcome(
                job,
                kept.history[head],
                kept.epochs[head],
                counts[run],
                val_logits[head],
                test_logits[head],
                self.net.state(best, head) | _as_state(self.orders[run].scale),
            )
            for head, (job, run) in enumerate(zip(self.jobs, owners, strict=True))
        ]

    @torch.no_grad()
    def pilot(self, seconds: float) -> float:
        """Take some steps for about so many seconds and return what all of training would need."""
        drawn = [order.draw(0) for order in self.orders]
        self.losses.start_epoch(0)
        times: list[float] = []
        started = time.perf_counter()
        for batch in self._batches(0, drawn):
            begun = time.perf_counter()
            float(self._step([x for x, _ in batch], torch.stack([y for _, y in batch]))[0])
            times.append(time.perf_counter() - begun)
            if time.perf_counter() - started > seconds:
                break
        begun = time.perf_counter()
        self._score([order.jobs[0].val for order in self.orders], self.net.params)
        scoring = time.perf_counter() - begun
        return float(np.median(times)) * self.total_steps + scoring * self.settings.epochs


def _as_state(scale: Scale) -> dict[str, NDArray[np.floating]]:
    return {"mean": scale.mean.cpu().numpy(), "std": scale.std.cpu().numpy()}


def _lost(job: HeadJob, what: str, epoch: int) -> TrainingError:
    return TrainingError(
        f"The {what} of '{job.remedy.name}' (seed {job.seed}) is not finite in epoch {epoch}. "
        "Lower the learning rate, or check the weights of rare labels."
    )
