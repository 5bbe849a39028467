"""Many small heads trained at once on fixed features: jobs in, trials and weights out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._core.checks import require_finite, say
from equipoise.artifacts import Labels, Scores, Trial
from equipoise.artifacts.scores import Part
from equipoise.errors import DataError
from equipoise.training.head_stack import HeadJob, HeadSettings, Stack, StackOutcome
from equipoise.training.selection import METRIC_NAMES, realised_histogram
from equipoise.training.targets import with_ids

__all__ = ["HeadJob", "HeadResult", "HeadSettings", "train_heads"]


Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class HeadResult:
    """A finished head: its trial and the weights of its best epoch."""

    trial: Trial
    state: dict[str, NDArray[np.floating]]


def train_heads(
    features: NDArray[np.floating],
    labels: Labels,
    test: NDArray[np.int64],
    jobs: Sequence[HeadJob],
    *,
    settings: HeadSettings | None = None,
    progress: Progress | None = None,
) -> Iterator[HeadResult]:
    """Train all jobs and yield them as they finish, jobs with as many rows together.

    Args:
        features: (N, D) fixed features; each seed standardises them by its training rows.
        labels: (N,) or (N, L) labels of the same rows.
        test: Positions of the test rows, scored once at the end.
        jobs: What to train.
        settings: Shared by all heads.
        progress: Called with (steps done, steps in all) of the running stack.

    Raises:
        DataError: features that are not finite or do not match the labels.
        TrainingError: a loss became NaN; the message names the remedy and the epoch.
    """
    if features.shape[0] != len(labels):
        raise DataError(say("features", f"have {len(labels)} rows", features.shape[0]))
    require_finite("features", features, "Fill or drop missing values first.")
    chosen = settings or HeadSettings()
    sizes = sorted({job.train.size for job in jobs})
    for size in sizes:
        stack = [job for job in jobs if job.train.size == size]
        trained = Stack(features, labels, stack, chosen)
        for outcome in trained.run(test, progress):
            yield _result(labels, test, trained, outcome)


def _result(
    labels: Labels, test: NDArray[np.int64], stack: Stack, done: StackOutcome
) -> HeadResult:
    job = stack.jobs[done.head]
    values = [row["val_metric"] for row in done.history]
    epoch = int(np.nanargmax(values)) if not np.all(np.isnan(values)) else 0
    scores: dict[str, Scores] = {}
    parts: tuple[tuple[Part, NDArray[np.int64], NDArray[Any]], ...] = (
        ("val", job.val, done.val_logits),
        ("test", test, done.test_logits),
    )
    for part, rows, logits in parts:
        scores[part] = Scores.from_arrays(
            with_ids(labels, rows),
            logits=logits,
            split=part,
            correction=job.remedy.correction,
            check_kind=False,
        )
    facts = {
        "engine": "heads",
        "method": job.remedy.name,
        "settings": dict(job.remedy.settings),
        "seed": job.seed,
        "heads": asdict(stack.settings),
        "threads": torch.get_num_threads(),
    }
    counts = labels[job.train].counts
    trial = Trial(
        method=job.remedy.name,
        seed=job.seed,
        config=dict(job.config) or facts,
        n_train=int(job.train.size),
        n_val=int(job.val.size),
        train_counts={n: int(c) for n, c in zip(labels.names, counts, strict=True)},
        histogram=realised_histogram(labels[job.train], stack.drawn[done.head]),
        history=done.history,
        scores=scores,
        selection={
            "metric": METRIC_NAMES[labels.kind],
            "epoch": epoch,
            "value": values[epoch],
            "last_value": values[-1],
        },
    )
    return HeadResult(trial, done.state)
