"""Arms that are fitted: boosters and other models of tables, references, any classifier."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.fingerprint import digest
from equipoise._core.foreign import import_named
from equipoise._core.messages import say
from equipoise._core.rng import child_seed
from equipoise.artifacts import Labels, Trial
from equipoise.boosting.families import Family, Task, get_family
from equipoise.boosting.model import Constant
from equipoise.boosting.preparation import Preparation, Style
from equipoise.errors import EquipoiseError, NoEffectWarning, TrainingError, UsageError
from equipoise.methods import get_method
from equipoise.methods.on_tables import Treatment, treat
from equipoise.studies.baselines import (
    BASELINES,
    Baseline,
    baseline_trial,
    estimator_baseline,
    fitted_trial,
    require_settings,
)
from equipoise.studies.engine import Batch, Plan, Report
from equipoise.studies.heads import TRIAL_SCHEMA, named
from equipoise.studies.rows import Draws, Parts, Prepared, StudyData
from equipoise.studies.schema import REFERENCES, Job, Study, StudyArm

if TYPE_CHECKING:
    from equipoise.training.remedy import Remedy


def code_of(arm: StudyArm) -> str | None:
    """Return a fingerprint of the module that a "module:callable" stands in.

    So an arm whose code has changed is fitted anew; what the module imports is not seen.
    """
    if arm.method in REFERENCES:
        return None
    from equipoise.audit.from_text import load_object  # late: it knows torch's losses

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
    from equipoise.audit.from_text import load_object  # late: it knows torch's losses

    make, name = load_object(arm.method, f"arm {arm.label}")
    try:
        estimator = make(**settings)
    except TypeError as error:
        got = f"{dict(settings)} ({' '.join(str(error).split())[:160]})"
        raise UsageError(say(f"settings of {arm.label}", f"be what {name} takes", got)) from error
    return estimator_baseline(arm.label, estimator), {}


@dataclass(frozen=True, eq=False)
class Fitted:
    """The engine of arms that are fitted: models of tables with a remedy, and references.

    Args:
        study: With the settings of its models.
        data: Features and labels.
        splits: One for each seed, or for each seed and fold.
        threads: To compute with.
        tuned: Whether trials are chosen among candidates, which see no test rows.
    """

    study: Study
    data: StudyData
    splits: Draws
    threads: int
    tuned: bool
    _prepared: dict[tuple[bytes, Style], Prepared] = field(default_factory=dict)

    @cached_property
    def _shared(self) -> dict[str, Any]:
        return {"trial_schema": TRIAL_SCHEMA, "data": self.data.fingerprint}

    def config(self, job: Job) -> dict[str, Any]:
        """Return all that decides a fit."""
        own = named(job, self.splits[job.draw])
        if job.arm.model is None:
            return {**self._shared, "engine": "scikit-learn", "code": code_of(job.arm), **own}
        model = {"name": job.arm.model, "settings": self._settings(job)}
        where = {} if device_of(self.study) == "cpu" else {"device": "gpu"}
        return {**self._shared, "engine": "tables", "model": model, **where, **own}

    def _family(self, job: Job) -> Family:
        return get_family(job.arm.model or "")

    def _settings(self, job: Job) -> dict[str, Any]:
        """Return all settings of a job's model; of balanced bags they are the method's."""
        family = self._family(job)
        said = self.study.spec_of_model(family.name).settings | job.setting.of_model
        return family.resolved(said | (job.setting.settings if family.is_remedy else {}))

    def check(self, job: Job) -> None:
        """Raise for an unknown setting, no classifier, or one for the other kind of labels."""
        if job.arm.model is not None:
            family = self._family(job)
            family.require()
            self._settings(job)
            labels = self.data.labels[self.splits.parts(job).train]
            treat(self._made(job, labels), labels, family, job.seed)
            return
        made, rest = _made(job.arm, job.setting.settings)
        require_settings(made, rest)
        kind = self.data.labels.kind
        if kind not in made.kinds:
            raise UsageError(say(job.arm.label, f"be used on {made.kinds[0]} labels", kind))

    def _made(self, job: Job, labels: Labels) -> Remedy:
        made = get_method(job.arm.method).build(labels, **job.setting.settings)
        return replace(made, name=job.arm.label)

    def remedy(self, job: Job) -> Remedy:
        """Return what a model is treated with; what has no effect was said in `check`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoEffectWarning)
            return self._made(job, self.data.labels[self.splits.parts(job).train])

    @property
    def budget(self) -> dict[str, Any]:
        """How models are fitted, as plain values."""
        told = {m.name: {**m.settings, **m.grid} for m in self.study.models}
        return {"models": told}

    @property
    def provenance(self) -> dict[str, Any]:
        """On what models are fitted."""
        return {"device": device_of(self.study), "data_fingerprint": self.data.fingerprint}

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

    def copy(self, trial: Trial, source: Path, root: Path) -> None:
        """Write a trial that is another's, under its own name."""
        trial.save(root)

    def time(self, jobs: Sequence[Job], at_once: int) -> str:
        """Return in words how much there is to fit."""
        return f"{len(jobs)} to fit."

    def _fit(self, job: Job, config: Mapping[str, Any], *, with_test: bool) -> Trial:
        """Fit a job's arm and score validation rows, and test rows if asked.

        Raises:
            TrainingError: it could not be fitted; arm and seed are named.
        """
        split = self.splits.parts(job)
        if not with_test:
            split = split._replace(test=np.empty(0, dtype=np.int64))
        try:
            if job.arm.model is not None:
                return self._of_family(job, split, config)
            made, rest = _made(job.arm, job.setting.settings)
            return baseline_trial(
                made, self._features(split), self.data.labels, split,
                seed=job.seed, name=job.arm.label, settings=rest, config=config,
            )  # fmt: skip
        except EquipoiseError:
            raise
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            raise TrainingError(f"{job}: {type(error).__name__}: {words}") from error

    def _features(self, split: Parts) -> NDArray[Any]:
        """Return what a model without a preparation of its own is given."""
        if self.data.coded is None:
            return self.data.features
        return self.prepared(split.train, "numbers").everywhere

    def prepared(self, train: NDArray[np.int64], style: Style) -> Prepared:
        """Return rows as they are prepared by training rows; the last few are kept."""
        key = train.tobytes(), style
        if key not in self._prepared:
            while len(self._prepared) >= _KEPT:
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[key] = Prepared.of(self.data, train, style)
        return self._prepared[key]

    def _of_family(self, job: Job, split: Parts, config: Mapping[str, Any]) -> Trial:
        """Fit a model of tables, one for each label, and return its trial."""
        family, labels = self._family(job), self.data.labels
        trained = labels[split.train]
        treatment = treat(self.remedy(job), trained, family, job.seed)
        rows = self.prepared(split.train, family.style)
        settings = self._settings(job)
        others = rows.of_rows(np.concatenate([split.val, split.test]))
        val = others[: split.val.size]
        fit = Fit(family, treatment, settings, child_seed(job.seed, "model"), self.threads,
                  device=device_of(self.study))  # fmt: skip
        parts = fit.all(rows.train, trained, rows.preparation, (val, labels[split.val]))
        outputs = np.concatenate([part.outputs(others) for part in parts], axis=1)
        _put_val(parts, outputs, labels[split.val])
        often = np.bincount(treatment.rows, minlength=len(trained))
        seen = None if treatment.resampling is None else fit.counted(trained)
        rounds = [part.rounds for part in parts]
        return fitted_trial(
            outputs, labels, split, name=job.arm.label, seed=job.seed,
            kind="ranking" if treatment.correction.exactness == "none" else "logits",
            correction=treatment.correction, config=config, drawn=often.astype(np.int64),
            seen=seen,
            chosen={} if None in rounds else {"rounds": rounds},
        )  # fmt: skip


def device_of(study: Study) -> str:
    """Return where boosters are fitted: on a GPU where `compute.device: cuda` says so."""
    return "gpu" if study.compute.device == "cuda" else "cpu"


def _put_val(parts: Sequence[Any], outputs: NDArray[np.float64], val: Labels) -> None:
    """Write what is said of validation rows that stopped boosting, as if they had not."""
    for i, part in enumerate(parts):
        found = getattr(part, "of_val", None)
        if found is None:
            continue
        if val.kind == "multiclass":
            outputs[: len(val)] = found
        else:
            outputs[np.flatnonzero(val.values[:, i] >= 0), i] = found[:, 0]


_KEPT = 3
"""Prepared tables that are kept: arms of one draw follow one another."""


@dataclass(frozen=True, eq=False)
class Fit:
    """How models of one arm are fitted: one for classes, one for each label.

    Args:
        family: The kind of model.
        treatment: The remedy.
        settings: Of the model, all of them.
        seed: Of what the model draws.
        threads: To compute with.
        rounds: Of boosters, one number per output, where no validation rows stop them.
        device: "cpu" or "gpu", for boosters that know it.
        seen: Output -> rows of each class, or of both sides, that a model was fitted on.
    """

    family: Family
    treatment: Treatment
    settings: Mapping[str, Any]
    seed: int
    threads: int
    rounds: Sequence[int | None] | None = None
    device: str = "cpu"
    seen: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def counted(self, labels: Labels) -> dict[str, int]:
        """Return what the models were fitted on: rows of each class, or positives of each label."""
        counts = np.array(labels.counts, dtype=np.int64)
        for output, found in self.seen.items():
            if labels.kind == "multiclass":
                counts[: found.size] = found
            else:
                counts[output] = found[1]
        return {name: int(count) for name, count in zip(labels.names, counts, strict=True)}

    def all(
        self,
        x: NDArray[np.float32],
        labels: Labels,
        preparation: Preparation,
        val: tuple[NDArray[np.float32], Labels] | None = None,
    ) -> list[Any]:
        """Return the fitted models.

        Args:
            x: (n, D) prepared training rows.
            labels: Of them.
            preparation: That made them.
            val: Rows that stop boosting, and their labels; None where rounds are given.
        """
        rows = self.treatment.rows
        x, drawn = (x, labels) if _is_all(rows, len(x)) else (x[rows], labels[rows])
        if labels.kind == "multiclass":
            y = np.asarray(drawn.values, dtype=np.int64)
            watched = None if val is None else (
                val[0], np.asarray(val[1].values, dtype=np.int64), val[1].weights)  # fmt: skip
            rows_of = x, y, drawn.weights
            return [self._one(rows_of, 0, labels.num_classes, preparation, watched)]
        found = []
        for output, column in enumerate(drawn.values.T):
            known = column >= 0
            y = column[known].astype(np.int64)
            own = None if drawn.weights is None else drawn.weights[known]
            if len(np.unique(y)) < 2:
                share = (float((y == 1).sum()) + 0.5) / (y.size + 1.0)
                found.append(Constant(float(np.log(share) - np.log1p(-share))))
                continue
            watched = None
            if val is not None:
                at = val[1].values[:, output] >= 0
                weights = None if val[1].weights is None else val[1].weights[at]
                watched = val[0][at], val[1].values[at, output].astype(np.int64), weights
            rows_of = (x if known.all() else x[known]), y, own
            found.append(self._one(rows_of, output, 1, preparation, watched))
        return found

    def _one(
        self,
        rows: Weighed,
        output: int,
        classes: int,
        preparation: Preparation,
        val: Weighed | None,
    ) -> Any:
        x, y, own = rows
        settings = dict(self.settings)
        if self.rounds is not None and self.rounds[output] is not None:
            settings["rounds"] = self.rounds[output]
        if self.treatment.resampling is not None:
            own_rows = child_seed(self.seed, "rows", output) % 2**31
            x, y = self.treatment.resampling(x, y, blocks=preparation.blocks, seed=own_rows)
        self.seen[output] = np.bincount(y, minlength=2)
        task = Task(
            x, y, classes,
            weight=self.treatment.row_weights(y, output, classes, own),
            objective=self.treatment.objective(y, output, classes, own),
            shift=self.treatment.shift(output, classes),
            x_val=None if val is None or not len(val[1]) else val[0],
            y_val=None if val is None else val[1],
            weight_val=None if val is None else val[2],
            categorical=preparation.categorical,
            settings=settings, seed=child_seed(self.seed, output) % 2**31, threads=self.threads,
            device=self.device,
        )  # fmt: skip
        return self.family.fit(task)


Weighed = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64] | None]
"""Rows, their truth, and by what weight they count, or None."""


def _is_all(rows: NDArray[np.int64], n: int) -> bool:
    return rows.size == n and bool((rows == np.arange(n)).all())
