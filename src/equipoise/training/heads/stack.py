"""Heads of one form that draw equally many rows per epoch, as one batched tensor program.

One stacked weight tensor, each slice its own loss, learning rate and weight decay. Each slice ends
where it would end if it were trained alone with the same batches, up to rounding.
"""

from __future__ import annotations

import copy
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
from equipoise.training.faults import BATCHES, require_lessons
from equipoise.training.heads.jobs import (
    ROWS_AT_ONCE,
    HeadJob,
    HeadSettings,
    Progress,
    Rows,
    deferred,
)
from equipoise.training.heads.losses import HeadLosses, require_separate_rows
from equipoise.training.heads.network import Layout, make_network
from equipoise.training.heads.rows import Features, Order, Scale, draws_of, group_jobs
from equipoise.training.remedy import start_epoch
from equipoise.training.selection import goes_before, selection_metric
from equipoise.training.targets import divisor, to_target

Group = list[HeadJob]


def cut_jobs(
    jobs: Sequence[HeadJob],
    settings: HeadSettings,
    *,
    n_features: int,
    labels: Labels,
    n_test: int,
) -> list[list[Group]]:
    """Return stacks of groups of jobs: one form, one length of epochs, within ``memory_gb``.

    Args:
        jobs: All jobs.
        settings: Shared by them.
        n_features: D.
        labels: Of all rows.
        n_test: Test rows.
    """
    forms: dict[tuple[int, str, bool], list[Group]] = {}
    for group in group_jobs(jobs):
        remedy = group[0].remedy
        # Blends of classes have targets of another shape.
        soft = remedy.mixing is not None and labels.kind == "multiclass"
        # A group may hold heads of both kinds, which share its order but not its network.
        for head in ("cosine", "linear"):
            part = [job for job in group if job.remedy.head == head]
            if part:
                key = draws_of(part[0], settings.epochs), head, soft
                forms.setdefault(key, []).append(part)
    stacks: list[list[Group]] = []
    for _, groups in sorted(forms.items()):
        stacks += _pack(groups, settings, n_features, labels.num_classes, n_test)
    return stacks


def _pack(
    groups: Sequence[Group], settings: HeadSettings, n_features: int, n_out: int, n_test: int
) -> list[list[Group]]:
    budget = settings.memory_gb * 1e9
    stacks: list[list[Group]] = []
    used = budget + 1
    for group in groups:
        per_head, per_order = stack_bytes(settings, n_features, n_out, len(group[0].val) + n_test)
        rest = list(group)
        while rest:
            room = int((budget - used - per_order) // per_head)
            if room < 1:
                stacks.append([])
                used = 0.0
                room = max(1, int((budget - per_order) // per_head))
            part, rest = rest[:room], rest[room:]
            stacks[-1].append(part)
            used += per_order + per_head * len(part)
    return stacks


def stack_bytes(
    settings: HeadSettings, n_features: int, n_out: int, n_scored: int
) -> tuple[int, int]:
    """Return the bytes that one more head takes, and one more order of rows.

    Args:
        settings: Batch size, width and dtype.
        n_features: D.
        n_out: C.
        n_scored: Validation and test rows.
    """
    size = 8 if settings.dtype == "float64" else 4
    first = settings.hidden or n_out
    layout = Layout([1], first)
    weights = (n_features + 1) * -(-layout.columns // layout.per_block)
    weights += (first + 1) * n_out if settings.hidden else 0
    # Weights, the kept ones, gradients, two moments, and three of their size within a step.
    per_head = 8 * weights * size
    per_head += settings.batch_size * (4 * first + 8 * n_out) * size
    # Outputs of two scorings, as numbers of the stack and as float64.
    per_head += n_scored * n_out * (2 * size + 16)
    per_head += min(n_scored, ROWS_AT_ONCE) * first * size
    per_order = (2 * settings.batch_size + 2 * ROWS_AT_ONCE) * n_features * size
    return per_head, per_order


class Kept:
    """The best epoch of each head so far, by its validation metric.

    Of equal metrics the lower validation loss decides, which is computed for those alone. Where the
    metric is NaN in every epoch, the last one is kept. With a deferred treatment an
    epoch of before is never kept: the correction is that of the end.

    Args:
        jobs: One per head.
        labels: Of all rows.
        epochs: Of training.
        batch_size: Rows that a loss sees at once.
    """

    def __init__(
        self, jobs: Sequence[HeadJob], labels: Labels, epochs: int, batch_size: int
    ) -> None:
        self.jobs = jobs
        distinct = {id(job.val): job.val for job in jobs}
        truth = {key: labels[rows] for key, rows in distinct.items()}
        self.truth = [truth[id(job.val)] for job in jobs]
        self.history: list[list[dict[str, Any]]] = [[] for _ in jobs]
        self.epochs = [-1] * len(jobs)
        self.late_from = []
        for job in jobs:
            schedule = deferred(job.remedy)
            self.late_from.append(0 if schedule is None else schedule.first_epoch(epochs))
        self.total = epochs
        self.batch_size = batch_size
        self._held: dict[int, tuple[NDArray[Any], float | None]] = {}

    def take(
        self, epoch: int, losses: Sequence[float], logits: Sequence[NDArray[Any]]
    ) -> NDArray[np.bool_]:
        """Take note of an epoch and say which heads are better than ever, (H,).

        Args:
            epoch: Counted from 0.
            losses: Mean training loss per head.
            logits: Of the validation rows, per head.
        """
        better = np.zeros(len(self.jobs), dtype=bool)
        for head, outputs in enumerate(logits):
            value = self._value(head, epoch, outputs)
            rows = self.history[head]
            rows.append({"epoch": epoch, "loss": losses[head], "val_metric": value})
            if epoch < self.late_from[head] < self.total:
                continue
            chosen = self.epochs[head]
            best = rows[chosen]["val_metric"] if chosen >= 0 else -math.inf
            now = then = math.inf
            if value == best:
                now, then = self._losses_of(head, epoch, outputs)
            if chosen < 0 or goes_before(value, now, best, then):
                self.epochs[head], better[head] = epoch, True
                self._held[head] = outputs.copy(), None if now == math.inf else now
        return better

    def _losses_of(self, head: int, epoch: int, outputs: NDArray[Any]) -> tuple[float, float]:
        """Return the validation loss of this epoch and of the one that is kept so far."""
        held, then = self._held[head]
        if then is None:
            then = self._loss(head, self.epochs[head], held)
            self._held[head] = held, then
        return self._loss(head, epoch, outputs), then

    def _loss(self, head: int, epoch: int, outputs: NDArray[Any]) -> float:
        """Return the mean loss of the validation rows, batch by batch as `fit` takes it."""
        remedy = self.jobs[head].remedy
        schedule, loss = deferred(remedy), remedy.loss
        if schedule is not None and schedule.loss is not None and epoch >= self.late_from[head]:
            loss = schedule.loss
        # A copy: telling it the epoch must change nothing outside.
        loss = copy.deepcopy(loss).cpu()
        start_epoch(loss, epoch)
        logits = torch.from_numpy(outputs)
        target = to_target(self.truth[head], logits.dtype)
        total = count = 0.0
        for start in range(0, len(logits), self.batch_size):
            part = slice(start, start + self.batch_size)
            z, y = logits[part], target[part]
            rows = float(divisor(loss, y))
            total, count = total + float(loss(z, y)) * rows, count + rows
        return total / count if count else math.inf

    def _value(self, head: int, epoch: int, outputs: NDArray[Any]) -> float:
        remedy = self.jobs[head].remedy
        schedule = deferred(remedy)
        early = schedule is not None and epoch < self.late_from[head]
        before = schedule.before if schedule is not None and early else None
        return selection_metric(outputs, self.truth[head], before or remedy.correction)


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
        self.weights = None
        if labels.weights is not None:
            require_separate_rows([job.remedy for job in self.jobs], labels)
            own = torch.from_numpy(labels.weights / labels.weights.mean())
            self.weights = own.to(device, settings.torch_dtype)
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

    def _batches(self, epoch: int, drawn: list[Rows]) -> Iterator[list[tuple[Tensor, ...]]]:
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
            value = self._step(batch)
            total += value.double() * (len(batch[0][0]) / self.draws)
            if done is not None:
                done(self.net.steps, self.total_steps)
        bad = ~torch.isfinite(total)
        if bad.any():
            raise _lost(self.jobs[int(bad.nonzero()[0])], "loss", epoch)
        return total

    def _step(self, batch: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """Take one step with all heads and return their losses, (H,)."""
        inputs, targets, rows = zip(*batch, strict=True)
        outputs = [self.net.forward(x, run) for run, x in enumerate(inputs)]
        logits = torch.cat([out[-1] for out in outputs])
        value, slope = self.losses(logits, torch.stack(targets), self.which)
        if self.weights is not None:
            # Losses are sums over rows, so a row's weight is a factor of its slope.
            slope = slope * self.weights[torch.stack(rows)][self.which, :, None]
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
        tests = [order.jobs[0].tested(test) for order in self.orders]
        tested = all(rows.size for rows in tests)
        test_logits = self._score(tests, best) if tested else val_logits
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
            float(self._step(batch)[0])
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
