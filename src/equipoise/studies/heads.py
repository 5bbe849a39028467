"""Heads on features, many trained as one program; how such a stack is cut, and cut again."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.documents import parse_json, read_text
from equipoise._core.files import atomic_path, write_text
from equipoise._core.fingerprint import fingerprint_config
from equipoise._core.messages import counted, in_words, say
from equipoise._core.rng import child_seed
from equipoise.artifacts import Labels, Split, Trial
from equipoise.errors import NoEffectWarning, UsageError
from equipoise.methods import get_method
from equipoise.studies.engine import Batch, Plan, Report, is_done
from equipoise.studies.rows import Draws, Prepared, StudyData
from equipoise.studies.schema import HeadTraining, Job, Study

if TYPE_CHECKING:
    from equipoise.training import HeadJob, HeadSettings
    from equipoise.training.remedy import Remedy

TRIAL_SCHEMA = 2
# Of a remedy, that heads support.
SLOTS = ("sampler", "mixing", "schedule")
# Heads that are trained and then written together: more is faster, fewer lose less to an
# interruption. Where memory is short, `train_heads` takes fewer at once.
HEADS_AT_ONCE = 48
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, eq=False)
class Heads:
    """The engine of arms that are heads.

    Args:
        study: With the budget.
        data: Features and labels.
        splits: One for each seed, or for each seed and fold.
        threads: Of torch; they decide rounding, so they are part of a trial.
        tuned: Whether trials are chosen among candidates, which see no test rows.
    """

    study: Study
    data: StudyData
    splits: Draws
    threads: int
    tuned: bool

    @cached_property
    def training(self) -> HeadTraining:
        """The budget, its number of epochs decided by the first seed's rows."""
        given = HeadTraining.model_validate(self.study.training)
        return given.resolved(self.splits.first.train.size)

    @property
    def budget(self) -> dict[str, Any]:
        """The same as plain values."""
        return self.training.model_dump()

    @property
    def provenance(self) -> dict[str, Any]:
        """Where heads are trained, and on what."""
        device = self.settings.torch_device.type
        return {"device": device, "data_fingerprint": self.data.fingerprint}

    @cached_property
    def settings(self) -> HeadSettings:
        """What all heads share."""
        from equipoise.training import HeadSettings

        compute = self.study.compute
        return HeadSettings(**self.budget, device=compute.device, memory_gb=compute.memory_gb)

    @cached_property
    def _shared(self) -> dict[str, Any]:
        device = self.settings.torch_device.type
        return {
            "trial_schema": TRIAL_SCHEMA,
            "data": self.data.fingerprint,
            "engine": "heads",
            "ties": "val_loss",  # what told equal epochs apart before was the order alone
            "compute": {"threads": self.threads, "device": device},
        }

    def config(self, job: Job) -> dict[str, Any]:
        """Return all that decides a training."""
        rates = {"lr": job.setting.lr, "weight_decay": job.setting.weight_decay}
        own = {"training": {**self.budget, **rates}}
        return {**self._shared, **own, **named(job, self.splits[job.draw])}

    def check(self, job: Job) -> None:
        """Raise for a method of inputs, or one that heads do not support; warn of no effect."""
        method = get_method(job.arm.method)
        if any(part.needs_images for part in getattr(method, "parts", ()) or (method,)):
            do = "It changes images: give the study a `model`, and whole networks are trained."
            raise UsageError(say(f"arm {job.arm.label}", "work on features", job.arm.method, do))
        remedy = self._made(job)
        remedy.require_supported("train_heads", SLOTS)
        if self.data.labels.weights is not None:
            from equipoise.training.heads.losses import require_separate_rows  # late: torch

            require_separate_rows([remedy], self.data.labels)

    def remedy(self, job: Job) -> Remedy:
        """Return what a head is trained with; what has no effect was said in `check`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoEffectWarning)
            return self._made(job)

    def _made(self, job: Job) -> Remedy:
        labels = self.data.labels[self.splits.parts(job).train]
        made = get_method(job.arm.method).build(labels, **job.setting.settings)
        return replace(made, name=job.arm.label)

    def head_job(self, job: Job) -> HeadJob:
        """Return a job of a study as one of `train_heads`."""
        from equipoise.training import HeadJob

        split, setting = self.splits.parts(job), job.setting
        rates = setting.lr, setting.weight_decay
        test = None if self.tuned else split.test
        # Folds of a seed are trained apart: first weights and orders of their own.
        seed = job.seed if job.fold is None else child_seed(job.seed, "fold", job.fold)
        seed = seed if job.pool is None else child_seed(seed, "pool", job.pool)
        return HeadJob(
            self.remedy(job), seed, split.train, split.val, self.config(job), *rates, test
        )

    def batches(self, plan: Plan, jobs: Sequence[Job], root: Path) -> list[Batch]:
        """Return stacks: those begun as they were, then new ones."""
        stacks = Stacks(root).cut(plan, jobs, plan.at_once or HEADS_AT_ONCE)
        return [Batch(stack_name([plan.folder(job) for job in stack]), stack) for stack in stacks]

    def train(self, batch: Batch, plan: Plan, root: Path, report: Report | None) -> int:
        """Train a whole stack and write what is missing of it."""
        from equipoise.training import train_heads

        Stacks(root).write([plan.folder(job) for job in batch.jobs])
        written = 0
        nowhere = np.empty(0, dtype=np.int64)
        for part in self._together(batch.jobs):
            features, labels, jobs = self._joined(part)
            for result in train_heads(
                features, labels, nowhere, jobs, settings=self.settings, progress=report
            ):
                trial = replace(result.trial, seed=int(result.trial.config["seed"]))
                if not is_done(root / trial.folder_name):
                    write_head(trial, result.state, root)
                    written += 1
        return written

    def _together(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Return jobs whose rows are in memory at once: all, where they see the same numbers."""
        if self.data.coded is None:
            return [list(jobs)]
        size = 8 * max(1, self.data.features.size)  # encodings widen a table
        most = max(1, int(self.study.compute.memory_gb * 1e9 / (4 * size)))
        tables: dict[bytes, list[Job]] = {}
        for job in jobs:
            tables.setdefault(self.splits.parts(job).train.tobytes(), []).append(job)
        parts = list(tables.values())
        cut = [parts[i : i + most] for i in range(0, len(parts), most)]
        return [[job for part in some for job in part] for some in cut]

    def _joined(self, jobs: Sequence[Job]) -> tuple[NDArray[Any], Labels, list[HeadJob]]:
        """Return features, labels and jobs of heads.

        Rows that are prepared differ with the training rows: each preparation's stand below those
        of the one before, so that heads of all of them are trained together.
        """
        data = self.data
        if data.coded is None:
            return data.features, data.labels, [self.head_job(job) for job in jobs]
        blocks: dict[bytes, NDArray[Any]] = {}
        made = []
        for job in jobs:
            key = self.splits.parts(job).train.tobytes()
            if key not in blocks:
                blocks[key] = self._inputs(job)
            shift = list(blocks).index(key) * len(data.labels)
            own = self.head_job(job)
            test = None if own.test is None else own.test + shift
            made.append(replace(own, train=own.train + shift, val=own.val + shift, test=test))
        width = max(block.shape[1] for block in blocks.values())
        whole = np.zeros((len(data.labels) * len(blocks), width), dtype=np.float32)
        for i, block in enumerate(blocks.values()):
            whole[i * len(block) : (i + 1) * len(block), : block.shape[1]] = block
        rows = np.tile(np.arange(len(data.labels)), len(blocks))
        return whole, data.labels[rows], made

    def _inputs(self, job: Job) -> NDArray[Any]:
        """Return what a job's head sees: numbers as they are, or prepared by its training rows."""
        if self.data.coded is None:
            return self.data.features
        return Prepared.of(self.data, self.splits.parts(job).train, "numbers").everywhere

    def score(self, job: Job, trial: Trial, source: Path, root: Path) -> None:
        """Write a chosen trial with the scores of its test rows."""
        from safetensors.numpy import load_file

        from equipoise.training.heads import add_test_scores

        state, data = load_file(source / _WEIGHTS), self.data
        whole = add_test_scores(
            trial, state, self.remedy(job), self._inputs(job), data.labels,
            self.splits[job.draw].test,
            settings=self.settings,
        )  # fmt: skip
        write_head(whole, state, root)

    def copy(self, trial: Trial, source: Path, root: Path) -> None:
        """Write a trial that has the weights of the one in a folder."""
        with atomic_path(root / trial.folder_name / _WEIGHTS) as temporary:
            shutil.copyfile(source / _WEIGHTS, temporary)
        trial.save(root)

    def time(self, jobs: Sequence[Job], at_once: int) -> str:
        """Return in words how much there is to train, and how long it takes."""
        from equipoise.training.heads import estimate_seconds

        heads = [job for job in jobs if not job.arm.is_fitted]
        fits = len(jobs) - len(heads)
        rest = f" {fits} to fit by scikit-learn, not in that time." if fits else ""
        if not heads:
            return f"Nothing to train.{rest}"
        # One seed takes about as long as another: its stack stands for all.
        part = [self.head_job(j) for j in heads if j.draw == heads[0].draw][:HEADS_AT_ONCE]
        data = self.data
        inputs = self._inputs(heads[0])
        one = estimate_seconds(inputs, data.labels, part, settings=self.settings)
        shown = in_words(one * len(heads) / len(part))
        first = ""
        if data.pending is not None:
            size = f"{len(data.labels)} x {data.features.shape[1]}"
            first = f"First the features, {size}, about {in_words(data.pending)}. "
        where = f"on {counted(self.threads, 'thread')} ({self.settings.torch_device.type})"
        return f"{first}{len(heads)} to train, about {shown} {where}.{rest}"


def named(job: Job, split: Split) -> dict[str, Any]:
    """Return what tells the jobs of a study apart."""
    return {
        "arm": job.arm.label,
        "method": job.arm.method,
        "settings": job.setting.settings,
        "seed": job.seed,
        "split": split.fingerprint,
        **({} if job.fold is None else {"fold": job.fold}),
        **({} if job.share == 1 else {"share": job.share}),
        **({} if job.pool is None else {"pool": job.pool}),
    }


def write_head(trial: Trial, state: Mapping[str, Any], root: Path) -> None:
    """Write a trial and its weights under ``root``; the record comes last."""
    from safetensors.numpy import save_file

    whole = replace(trial, model_file=_WEIGHTS)
    with atomic_path(root / whole.folder_name / _WEIGHTS) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, temporary)
    whole.save(root)


def stack_name(folders: Sequence[str]) -> str:
    """Return the name of a stack: the hash of its trials' folders."""
    return f"stack-{fingerprint_config(list(folders))}"


class Stacks:
    """Which heads were trained together, one file for each stack, written before it is trained.

    How a matrix product is rounded may depend on what else is in its stack: on the processor, on
    how memory is aligned, on how many slices there are. A study that goes on after an interruption
    gives the same bits as an undisturbed one only if every stack holds the same heads.

    Args:
        root: Folder of the trials; the files stand beside it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.parent / "stacks" / root.name

    def write(self, folders: Sequence[str]) -> None:
        """Record a stack."""
        write_text(self.root / f"{stack_name(folders)}.json", json.dumps(list(folders)))

    def cut(self, plan: Plan, missing: Sequence[Job], size: int) -> list[list[Job]]:
        """Return stacks that hold all that is missing: those begun as they were, then new ones.

        Args:
            plan: With every training.
            missing: Those that were not done a moment ago; read before this is called.
            size: Heads of a new stack.
        """
        by_folder = {plan.folder(job): job for job in (*plan.jobs, *plan.more)}
        begun: list[list[Job]] = []
        taken: set[str] = set()
        for path in sorted(self.root.glob("stack-*.json")):
            try:
                folders = parse_json(read_text(path))
            except ValueError:
                continue  # damaged: its trials are cut into stacks anew
            # One of another plan cannot be made again.
            names = folders if isinstance(folders, list) else []
            if names and all(isinstance(f, str) and f in by_folder for f in names):
                begun.append([by_folder[f] for f in names])
                taken.update(names)
        wanted = {plan.folder(job) for job in missing}
        unfinished = [s for s in begun if any(plan.folder(job) in wanted for job in s)]
        rest = [job for job in missing if plan.folder(job) not in taken]
        return unfinished + [rest[i : i + size] for i in range(0, len(rest), size)]
