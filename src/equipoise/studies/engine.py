"""The protocol of what trains arms, the plan that such engines work on, and torch's threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from equipoise.artifacts import Trial
from equipoise.artifacts.trial import trial_folder
from equipoise.studies.rows import Draws, StudyData
from equipoise.studies.schema import Job, Study

if TYPE_CHECKING:
    from equipoise.training.remedy import Remedy


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Compute with so many threads; how matrix products are rounded depends on it."""
    if not has_torch():  # what is fitted is given its threads itself
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_torch() -> bool:
    """Whether torch can be imported; a broken build raises RuntimeError."""
    try:
        import torch  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def usual_threads() -> int:
    """Return the threads of torch, or the cores of the machine where there is no torch."""
    if not has_torch():
        return os.cpu_count() or 1
    import torch

    return torch.get_num_threads()


# Called with steps done and steps in all.
Report = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Batch:
    """Jobs that are trained together, under one lock of this name."""

    name: str
    jobs: Sequence[Job]

    def __str__(self) -> str:
        return " and ".join(str(job) for job in self.jobs[:2])


class Engine(Protocol):
    """What trains one kind of arm: heads on features, whole networks, what scikit-learn fits."""

    def check(self, job: Job) -> None:
        """Raise for a job that cannot be trained, and warn of settings without effect."""

    def config(self, job: Job) -> dict[str, Any]:
        """Return all that decides a training; it names the trial."""

    def batches(self, plan: Plan, jobs: Sequence[Job], root: Path) -> list[Batch]:
        """Return jobs that are missing under ``root`` as they are trained together."""

    def train(self, batch: Batch, plan: Plan, root: Path, report: Report | None) -> int:
        """Write the trials of a batch that are missing under ``root``; return how many were."""

    def score(self, job: Job, trial: Trial, source: Path, root: Path) -> None:
        """Write a trial that was chosen, from its folder, with the scores of its test rows."""

    def copy(self, trial: Trial, source: Path, root: Path) -> None:
        """Write a trial that has the weights of the one in a folder."""


class Trainer(Engine, Protocol):
    """An engine of arms that are trained by a remedy."""

    def remedy(self, job: Job) -> Remedy:
        """Return what a job is trained with, made for its training labels."""

    def time(self, jobs: Sequence[Job], at_once: int) -> str:
        """Return in words how much there is to train, and how long it takes."""

    @property
    def budget(self) -> dict[str, Any]:
        """How every arm is trained, as plain values."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What else a comparison should tell of how its trials came about."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a study will do: everything that is known before training.

    Args:
        study: From :func:`load_study`.
        data: Labels, and for heads the features.
        splits: One for each seed, which share their test rows; or one for each seed and fold, which
            together test all rows.
        jobs: Those of one arm, seed and fold side by side: ``per_trial`` each, of an arm that
            scikit-learn fits no more than that.
        per_trial: Settings of an arm, at most; with several, the best on validation rows is chosen.
        threads: Of torch.
        engine: What trains the arms.
        fitted: What trains arms that scikit-learn fits.
        more: Jobs that are no part of the comparison itself: on a share of the rows for the
            forecast, on other samples of them where that is what was asked.
        at_once: Heads of one stack; None for as many as is fastest.
        twins: Jobs that would train as an earlier one does step by step, with that one: they are
            not trained again.
    """

    study: Study
    data: StudyData
    splits: Draws
    jobs: tuple[Job, ...]
    per_trial: int
    threads: int
    engine: Trainer
    fitted: Engine | None = None
    more: tuple[Job, ...] = ()
    at_once: int | None = None
    twins: Mapping[Job, Job] = field(default_factory=dict)
    _folders: dict[Job, str] = field(default_factory=dict)

    @property
    def is_tuned(self) -> bool:
        """Whether settings are chosen on validation rows."""
        return self.per_trial > 1

    def engine_of(self, job: Job) -> Engine:
        """Return what trains a job."""
        return self.fitted if job.arm.is_fitted and self.fitted is not None else self.engine

    def folder(self, job: Job) -> str:
        """Return the name of a job's folder: arm, seed and the hash of all that decides it."""
        if job not in self._folders:
            config = self.engine_of(job).config(job)
            self._folders[job] = trial_folder(job.arm.label, job.seed, config)
        return self._folders[job]

    def root(self, out: str | Path) -> Path:
        """Return where trainings stand: candidates, of which some are chosen, or trials."""
        return Path(out) / ("candidates" if self.is_tuned else "trials")

    def missing(self, out: str | Path, jobs: Sequence[Job] | None = None) -> list[Job]:
        """Return the trainings that are not on disk, of all or of some jobs."""
        root = self.root(out)
        wanted = self.jobs if jobs is None else jobs
        return [job for job in wanted if not is_done(root / self.folder(job))]

    def batches(self, jobs: Sequence[Job], out: str | Path) -> list[Batch]:
        """Return missing jobs as they are trained together, what is fitted first."""
        root, found = self.root(out), []
        for engine in dict.fromkeys((self.fitted, self.engine)):
            own = [job for job in jobs if self.engine_of(job) is engine]
            if engine is not None and own:
                found += engine.batches(self, own, root)
        return found

    def choices(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Return the jobs of each arm, seed and fold, of which one enters the comparison."""
        by_trial: dict[tuple[object, ...], list[Job]] = {}
        for job in jobs:
            by_trial.setdefault((job.arm.label, job.draw, job.share, job.pool), []).append(job)
        return list(by_trial.values())


def is_done(folder: Path) -> bool:
    """Return whether a trial's folder is complete: its record is written last."""
    return (folder / "trial.json").is_file()
