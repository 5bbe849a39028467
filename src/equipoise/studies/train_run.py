"""One training from its study file: rows, split, network, remedy, ``fit``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equipoise._core.identity import as_text
from equipoise._core.words import say
from equipoise.artifacts import Finding, Labels, Split, Trial
from equipoise.artifacts.finding import load_findings
from equipoise.audit import check_model
from equipoise.data import Augmentation
from equipoise.diagnosis import diagnose
from equipoise.errors import DataError, UsageError
from equipoise.methods import get_method
from equipoise.studies.rows import StudyData, copies_of, split_findings, splitter
from equipoise.studies.schema import DATA_PATHS, TrainStudy
from equipoise.studies.train_data import TrainRows, load_rows
from equipoise.studies.train_model import Scales, input_scales, network_maker
from equipoise.training import Remedy, TrainingOptions, fit
from equipoise.training.faults import require_device, require_precision


@dataclass(frozen=True, eq=False)
class TrainPlan:
    """What one training will do: everything that is known before its first step.

    Args:
        study: The study.
        rows: Inputs and labels.
        labels: Of all rows.
        split: Which rows are for what.
        options: How it is trained.
        remedy: Made for the training rows.
        make_remedy: The same for other rows.
        make_network: The network, not trained yet.
        scales: Mean and deviation of the inputs, or None.
        findings: On the training labels, the network and its loss.
        threads: Of torch, where they are part of what is trained.
    """

    study: TrainStudy
    rows: TrainRows
    labels: Labels
    split: Split
    options: TrainingOptions
    remedy: Remedy
    make_remedy: Callable[[Labels], Remedy]
    make_network: Callable[[], torch.nn.Module]
    scales: Scales | None
    findings: tuple[Finding, ...]
    threads: int | None = None

    @property
    def copied(self) -> list[Finding]:
        """What is to be said of copies among the rows."""
        return split_findings(_source(self.rows, self.labels), self.split)

    @property
    def facts(self) -> dict[str, Any]:
        """What enters the trial's config: enough to build the network again."""
        study = self.study
        data = study.data.model_dump(mode="json", exclude_none=True)
        for key in DATA_PATHS:
            data.pop(key, None)  # a folder that is moved is still the same training
        compute = {} if self.threads is None else {"compute": {"threads": self.threads}}
        return {
            **compute,
            "title": study.title,
            "augmentation": study.augmentation,
            "inputs": self.rows.describe(),
            "build": {
                "model": study.model.model_dump(mode="json", exclude_none=True),
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
    study: TrainStudy,
    *,
    allow_code: bool = False,
    rows: TrainRows | None = None,
    check: bool = True,
) -> TrainPlan:
    """Return the plan of a study: data read, rows split, network and remedy tried on one batch.

    Args:
        study: From :func:`load_train_study`.
        allow_code: Whether a network given as "module:callable" may run.
        rows: What the study's data part names, where it is read already.
        check: Look for findings on labels, network and loss.

    Raises:
        DataError: the data are not what the study says.
        UsageError: a network, method or option that does not exist or does not fit.
        LeakageError: rows or groups that stand on both sides.
    """
    options = TrainingOptions.from_mapping(study.training)
    require_device(options)  # before the data are read
    make_augmentation(study)
    rows = load_rows(study.data) if rows is None else rows
    if rows.labels is None:
        raise DataError(say("data", "name its labels", None))
    labels = rows.labels
    split = _split(study, rows, labels)
    trained_on = labels[split.train]
    method, settings = get_method(study.arm.method), dict(study.arm.settings)
    make_remedy = partial(_build, method, settings)
    remedy = make_remedy(trained_on)
    scales = input_scales(rows, split.train, study.model.scale_inputs)
    maker = network_maker(study.model, rows, trained_on, remedy, scales, allow_code=allow_code)
    findings: tuple[Finding, ...] = ()
    if check:
        tried = _checked(maker, remedy, rows, split, options)
        copied = split_findings(_source(rows, labels), split)
        findings = (*copied, *diagnose(trained_on), *tried)
    return TrainPlan(
        study, rows, labels, split, options, remedy, make_remedy, maker, scales, findings
    )


def _build(method: Any, settings: dict[str, Any], labels: Labels) -> Remedy:
    remedy: Remedy = method.build(labels, **settings)
    return remedy


def _split(study: TrainStudy, rows: TrainRows, labels: Labels) -> Split:
    _, draw = splitter(study.split, _source(rows, labels))
    return draw(study.seed)


def _source(rows: TrainRows, labels: Labels) -> StudyData:
    """Return the rows as what a partition is made of: their content names copies."""
    hashes = rows.contents
    features = np.empty((len(labels), 0))
    return StudyData(rows.description, features, labels, rows.test, content_hashes=hashes)


def make_augmentation(study: TrainStudy) -> Any:
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


def _checked(
    maker: Callable[[], torch.nn.Module],
    remedy: Remedy,
    rows: TrainRows,
    split: Split,
    options: TrainingOptions,
) -> list[Finding]:
    """Return what one batch of the network and its loss shows."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        network = maker()
    several = split.train[: min(8, options.batch_size)].tolist()
    items = [rows.dataset[i] for i in several]
    batch = (rows.collate or torch.utils.data.default_collate)(items)
    require_precision(network, batch[0], options)
    return check_model(network, remedy.loss, batch)


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
    copies = None if folds is None else copies_of(_source(plan.rows, labels))
    if (
        copies is not None and copies.units is not None
    ):  # folds keep groups whole, and copies with them
        labels = replace(labels, groups=as_text(copies.units))
    return fit(
        plan.make_network,
        plan.rows.dataset,
        plan.split,
        plan.remedy if folds is None else plan.make_remedy,
        options=plan.options,
        folds=folds,
        labels=labels,
        seed=plan.study.seed,
        augment=make_augmentation(plan.study),
        collate=plan.rows.collate,
        out=out,
        resume=resume,
        progress=progress,
        config=plan.facts,
    )
