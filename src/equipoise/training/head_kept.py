"""Which epoch each head of a stack keeps, and the history that says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Labels
from equipoise.training.head_jobs import HeadJob, deferred
from equipoise.training.selection import selection_metric

__all__ = ["Kept"]


class Kept:
    """The best epoch of each head so far, by its validation metric.

    Where the metric is NaN in every epoch, the last one is kept. With a deferred treatment an
    epoch of before is never kept: the correction is that of the end.

    Args:
        jobs: One per head.
        labels: Of all rows.
        epochs: Of training.
    """

    def __init__(self, jobs: Sequence[HeadJob], labels: Labels, epochs: int) -> None:
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
            if chosen < 0 or not value <= rows[chosen]["val_metric"]:
                self.epochs[head], better[head] = epoch, True
        return better

    def _value(self, head: int, epoch: int, outputs: NDArray[Any]) -> float:
        remedy = self.jobs[head].remedy
        schedule = deferred(remedy)
        early = schedule is not None and epoch < self.late_from[head]
        before = schedule.before if schedule is not None and early else None
        return selection_metric(outputs, self.truth[head], before or remedy.correction)
