"""Many small heads trained at once on fixed features: jobs in, trials and weights out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.artifacts import Labels, Scores, Trial
from equipoise.artifacts.labels import with_ids
from equipoise.artifacts.scores import SplitName
from equipoise.training.heads.jobs import HeadJob, HeadSettings, Progress, Rows, check_jobs
from equipoise.training.heads.network import make_network
from equipoise.training.heads.rows import Features, Scale
from equipoise.training.heads.stack import Stack, StackOutcome, cut_jobs
from equipoise.training.remedy import Remedy
from equipoise.training.selection import METRIC_NAMES, realised_histogram


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

    Jobs of one seed whose rows are drawn in the same way share mini-batches; jobs of different
    seeds never do. Each has its own loss, schedule, learning rate, weight decay and best epoch.

    Args:
        features: (N, D) fixed features, or a memory map, of which no more than a few thousand rows
            are in memory at once; each seed standardises them by its training rows.
        labels: (N,) or (N, L) labels of the same rows.
        test: Positions of the test rows, scored once at the end; empty for none. A job may have
            its own.
        jobs: What to train.
        settings: Shared by all heads.
        progress: Called with (steps done, steps in all), each counted once per head.

    Yields:
        One result per job; those of one stack come together, in the order of their seeds and rows.

    Raises:
        DataError: features that are not finite or do not match the labels, rows out of range.
        LeakageError: a row of a job is in two of its parts.
        TrainingError: a loss is no longer finite; the message names remedy, seed and epoch.
        UsageError: a remedy fills a slot that this engine does not support, or its loss does not
            take stacked logits.

    Example:
        >>> import equipoise as eq
        >>> x = np.random.default_rng(0).normal(size=(400, 3)).astype("float32")
        >>> labels = eq.Labels.from_array((x[:, :1] > 1).astype(int), kind="multilabel")
        >>> train, val, test = np.arange(200), np.arange(200, 300), np.arange(300, 400)
        >>> plain = eq.remedy("none", labels[train])
        >>> jobs = [HeadJob(plain, 0, train, val, lr=lr) for lr in (1e-4, 1e-1)]
        >>> slow, fast = train_heads(x, labels, test, jobs, settings=HeadSettings(epochs=5))
        >>> [round(head.trial.history[-1]["loss"], 1) for head in (slow, fast)]
        [0.7, 0.4]

    Note:
        A head ends as it would alone with the same batches, up to rounding: how matrix products
        are rounded may depend on what else is in the stack. The same jobs in the same order give
        the same bits, for one number of threads. The global random state is not touched.
    """
    check_jobs(features, labels, test, jobs)
    chosen = settings or HeadSettings()
    source = Features(features, chosen)
    stacks = cut_jobs(
        jobs,
        chosen,
        n_features=source.width,
        labels=labels,
        n_test=max((job.tested(test).size for job in jobs), default=0),
    )
    work = [_work(stack, chosen) for stack in stacks]
    before = 0
    for stack, own in zip(stacks, work, strict=True):

        def report(done: int, total: int, own: int = own, before: int = before) -> None:
            if progress is not None:
                progress(before + own * done // total, sum(work))

        for outcome in Stack(source, labels, stack, chosen).run(test, report):
            yield _result(labels, test, chosen, outcome)
        before += own


def _work(stack: Sequence[Sequence[HeadJob]], settings: HeadSettings) -> int:
    """Return steps times heads; samplers aside, all rows are drawn."""
    rows = stack[0][0].train.size
    steps = -(-rows // settings.batch_size) * settings.epochs
    return int(steps) * sum(map(len, stack))


def estimate_seconds(
    features: NDArray[np.floating],
    labels: Labels,
    jobs: Sequence[HeadJob],
    *,
    settings: HeadSettings | None = None,
    measure: float = 0.5,
) -> float:
    """Return about how long :func:`train_heads` would take, from a few steps of its first stack.

    Args:
        features: As there.
        labels: As there.
        jobs: As there; none take no time.
        settings: As there.
        measure: Seconds to spend on steps.
    """
    if not jobs:
        return 0.0
    chosen = settings or HeadSettings()
    source = Features(features, chosen)
    stacks = cut_jobs(jobs, chosen, n_features=source.width, labels=labels, n_test=0)
    largest = max(stacks, key=lambda stack: _work(stack, chosen))
    seconds = Stack(source, labels, largest, chosen).pilot(measure)
    return seconds * sum(_work(s, chosen) for s in stacks) / _work(largest, chosen)


@torch.no_grad()
def add_test_scores(
    trial: Trial,
    state: Mapping[str, NDArray[Any]],
    remedy: Remedy,
    features: NDArray[np.floating],
    labels: Labels,
    test: NDArray[np.int64],
    *,
    settings: HeadSettings | None = None,
) -> Trial:
    """Return a trial that was trained without test rows with their scores.

    Args:
        trial: Of a head.
        state: Its weights, as in :class:`HeadResult`.
        remedy: What it was trained with.
        features: (N, D), as in training.
        labels: Of the same rows.
        test: Positions of the test rows.
        settings: As in training.
    """
    chosen = settings or HeadSettings()
    source = Features(features, chosen)
    shapes = [state[key].shape for key in ("hidden.weight", "head.weight") if key in state]
    widths = [shapes[0][0], *(shape[1] for shape in shapes)]
    net = make_network(remedy.head, widths, [1], chosen.torch_dtype, source.device)
    net.load(0, state)
    mean, std = (
        torch.from_numpy(np.array(state[key])).to(source.device, chosen.torch_dtype)
        for key in ("mean", "std")
    )
    parts = [net.forward(x, 0)[-1][0].cpu() for x in source.chunks(test, Scale(mean, std))]
    outputs = torch.cat(parts).double().numpy()
    scores = remedy.to_scores(with_ids(labels, test), outputs, "test")
    return replace(trial, scores={**trial.scores, "test": scores})


def _result(labels: Labels, test: Rows, settings: HeadSettings, done: StackOutcome) -> HeadResult:
    job = done.job
    scores: dict[str, Scores] = {}
    parts: tuple[tuple[SplitName, Rows, NDArray[Any]], ...] = (
        ("val", job.val, done.val_logits),
        ("test", job.tested(test), done.test_logits),
    )
    for part, rows, outputs in parts:
        if rows.size:
            scores[part] = job.remedy.to_scores(with_ids(labels, rows), outputs, part)
    trained_on = labels[job.train]
    values = [row["val_metric"] for row in done.history]
    trial = Trial(
        method=job.remedy.name,
        seed=job.seed,
        config=dict(job.config) or _config(job, settings),
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


def _config(job: HeadJob, settings: HeadSettings) -> dict[str, Any]:
    """Return all that is known here and decides the outcome."""
    shared = asdict(settings) | {"device": settings.torch_device.type}
    del shared["memory_gb"]
    own = {"lr": job.lr, "weight_decay": job.weight_decay}
    return {
        "engine": "heads",
        "method": job.remedy.name,
        "settings": dict(job.remedy.settings),
        "seed": job.seed,
        "heads": shared | {key: value for key, value in own.items() if value is not None},
        "threads": torch.get_num_threads(),
        "ties": "val_loss",
    }
