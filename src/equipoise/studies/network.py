"""Whole networks: one training planned from its study, trained by ``fit``, and scored again."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset, default_collate

from equipoise._core.identity import as_text
from equipoise._core.messages import in_words, say
from equipoise.artifacts import Finding, Labels, Split, Trial
from equipoise.artifacts.finding import load_findings
from equipoise.artifacts.labels import with_ids
from equipoise.audit import check_model
from equipoise.data import Augmentation
from equipoise.diagnosis import diagnose
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.methods import get_method
from equipoise.studies.engine import Batch, Plan, Report, using_threads
from equipoise.studies.measured import kept
from equipoise.studies.network_model import Scales, input_scales, network_maker
from equipoise.studies.network_rows import TrainRows, load_rows
from equipoise.studies.predict import load_network, run_network, to_device
from equipoise.studies.processes import named
from equipoise.studies.rows import Draws, StudyData, copies_of, one_split, split_findings
from equipoise.studies.schema import (
    DATA_PATHS,
    RECIPES,
    Job,
    ModelSpec,
    Setting,
    Study,
    StudyArm,
)
from equipoise.training import Remedy, TrainingOptions, fit
from equipoise.training.devices import choose_device
from equipoise.training.faults import require_device, require_precision
from equipoise.training.fitting import check_folds, planned_config
from equipoise.training.folder import write_trial

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
_RATE_STEPS, _RATE_LAST = 12, 3


@dataclass(frozen=True, eq=False)
class TrainPlan:
    """What one training will do: everything that is known before its first step.

    Args:
        study: The study.
        job: Arm, seed and setting.
        rows: Inputs and labels.
        labels: Of all rows.
        split: Which rows are for what.
        options: How it is trained.
        remedy: Made for the training rows.
        make_remedy: The same for other rows.
        make_network: The network, not trained yet.
        scales: Mean and deviation of the inputs, or None.
        threads: Of torch, where they are part of what is trained.
        findings: On the training labels, the network and its loss, where they were looked for.
    """

    study: Study
    job: Job
    rows: TrainRows
    labels: Labels
    split: Split
    options: TrainingOptions
    remedy: Remedy
    make_remedy: Callable[[Labels], Remedy]
    make_network: Callable[[], torch.nn.Module]
    scales: Scales | None
    threads: int | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def model(self) -> ModelSpec:
        """The network of the study."""
        return _model_of(self.study)

    @property
    def config(self) -> dict[str, Any]:
        """What enters the trial's config: enough to build the network again."""
        study = self.study
        data = study.data.model_dump(mode="json", exclude_none=True)
        for key in DATA_PATHS:
            data.pop(key, None)  # a folder that is moved is still the same training
        compute = {} if self.threads is None else {"compute": {"threads": self.threads}}
        fold = {} if self.job.fold is None else {"fold": self.job.fold}
        return {
            **compute,
            **fold,
            "title": study.title,
            "augmentation": study.augmentation,
            "inputs": self.rows.describe(),
            "build": {
                "model": self.model.model_dump(mode="json", exclude_none=True),
                "head": self.remedy.head,
                "input_shape": list(self.rows.input_shape),
                "axis": self.rows.axis,
                "scaled": 0 if self.scales is None else len(self.scales[0]),
                "names": list(self.labels.names),
                "kind": self.labels.kind,
                "columns": None if self.rows.columns is None else list(self.rows.columns),
                "data": data,
            },
        }


def plan_training(
    study: Study,
    *,
    allow_code: bool = False,
    rows: TrainRows | None = None,
    check: bool = True,
) -> TrainPlan:
    """Return the plan of a study of one training: data read, rows split, one batch tried.

    Args:
        study: From :func:`load_study`, with one arm.
        allow_code: Whether a network given as "module:callable" may run.
        rows: What the study's data part names, where it is read already.
        check: Look for findings on labels, network and loss.

    Raises:
        DataError: the data are not what the study says.
        UsageError: a network, method or option that does not exist or does not fit.
        LeakageError: rows or groups that stand on both sides.
    """
    require_device(study.options)  # before the data are read
    make_augmentation(study)
    rows = load_rows(study.data) if rows is None else rows
    study = with_rate(study, rows, None, allow_code)
    data = as_study_data(rows)
    draw = one_split(study, data)
    job, threads = study.only_job, study.compute.threads
    plan = plan_job(
        study, job, rows, data.labels, draw(study.seed), threads=threads, allow_code=allow_code
    )
    if study.folds is not None:
        check_folds(plan.make_remedy, plan.options)
    if not check:
        return plan
    findings = (
        *split_findings(data, plan.split), *diagnose(data.labels[plan.split.train]), *_tried(plan)
    )  # fmt: skip
    return replace(plan, findings=findings)


def with_rate(
    study: Study, rows: TrainRows, place: Path | None, allow_code: bool, *, write: bool = True
) -> Study:
    """Return the study with a learning rate where it names none for a network that is not ours.

    A dozen steps of the untreated network at each of four rates; the one with the least loss at
    their end is taken. Networks of ours have a recipe, and a rate that is given or tuned is used.
    """
    model = study.model
    if model is None or model.name in RECIPES or "lr" in study.training or study.tuning.lr:
        return study
    usual = study.options.lr
    rate = kept(place, "lr", usual, lambda: _best_rate(study, rows, allow_code), write=write)
    return study.model_copy(update={"training": {**study.training, "lr": rate}})


def _best_rate(study: Study, rows: TrainRows, allow_code: bool) -> float:
    data = as_study_data(rows)
    split = one_split(study, data)(0)
    losses = {}
    for rate in RATES:
        plain = StudyArm(method="none")
        job = Job(plain, 0, Setting(rate, study.rates_of(plain)[1], {}))
        plan = plan_job(study, job, rows, data.labels, split, threads=None, allow_code=allow_code)
        network, size = start(plan).train(), plan.options.batch_size
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
        seen = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for step in range(_RATE_STEPS):
                x, target = first_batch(plan, size, step * size)
                loss = plan.remedy.loss(network(x), target)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                seen.append(float(loss.detach()))
        last = sum(seen[-_RATE_LAST:])
        losses[rate] = last if last == last else float("inf")
    return min(losses, key=lambda rate: losses[rate])


def plan_job(
    study: Study,
    job: Job,
    rows: TrainRows,
    labels: Labels,
    split: Split,
    *,
    threads: int | None,
    allow_code: bool,
) -> TrainPlan:
    """Return the plan of one training on rows that are read and split."""
    lr, weight_decay = job.setting.lr, job.setting.weight_decay
    assert lr is not None and weight_decay is not None  # noqa: S101, PT018  # of fitted arms alone
    options = replace(study.options_of(job.arm), lr=lr, weight_decay=weight_decay)
    make_remedy = partial(_build, job)
    trained_on, model = labels[split.train], _model_of(study)
    remedy = make_remedy(trained_on)
    scales = input_scales(rows, split.train, model.scale_inputs)
    make = network_maker(model, rows, trained_on, remedy, scales, allow_code=allow_code)
    return TrainPlan(
        study, job, rows, labels, split, options, remedy, make_remedy, make, scales, threads
    )


def _build(job: Job, labels: Labels) -> Remedy:
    remedy: Remedy = get_method(job.arm.method).build(labels, **job.setting.settings)
    return remedy


def _model_of(study: Study) -> ModelSpec:
    assert study.model is not None  # noqa: S101  # studies without one train heads
    return study.model


def as_study_data(rows: TrainRows) -> StudyData:
    """Return the rows as what a partition is made of: their content names copies.

    Raises:
        DataError: rows without labels.
    """
    if rows.labels is None:
        raise DataError(say("data", "name its labels", None))
    features = np.empty((len(rows.labels), 0))
    return StudyData(
        rows.description, features, rows.labels, rows.test, content_hashes=rows.contents
    )


def make_augmentation(study: Study) -> Any:
    """Return what augments a batch, or None."""
    given = study.augmentation
    if given == "none":
        return None
    if isinstance(given, str):
        made = Augmentation.preset(given)  # type: ignore[arg-type]
    else:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in given.items()
        }
        try:
            made = Augmentation(**values)
        except TypeError as error:
            known = "See equipoise.data.Augmentation."
            raise UsageError(say("augmentation", "hold its settings", error, known)) from None
    return made.build()


def start(plan: TrainPlan) -> torch.nn.Module:
    """Return the network as seed 0 begins, torch's own state left alone."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        return plan.make_network()


def first_batch(plan: TrainPlan, most: int, since: int = 0) -> Any:
    """Return a batch of the training rows in their order, from the first again at their end."""
    places = (since + np.arange(min(most, plan.split.train.size))) % plan.split.train.size
    items = [plan.rows.dataset[i] for i in plan.split.train[places].tolist()]
    return (plan.rows.collate or default_collate)(items)


def _tried(plan: TrainPlan) -> list[Finding]:
    """Return what one batch of the network and its loss shows."""
    network, batch = start(plan), first_batch(plan, min(8, plan.options.batch_size))
    require_precision(network, batch[0], plan.options)
    return check_model(network, plan.remedy.loss, batch)


def trained_findings(place: Path) -> list[Finding]:
    """Return what was found in a trial's folder once it was trained: EQ321, which stops nobody."""
    file = place / "findings.json"
    found = load_findings(file) if file.exists() else []
    return [f for f in found if f.code == "EQ321"]


def run_training(
    plan: TrainPlan,
    *,
    out: str | Path,
    resume: bool = True,
    progress: bool | None = None,
) -> Trial:
    """Train what the plan says, or go on with it, or return it where it is finished.

    Args:
        plan: From :func:`plan_training`.
        out: The trial's folder is made under it.
        resume: Use what is there; False begins again.
        progress: Show a live line; None shows it in a terminal.

    Raises:
        TrainingError: what `fit` could not go on with.
    """
    folds, labels = plan.study.folds, plan.labels
    copies = None if folds is None else copies_of(as_study_data(plan.rows))
    if copies is not None and copies.units is not None:
        # Folds keep groups whole, and copies with them.
        labels = replace(labels, groups=as_text(copies.units))
    with nullcontext() if plan.threads is None else using_threads(plan.threads):
        return fit(
            plan.make_network,
            plan.rows.dataset,
            plan.split,
            plan.remedy if folds is None else plan.make_remedy,
            options=plan.options,
            folds=folds,
            labels=labels,
            seed=plan.job.seed,
            augment=make_augmentation(plan.study),
            collate=plan.rows.collate,
            out=out,
            resume=resume,
            progress=progress,
            config=plan.config,
        )


@dataclass(frozen=True, eq=False)
class Networks:
    """The engine of arms that are whole networks, one training after the other.

    Args:
        study: With model and options.
        rows: Inputs and labels.
        data: The same as a partition sees them.
        splits: One for each seed.
        threads: Of torch; they decide rounding, so they are part of a trial.
        tuned: Whether trials are chosen among candidates, which see no test rows.
        allow_code: Whether a network given as "module:callable" may run.
    """

    study: Study
    rows: TrainRows
    data: StudyData
    splits: Draws
    threads: int
    tuned: bool
    allow_code: bool
    # A plan is needed twice, to name its trial and to train it; measured, the half of what a small
    # training takes beside `fit`.
    _plans: dict[Job, TrainPlan] = field(default_factory=dict)

    @property
    def budget(self) -> dict[str, Any]:
        """What decides a training, as plain values."""
        return self.study.options.decisive

    @property
    def provenance(self) -> dict[str, Any]:
        """Nothing: the budget says on which device."""
        return {}

    def check(self, job: Job) -> None:
        """Raise for a job that cannot be built, and warn of settings without effect."""
        require_device(self.study.options)
        make_augmentation(self.study)
        self._plan(job)

    def config(self, job: Job) -> dict[str, Any]:
        """Return all that decides a training."""
        plan = self._plans[job] = self._planned(job)
        return planned_config(
            plan.make_network,
            plan.rows.dataset,
            plan.split,
            plan.remedy,
            options=plan.options,
            labels=plan.labels,
            seed=job.seed,
            config=plan.config,
        )

    def remedy(self, job: Job) -> Remedy:
        """Return what a network is trained with."""
        with _quiet():
            return _build(job, self.data.labels[self.splits[job.draw].train])

    def _planned(self, job: Job) -> TrainPlan:
        with _quiet():
            return self._plan(job)

    def _plan(self, job: Job) -> TrainPlan:
        split = self.splits[job.draw]
        if self.tuned:
            split = replace(split, test=np.empty(0, dtype=np.int64))
        plan = plan_job(
            self.study, job, self.rows, self.data.labels, split,
            threads=self.threads, allow_code=self.allow_code,
        )  # fmt: skip
        return replace(plan, remedy=replace(plan.remedy, name=job.arm.label))

    def batches(self, plan: Plan, jobs: Sequence[Job], root: Path) -> list[Batch]:
        """Return each job by itself."""
        return [Batch(plan.folder(job), [job]) for job in jobs]

    def train(self, batch: Batch, plan: Plan, root: Path, report: Report | None) -> int:
        """Train one network, or go on with it where it was stopped."""
        (job,) = batch.jobs
        plan_of_job = self._plans.pop(job, None) or self._planned(job)
        # In a terminal one line lives, and it is the study's; elsewhere each epoch has a line.
        told = report is not None and not sys.stderr.isatty()
        named(job, run_training, plan_of_job, out=root, progress=told)
        return 1

    def score(self, job: Job, trial: Trial, source: Path, root: Path) -> None:
        """Write a chosen trial with the scores of its test rows."""
        network, _, _ = load_network(source, self.allow_code)
        options, test = (
            self.study.options,
            self.splits[job.draw].test,
        )
        outputs = run_network(
            network,
            Subset(self.rows.dataset, test.tolist()),
            self.rows.collate,
            options.accelerator,
            options.batch_size,
            options.num_workers,
        )
        labels = with_ids(self.data.labels, test)
        scores = replace(
            trial.scores["val"], values=outputs, labels=labels, ids=labels.ids, split="test"
        )
        weights = {name: value.cpu() for name, value in network.state_dict().items()}
        write_trial(replace(trial, scores={**trial.scores, "test": scores}), weights, root)

    def copy(self, trial: Trial, source: Path, root: Path) -> None:
        """Write a trial that has the weights of the one in a folder."""
        from safetensors.torch import load_file

        write_trial(trial, load_file(source / "model.safetensors"), root)

    def time(self, jobs: Sequence[Job], at_once: int) -> str:
        """Return in words how much there is to train, and how long it takes."""
        seconds = estimate_training(self._planned(jobs[0])) * math.ceil(len(jobs) / at_once)
        where = "one at a time" if at_once == 1 else f"{at_once} at a time"
        return f"{len(jobs)} to train, about {in_words(seconds)} {where}."


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of settings without effect: that was done in `check`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        yield


def estimate_training(plan: TrainPlan) -> float:
    """Return about how many seconds a training takes, from two batches and one reading."""
    options, train = plan.options, plan.split.train
    device = choose_device(options.accelerator, "accelerator")
    network = start(plan).to(device)
    begun = time.perf_counter()
    x, target = first_batch(plan, options.batch_size)
    reading = (time.perf_counter() - begun) / max(1, options.num_workers)
    x, target, loss = to_device(x, device), target.to(device), plan.remedy.loss.to(device)
    seconds = 0.0
    for _ in range(2):  # the first one warms up
        begun = time.perf_counter()
        loss(network(x).reshape(len(target), -1), target).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    steps = math.ceil(train.size / options.batch_size)
    # Scoring validation rows takes about a third of training on as many.
    scored = math.ceil(plan.split.val.size / options.batch_size)
    step = max(seconds, reading) if options.num_workers else seconds + reading
    return options.epochs * (steps * step + scored * (step - 2 / 3 * seconds))
