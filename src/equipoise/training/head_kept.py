"""Which epoch each head of a stack keeps, and the history that says why."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.artifacts import Labels
from equipoise.training.head_jobs import HeadJob, deferred
from equipoise.training.remedy import start_epoch
from equipoise.training.selection import goes_before, selection_metric
from equipoise.training.targets import divisor, to_target


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
