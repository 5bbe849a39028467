"""Full trainings side by side: every arm and seed through ``fit``, in processes or on a cluster."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.checks import say
from equipoise.artifacts import Comparison, Finding, Trial
from equipoise.comparison import compare
from equipoise.diagnosis import diagnose
from equipoise.errors import EquipoiseError, TrainingError, UsageError
from equipoise.experiments.study import ArmSpec
from equipoise.experiments.train_run import TrainPlan, plan_training, run_training
from equipoise.experiments.train_study import FullStudy, parse_full_study

__all__ = ["FullOutcome", "plan_full", "run_full", "train_one"]

Progress = Callable[[str, int, int], None]
Job = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class FullOutcome:
    """What came of a comparison of full trainings.

    Args:
        comparison: Arms side by side.
        findings: On the labels.
        trained: Trials that were trained.
        reused: Trials that were found finished.
    """

    comparison: Comparison
    findings: tuple[Finding, ...]
    trained: int
    reused: int


def plan_full(
    study: FullStudy, *, allow_code: bool = False
) -> list[tuple[ArmSpec, int, TrainPlan]]:
    """Return one plan per arm and seed, the data read once.

    Raises:
        DataError, UsageError, LeakageError: as :func:`plan_training`.
    """
    first: TrainPlan | None = None
    plans = []
    for seed in range(study.seeds):
        for arm in study.trained_arms():
            plan = plan_training(
                study.one(arm, seed),
                allow_code=allow_code,
                rows=None if first is None else first.rows,
                check=seed == 0,
            )
            first = first or plan
            plans.append((arm, seed, plan))
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
) -> FullOutcome:
    """Train what is not trained yet and compare all arms.

    Args:
        study: From :func:`load_full_study`.
        out: Folder of the results; finished trials in ``out/trials`` are used again, and one that
            was stopped is gone on with.
        processes: Trainings at once on this machine.
        cluster: "ray://HOST:PORT" or "local" to train on Ray; the folder must be one that all
            machines see.
        allow_code: Whether a network given as "module:callable" may run.
        progress: Called with (what, done, in all).
        command: How the study was started, for the provenance.

    Raises:
        TrainingError: a trial failed; the others are finished and kept, the line names it.
        MissingExtraError: ``cluster`` without Ray.
    """
    if processes < 1:
        raise UsageError(say("processes", "be >= 1", processes))
    started = time.perf_counter()
    root = Path(out).resolve() / "trials"
    jobs = [(a.label, s) for s in range(study.seeds) for a in study.trained_arms()]
    text = json.dumps(study.model_dump(mode="json"))
    done: dict[Job, tuple[str, bool]] = {}
    for job, answer in _answers(text, jobs, root, processes, cluster, allow_code):
        done[job] = answer
        if progress is not None:
            progress("training", len(done), len(jobs))
    trials = [Trial.load(root / done[job][0]) for job in jobs]
    settings = study.comparison
    result = compare(
        trials,
        primary=settings.primary,
        objective=settings.objective,
        target_prior=settings.target_prior,
        rope=settings.rope,
        confidence_level=settings.confidence_level,
        title=study.title,
        provenance={
            "study": study.model_dump(mode="json", exclude_none=True),
            "command": command,
            "seconds": round(time.perf_counter() - started, 1),
        },
    )
    plan = plan_training(
        study.one(study.trained_arms()[0], 0),
        allow_code=allow_code,
        rows=_rows(text, os.getpid()),
        check=False,
    )
    seen = np.concatenate([plan.split.train, plan.split.val])
    new = sum(trained for _, trained in done.values())
    return FullOutcome(result, tuple(diagnose(plan.labels[seen])), new, len(jobs) - new)


def _answers(
    text: str,
    jobs: Sequence[Job],
    root: Path,
    processes: int,
    cluster: str | None,
    allow_code: bool,
) -> Iterator[tuple[Job, tuple[str, bool]]]:
    """Yield each job with the folder of its trial and whether it was trained now."""
    given = (str(root), allow_code)
    if cluster is not None:
        from equipoise.experiments.cluster import run_on_ray

        yield from run_on_ray(cluster, train_one, [(job, (text, *job, *given)) for job in jobs])
        return
    if processes == 1:
        for job in jobs:
            yield job, _named(job, train_one, text, *job, *given)
        return
    # Spawned: a forked process would inherit the threads of torch in a state of their own.
    context = multiprocessing.get_context("spawn")
    failed: list[EquipoiseError] = []
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting = {pool.submit(train_one, text, *job, *given): job for job in jobs}
        for future in as_completed(waiting):
            try:
                yield waiting[future], _named(waiting[future], future.result)
            except EquipoiseError as error:
                failed.append(error)
    if failed:
        more = f" ({len(failed)} trials failed)" if len(failed) > 1 else ""
        raise type(failed[0])(f"{failed[0]}{more}") from failed[0]


def _named(job: Job, call: Callable[..., tuple[str, bool]], *given: Any) -> tuple[str, bool]:
    try:
        return call(*given)
    except EquipoiseError as error:
        arm, seed = job
        raise type(error)(f"{arm}, seed {seed}: {error}") from error
    except Exception as error:
        arm, seed = job
        words = " ".join(str(error).split())[:200]
        raise TrainingError(f"{arm}, seed {seed}: {type(error).__name__}: {words}") from error


def train_one(text: str, label: str, seed: int, root: str, allow_code: bool) -> tuple[str, bool]:
    """Train one arm with one seed, in whatever process this is; return its folder's name.

    Args:
        text: The study as JSON.
        label: Name of the arm.
        seed: Seed.
        root: Folder of trials.
        allow_code: Whether a network given as "module:callable" may run.

    Returns:
        Name of the folder, and whether training was needed.
    """
    study = parse_full_study(json.loads(text))
    arm = next(a for a in study.trained_arms() if a.label == label)
    rows = _rows(text, os.getpid())
    plan = plan_training(study.one(arm, seed), allow_code=allow_code, rows=rows, check=False)
    before = {p.parent.name for p in Path(root).glob("*/trial.json")}
    trial = run_training(replace_name(plan, label), out=root, progress=False)
    return trial.folder_name, trial.folder_name not in before


def replace_name(plan: TrainPlan, label: str) -> TrainPlan:
    """Return a plan whose remedy goes by the name of its arm."""
    return replace(plan, remedy=replace(plan.remedy, name=label))


@lru_cache(maxsize=1)
def _rows(text: str, _process: int) -> Any:
    """Return the rows of a study, read once per process."""
    from equipoise.experiments.train_data import load_rows

    return load_rows(parse_full_study(json.loads(text)).data)
