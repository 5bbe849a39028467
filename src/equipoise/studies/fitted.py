"""Arms that are fitted and not trained: references and any scikit-learn classifier."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.fingerprint import digest
from equipoise._core.foreign import import_named
from equipoise._core.messages import say
from equipoise.artifacts import Trial
from equipoise.audit.from_text import load_object
from equipoise.errors import EquipoiseError, TrainingError, UsageError
from equipoise.studies.baselines import (
    BASELINES,
    Baseline,
    baseline_trial,
    estimator_baseline,
    require_settings,
)
from equipoise.studies.engine import Batch, Plan, Report
from equipoise.studies.heads import TRIAL_SCHEMA, named
from equipoise.studies.rows import Draws, StudyData
from equipoise.studies.schema import REFERENCES, Job, StudyArm


def code_of(arm: StudyArm) -> str | None:
    """Return a fingerprint of the module that a "module:callable" stands in.

    So an arm whose code has changed is fitted anew; what the module imports is not seen.
    """
    if arm.method in REFERENCES:
        return None
    load_object(arm.method, f"arm {arm.label}")
    module, _ = import_named(arm.method)
    try:
        return digest(inspect.getsource(module))[:16]
    except (OSError, TypeError):
        return str(getattr(module, "__version__", None))


def _made(arm: StudyArm, settings: Mapping[str, Any]) -> tuple[Baseline, Mapping[str, Any]]:
    """Return what is fitted, and the settings that are left to hand over."""
    if arm.method in REFERENCES:
        return BASELINES[arm.method], settings
    make, name = load_object(arm.method, f"arm {arm.label}")
    try:
        estimator = make(**settings)
    except TypeError as error:
        got = f"{dict(settings)} ({' '.join(str(error).split())[:160]})"
        raise UsageError(say(f"settings of {arm.label}", f"be what {name} takes", got)) from error
    return estimator_baseline(arm.label, estimator), {}


@dataclass(frozen=True, eq=False)
class Fitted:
    """The engine of arms that scikit-learn fits, one after the other.

    Args:
        data: Features and labels.
        splits: One for each seed, or for each seed and fold.
        tuned: Whether trials are chosen among candidates, which see no test rows.
    """

    data: StudyData
    splits: Draws
    tuned: bool

    @cached_property
    def _shared(self) -> dict[str, Any]:
        shared = {"trial_schema": TRIAL_SCHEMA, "data": self.data.fingerprint}
        return {**shared, "engine": "scikit-learn"}

    def config(self, job: Job) -> dict[str, Any]:
        """Return all that decides a fit."""
        own = named(job, self.splits[job.draw])
        return {**self._shared, "code": code_of(job.arm), **own}

    def check(self, job: Job) -> None:
        """Raise for an unknown setting, no classifier, or one for the other kind of labels."""
        made, rest = _made(job.arm, job.setting.settings)
        require_settings(made, rest)
        kind = self.data.labels.kind
        if kind not in made.kinds:
            raise UsageError(say(job.arm.label, f"be used on {made.kinds[0]} labels", kind))

    def batches(self, plan: Plan, jobs: Sequence[Job], root: Path) -> list[Batch]:
        """Return each job by itself."""
        return [Batch(plan.folder(job), [job]) for job in jobs]

    def train(self, batch: Batch, plan: Plan, root: Path, report: Report | None) -> int:
        """Fit an arm on its training rows and write its scores."""
        (job,) = batch.jobs
        self._fit(job, self.config(job), with_test=not self.tuned).save(root)
        return 1

    def score(self, job: Job, trial: Trial, source: Path, root: Path) -> None:
        """Fit once more, which gives the same, and write the scores of test rows with the rest."""
        self._fit(job, trial.config, with_test=True).save(root)

    def _fit(self, job: Job, config: Mapping[str, Any], *, with_test: bool) -> Trial:
        """Fit a job's arm and score validation rows, and test rows if asked.

        Raises:
            TrainingError: scikit-learn could not fit it; arm and seed are named.
        """
        made, rest = _made(job.arm, job.setting.settings)
        split = self.splits.parts(job)
        if not with_test:
            split = split._replace(test=np.empty(0, dtype=np.int64))
        try:
            return baseline_trial(
                made, self.data.features, self.data.labels, split,
                seed=job.seed, name=job.arm.label, settings=rest, config=config,
            )  # fmt: skip
        except EquipoiseError:
            raise
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            raise TrainingError(f"{job}: {type(error).__name__}: {words}") from error
