"""Full trainings side by side: every arm and seed through ``fit``, in processes or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from equipoise._core.progress import Progress
from equipoise._core.words import say
from equipoise.diagnosis import diagnose
from equipoise.errors import UsageError
from equipoise.studies.full_jobs import (
    Job,
    choose_trial,
    folder_of,
    jobs_of,
    plan_job,
    read_rows,
    root_of,
    train_job,
)
from equipoise.studies.outcome import Outcome, judge
from equipoise.studies.pools import Answer, in_processes, in_turn
from equipoise.studies.schema import FullStudy
from equipoise.studies.threads import using_threads
from equipoise.studies.train_run import TrainPlan

Answers = Iterator[tuple[Job, Answer | None]]
_POLL_SECONDS = 0.5


def threads_of(study: FullStudy, processes: int = 1, cluster: str | None = None) -> int:
    """Return the threads of each training: the study's, or a fair share of the machine's."""
    import torch

    if study.threads is not None:
        return study.threads
    return 1 if cluster is not None else max(1, torch.get_num_threads() // processes)


def plan_full(
    study: FullStudy, out: str | Path, *, threads: int, allow_code: bool = False
) -> list[tuple[Job, TrainPlan, bool]]:
    """Return each training with its plan and whether it is done, the data read once.

    Raises:
        DataError, UsageError, LeakageError: as :func:`plan_training`.
    """
    rows, root = read_rows(study), root_of(study, Path(out))
    plans = []
    with using_threads(threads):
        for job in jobs_of(study):
            plan = plan_job(study, job, threads=threads, allow_code=allow_code, rows=rows)
            done = (root / folder_of(plan) / "trial.json").is_file()
            plans.append((job, plan, done))
    return plans


def run_full(
    study: FullStudy,
    *,
    out: str | Path,
    processes: int = 1,
    cluster: str | None = None,
    allow_code: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Outcome:
    """Train what is not trained yet and compare all arms.

    Several runners may work on one folder: each training is done by one of them.

    Args:
        study: From :func:`load_full_study`.
        out: Folder of the results; finished trials in ``out/trials``, and with tuning every
            setting's in ``out/candidates``, are used again, and one that was stopped is gone on
            with.
        processes: Trainings at once on this machine; each has GPUs of its own where there are any.
        cluster: "ray://HOST:PORT" or "local" to train on Ray; the folder must be one that all
            machines see.
        allow_code: Whether a network given as "module:callable" may run.
        progress: Called with (what, done, in all).
        command: How the study was started, for the provenance.

    Raises:
        TrainingError: a trial failed; the others are finished and kept, the line names it.
        UsageError: more trainings at once than there are GPUs for.
        MissingExtraError: ``cluster`` without Ray.
    """
    if processes < 1:
        raise UsageError(say("processes", "be >= 1", processes))
    started = time.perf_counter()
    place, jobs = Path(out).resolve(), jobs_of(study)
    threads = threads_of(study, processes, cluster)
    run = _runner(study, place, processes, cluster, threads, allow_code)
    done: dict[Job, Answer] = {}
    for job, answer in _until_done(run, jobs):
        done[job] = answer
        if progress is not None:
            progress("training", len(done), len(jobs))
    trials = []
    for own in _choices(jobs):
        folders = [done[job][0] for job in own]
        trials.append(
            choose_trial(study, own, folders, place, threads=threads, allow_code=allow_code)
        )
    plan = plan_job(study, jobs[0], threads=threads, allow_code=allow_code, rows=read_rows(study))
    provenance = {
        "study": study.model_dump(mode="json", exclude_none=True),
        "settings_per_arm": len(_choices(jobs)[0]),
        "threads": threads,
        "data": plan.rows.description,
        "command": command,
        "seconds": round(time.perf_counter() - started, 1),
    }
    result = judge(trials, study.comparison, study.title, provenance)
    seen = np.concatenate([plan.split.train, plan.split.val])
    new = sum(trained for _, trained in done.values())
    findings = [*plan.copied, *diagnose(plan.labels[seen])]
    return Outcome(result, tuple(findings), new, len(jobs) - new)


def _choices(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the trainings of each arm and seed, of which one enters the comparison."""
    found: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        found.setdefault((job.arm, job.seed), []).append(job)
    return list(found.values())


def _runner(
    study: FullStudy,
    out: Path,
    processes: int,
    cluster: str | None,
    threads: int,
    allow_code: bool,
) -> Callable[[Sequence[Job]], Answers]:
    """Return what trains some jobs; one that somebody else is at is answered with None."""
    calls = {job: (study, job, out, threads, allow_code) for job in jobs_of(study)}
    if cluster is not None:
        from equipoise.studies.cluster import run_on_ray

        return lambda jobs: run_on_ray(
            cluster, train_job, [(job, calls[job]) for job in jobs], threads=threads
        )
    if processes == 1:
        return lambda jobs: in_turn(train_job, {job: calls[job] for job in jobs})
    return partial(in_processes, train_job, calls, processes, study.training)


def _until_done(
    run: Callable[[Sequence[Job]], Answers], jobs: Sequence[Job]
) -> Iterator[tuple[Job, Answer]]:
    """Yield every job with its answer; those that other runners are at are asked for again."""
    todo = list(jobs)
    while todo:
        busy = []
        for job, answer in run(todo):
            if answer is None:
                busy.append(job)
            else:
                yield job, answer
        if len(busy) == len(todo):
            time.sleep(_POLL_SECONDS)
        todo = busy
