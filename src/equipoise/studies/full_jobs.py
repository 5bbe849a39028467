"""One training of a comparison of whole networks: planned, claimed, trained, and chosen."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Subset

from equipoise._core.fingerprint import fingerprint_config
from equipoise._core.locks import Locks
from equipoise.artifacts import Trial
from equipoise.artifacts.trial import trial_folder
from equipoise.methods import get_method
from equipoise.methods.no_effect import loss_gradient, same_gradient
from equipoise.studies.choose import best_of, metric_name
from equipoise.studies.grid import settings_of
from equipoise.studies.predict import load_network, run_network
from equipoise.studies.schema import FullStudy, StudyArm
from equipoise.studies.threads import using_threads
from equipoise.studies.train_data import TrainRows, load_rows
from equipoise.studies.train_run import TrainPlan, plan_training, run_training
from equipoise.training.fit import planned_config
from equipoise.training.folder import write_trial
from equipoise.training.targets import with_ids


@dataclass(frozen=True, slots=True)
class Job:
    """One training: an arm by its label, a seed, and the number of its setting."""

    arm: str
    seed: int
    setting: int

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"


def jobs_of(study: FullStudy) -> list[Job]:
    """Return every training of a study, the settings of one arm and seed side by side."""
    settings = settings_of(study)
    return [
        Job(arm.label, seed, number)
        for seed in range(study.seeds)
        for arm in study.trained_arms()
        for number in range(len(settings[arm.label]))
    ]


def plan_job(
    study: FullStudy,
    job: Job,
    *,
    threads: int,
    allow_code: bool = False,
    rows: TrainRows | None = None,
    check: bool = False,
) -> TrainPlan:
    """Return the plan of one training; where arms are tuned, it has no test rows.

    Args:
        study: The study.
        job: One of :func:`jobs_of`.
        threads: Of torch; they decide rounding, so they are part of the trial.
        allow_code: Whether a network given as "module:callable" may run.
        rows: The study's rows, where they are read already.
        check: Look for findings.
    """
    settings = settings_of(study)[job.arm]
    tuned = len(settings) > 1
    one = study.one(_arm(study, job), job.seed, settings[job.setting] if tuned else None)
    plan = plan_training(one, allow_code=allow_code, rows=rows, check=check)
    split = replace(plan.split, test=np.empty(0, dtype=np.int64)) if tuned else plan.split
    named = replace(plan.remedy, name=job.arm)
    return replace(plan, split=split, remedy=named, threads=threads)


def _arm(study: FullStudy, job: Job) -> StudyArm:
    return next(a for a in study.trained_arms() if a.label == job.arm)


def folder_of(plan: TrainPlan) -> str:
    """Return the name of the folder of a planned training."""
    return trial_folder(plan.remedy.name, plan.study.seed, _config_of(plan))


def _config_of(plan: TrainPlan) -> dict[str, Any]:
    return planned_config(
        plan.make_network,
        plan.rows.dataset,
        plan.split,
        plan.remedy,
        options=plan.options,
        labels=plan.labels,
        seed=plan.study.seed,
        config=plan.facts,
    )


def train_job(
    study: FullStudy, job: Job, out: Path, threads: int, allow_code: bool
) -> tuple[str, bool] | None:
    """Do one training in whatever process this is, unless somebody else is at it.

    Args:
        study: The study.
        job: Which training.
        out: Folder of the results.
        threads: Of torch.
        allow_code: Whether a network given as "module:callable" may run.

    Returns:
        Name of the trial's folder and whether training was needed; None while another runner
        trains it.
    """
    root, rows = root_of(study, out), read_rows(study)
    with using_threads(threads):
        plan = plan_job(study, job, threads=threads, allow_code=allow_code, rows=rows)
        folder = folder_of(plan)
        if (root / folder / "trial.json").is_file():
            return folder, False
        locks = Locks(out / "locks")
        with locks.released(), locks.kept():
            if not locks.claim(folder):
                return None
            if (root / folder / "trial.json").is_file():
                return folder, False
            twin = _twin(study, job, plan, threads, allow_code, rows)
            if twin is not None:
                source = root / folder_of(twin)
                if not (source / "trial.json").is_file():
                    return None  # it is trained first, and this is asked for again
                _take_over(plan, twin, source, root)
                return folder, False
            run_training(plan, out=root, progress=False)
    return folder, True


def _twin(
    study: FullStudy, job: Job, plan: TrainPlan, threads: int, allow_code: bool, rows: Any
) -> TrainPlan | None:
    """Return the plan of the untreated training that this one would repeat step by step."""
    if job.arm == "none" or ":" in _arm(study, job).method:
        return None
    if get_method(_arm(study, job).method).family != "loss":
        return None
    settings = settings_of(study)
    own = settings[job.arm][job.setting]
    for number, other in enumerate(settings["none"]):
        if (other.lr, other.weight_decay) != (own.lr, own.weight_decay):
            continue
        first = Job("none", job.seed, number)
        found = plan_job(study, first, threads=threads, allow_code=allow_code, rows=rows)
        labels = plan.labels[plan.split.train]
        one, two = (loss_gradient(p.remedy, labels) for p in (plan, found))
        alike = one is not None and two is not None and same_gradient(one, two)
        return found if alike and plan.options == found.options else None
    return None


def _take_over(plan: TrainPlan, twin: TrainPlan, source: Path, root: Path) -> None:
    """Write the trial of a plan that trains as its twin does: the twin's, under its own name."""
    from safetensors.torch import load_file

    trial = Trial.load(source)
    own = replace(
        trial,
        method=plan.remedy.name,
        config=_config_of(plan),
        selection={**trial.selection, "trained_as": twin.remedy.name},
    )
    write_trial(own, load_file(source / "model.safetensors"), root)


def root_of(study: FullStudy, out: Path) -> Path:
    """Return the folder of a study's trainings: candidates where arms are tuned."""
    return out / ("candidates" if len(settings_of(study)["none"]) > 1 else "trials")


_READ: dict[str, TrainRows] = {}


def read_rows(study: FullStudy) -> TrainRows:
    """Return the rows of a study, read once per process: its trainings share them."""
    key = study.data.model_dump_json()
    if key not in _READ:
        _READ.clear()
        _READ[key] = load_rows(study.data)
    return _READ[key]


def choose_trial(
    study: FullStudy, jobs: list[Job], folders: list[str], out: Path, *, threads: int,
    allow_code: bool = False,
) -> Trial:  # fmt: skip
    """Return the trial of an arm and seed; where it was tuned, score its test rows once.

    Args:
        study: The study.
        jobs: Its trainings of that arm and seed.
        folders: Their folders.
        out: Folder of the results.
        threads: Of torch.
        allow_code: Whether a network given as "module:callable" may run.
    """
    if len(jobs) == 1:
        return Trial.load(out / "trials" / folders[0])
    tried = [Trial.load(out / "candidates" / folder) for folder in folders]
    place = best_of(tried, study.comparison)
    by = metric_name(tried[place], study.comparison)
    names = [fingerprint_config(t.config) for t in tried]
    tuning = {"chosen_among": len(tried), "by": by, "candidates": fingerprint_config(names)}
    final = replace(tried[place], config={**tried[place].config, "tuning": tuning})
    locks = Locks(out / "locks")
    folder = out / "trials" / final.folder_name
    with locks.released():
        while not (folder / "trial.json").is_file():
            if locks.claim(final.folder_name):
                source = out / "candidates" / folders[place]
                with using_threads(threads):
                    _score_test(study, jobs[place], final, source, out, allow_code)
            else:
                time.sleep(0.5)
    return Trial.load(folder)


def _score_test(
    study: FullStudy, job: Job, final: Trial, source: Path, out: Path, allow_code: bool
) -> None:
    """Write the chosen trial with the scores of its test rows."""
    rows = read_rows(study)
    one = plan_training(
        study.one(_arm(study, job), job.seed), allow_code=allow_code, rows=rows, check=False
    )
    network, _, _ = load_network(source, allow_code)
    options, test = one.options, one.split.test
    outputs = run_network(
        network,
        Subset(rows.dataset, test.tolist()),
        rows.collate,
        options.accelerator,
        options.batch_size,
        options.num_workers,
    )
    val = final.scores["val"]
    scores = replace(
        val,
        values=outputs,
        labels=with_ids(one.labels, test),
        ids=with_ids(one.labels, test).ids,
        split="test",
    )
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    write_trial(replace(final, scores={**final.scores, "test": scores}), weights, out / "trials")
