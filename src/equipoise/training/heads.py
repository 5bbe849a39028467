"""Many small heads trained at once on fixed features: jobs in, trials and weights out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.artifacts import Labels, Scores, Trial
from equipoise.artifacts.scores import Part
from equipoise.training.head_jobs import HeadJob, HeadSettings, Progress, Rows, check_jobs
from equipoise.training.head_stack import Stack, StackOutcome, make_sampler
from equipoise.training.selection import METRIC_NAMES, realised_histogram
from equipoise.training.targets import with_ids

__all__ = ["HeadJob", "HeadResult", "HeadSettings", "train_heads"]


@dataclass(frozen=True, slots=True, eq=False)
class HeadResult:
    """A finished head: its trial and the weights of its best epoch.

    ``state`` holds ``mean`` and ``std`` of the training rows and each layer's ``weight``
    (inputs, outputs) and ``bias`` (1, outputs): logits are
    ``(x - mean) / std @ head.weight + head.bias``. A cosine head has no bias: its inputs and the
    columns of ``head.weight`` are divided by their lengths first.
    """

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
    """Train all jobs at once, those of one form that draw equally many rows per epoch together.

    Args:
        features: (N, D) fixed features, or a memory map; each seed standardises them by its
            training rows.
        labels: (N,) or (N, L) labels of the same rows.
        test: Positions of the test rows, scored once at the end; empty for none.
        jobs: What to train.
        settings: Shared by all heads.
        progress: Called with (steps done, steps in all) of the running stack.

    Yields:
        One result per job; those of one stack come together, in the order of their seeds and rows.

    Raises:
        DataError: features that are not finite or do not match the labels, rows out of range.
        LeakageError: a row of a job is in two of its parts.
        TrainingError: a loss is no longer finite; the message names remedy, seed and epoch.
        UsageError: a remedy fills a slot that this engine does not support, or its loss does not
            take stacked logits.

    Note:
        A head ends as it would alone with the same batches: the same bits where the matrix
        products of the machine do not depend on how many there are (so on the CPUs it was tested
        on, for one number of threads), and otherwise up to rounding. The global random state is
        not touched.
    """
    check_jobs(features, labels, test, jobs)
    chosen = settings or HeadSettings()
    stacks: dict[tuple[int, str], list[HeadJob]] = {}
    for job in jobs:
        sampler = make_sampler(job, chosen.epochs)
        draws = job.train.size if sampler is None else len(sampler)
        stacks.setdefault((draws, job.remedy.head), []).append(job)
    for _, stack in sorted(stacks.items()):
        for outcome in Stack(features, labels, stack, chosen).run(test, progress):
            yield _result(labels, test, chosen, outcome)


def _result(labels: Labels, test: Rows, settings: HeadSettings, done: StackOutcome) -> HeadResult:
    job = done.job
    scores: dict[str, Scores] = {}
    parts: tuple[tuple[Part, Rows, NDArray[Any]], ...] = (
        ("val", job.val, done.val_logits),
        ("test", test, done.test_logits),
    )
    for part, rows, outputs in parts:
        if rows.size:
            scores[part] = job.remedy.to_scores(with_ids(labels, rows), outputs, part)
    facts = {
        "engine": "heads",
        "method": job.remedy.name,
        "settings": dict(job.remedy.settings),
        "seed": job.seed,
        "heads": asdict(settings),
        "threads": torch.get_num_threads(),
    }
    trained_on = labels[job.train]
    values = [row["val_metric"] for row in done.history]
    trial = Trial(
        method=job.remedy.name,
        seed=job.seed,
        config=dict(job.config) or facts,
        n_train=int(job.train.size),
        n_val=int(job.val.size),
        train_counts={n: int(c) for n, c in zip(labels.names, trained_on.counts, strict=True)},
        histogram=realised_histogram(trained_on, done.drawn),
        history=done.history,
        scores=scores,
        selection={
            "metric": METRIC_NAMES[labels.kind],
            "epoch": done.epoch,
            "value": values[done.epoch],
            "last_value": values[-1],
        },
    )
    return HeadResult(trial, done.state)
