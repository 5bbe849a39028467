"""Run a study: data, splits, trials that are not done yet, comparison."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.files import atomic_path
from equipoise._core.fingerprint import fingerprint_config
from equipoise.artifacts import Comparison, Finding, Split, Trial
from equipoise.comparison import compare
from equipoise.diagnosis import diagnose
from equipoise.experiments.digits import digit_mosaics, digits
from equipoise.experiments.methods import get_method
from equipoise.experiments.partition import splitter
from equipoise.experiments.source import StudyData
from equipoise.experiments.study import ArmSpec, DigitsData, MosaicData, Study, TableData, Training
from equipoise.labels import feature_table

__all__ = ["Outcome", "Plan", "load_data", "make_plan", "run_study", "trial_folder"]

Progress = Callable[[str, int, int], None]
_TRIAL_SCHEMA = 1
# Heads that train as one stack. Trials are written after each stack: larger is faster, smaller
# loses less to an interruption.
STACK_HEADS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a study will do: data, budget, one split per seed, and the config of every trial."""

    study: Study
    data: StudyData
    training: Training
    test: Any
    splits: Mapping[int, Split]
    trials: tuple[tuple[ArmSpec, int, dict[str, Any]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a study."""

    comparison: Comparison
    findings: tuple[Finding, ...]
    trained: int
    reused: int


def load_data(study: Study) -> StudyData:
    """Return the features and labels that a study names."""
    spec = study.data
    if isinstance(spec, DigitsData):
        return digits(noise=spec.noise, seed=spec.seed)
    if isinstance(spec, MosaicData):
        return digit_mosaics(**spec.model_dump(exclude={"source"}))
    return _table(spec)


def _table(spec: TableData) -> StudyData:
    def read(path: str, names: tuple[str, ...] | None) -> Any:
        return feature_table(
            path,
            label=spec.label,
            labels=spec.labels,
            delimiter=spec.delimiter,
            kind=spec.kind,
            id_column=spec.id,
            group_column=spec.group,
            names=names,
        )

    features, labels, columns = read(spec.path, None)
    name = Path(spec.path).name
    if spec.test_path is None:
        return StudyData(name, features, labels)
    from equipoise.experiments.tables import join_tables

    more, more_labels, more_columns = read(spec.test_path, labels.names)
    return join_tables(name, (features, labels, columns), (more, more_labels, more_columns))


def make_plan(study: Study) -> Plan:
    """Return the plan of a study: everything that is known before training."""
    data = load_data(study)
    for arm in study.trained_arms():
        get_method(arm.method)
    test, draw = splitter(study.split, data)
    splits = {seed: draw(seed) for seed in range(study.seeds)}
    training = study.training.resolved(splits[0].train.size)
    shared = {
        "trial_schema": _TRIAL_SCHEMA,
        "engine": "heads",
        "data": data.fingerprint,
        "training": training.model_dump(),
    }
    trials = tuple(
        (
            arm,
            seed,
            {
                **shared,
                "arm": arm.label,
                "method": arm.method,
                "settings": dict(arm.settings),
                "seed": seed,
                "split": split.fingerprint,
            },
        )
        for seed, split in splits.items()
        for arm in study.trained_arms()
    )
    return Plan(study, data, training, test, splits, trials)


def run_study(
    study: Study,
    *,
    out: str | Path,
    progress: Progress | None = None,
    command: str = "",
) -> Outcome:
    """Train what is not trained yet and compare all arms.

    Args:
        study: From :func:`equipoise.load_study`.
        out: Folder of the results; finished trials in ``out/trials`` are used again.
        progress: Called with (what, done, in all).
        command: How the study was started, for the provenance.

    Returns:
        The comparison, the findings on the training labels, and how many trials were trained and
        how many were found finished.
    """
    started = time.perf_counter()
    plan = make_plan(study)
    root = Path(out) / "trials"
    finished = _finished(plan, root)
    missing = [t for t in plan.trials if fingerprint_config(t[2]) not in finished]
    for trial in _train(plan, missing, root, progress):
        finished[fingerprint_config(trial.config)] = trial
    trials = [finished[fingerprint_config(config)] for _, _, config in plan.trials]
    if progress is not None:
        progress("comparing", 0, 1)
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
            "training": plan.training.model_dump(),
            "data": plan.data.description,
            "data_fingerprint": plan.data.fingerprint,
            "split_fingerprints": {s: split.fingerprint for s, split in plan.splits.items()},
            "command": command,
            "versions": _versions(),
            "seconds": round(time.perf_counter() - started, 1),
        },
    )
    if progress is not None:
        progress("comparing", 1, 1)
    rows = np.concatenate([plan.splits[0].train, plan.splits[0].val])
    findings = diagnose(plan.data.labels[rows])
    return Outcome(result, tuple(findings), len(missing), len(trials) - len(missing))


def _versions() -> dict[str, str]:
    names = ("equipoise", "numpy", "scikit-learn", "torch")
    return {"python": platform.python_version()} | {n: version(n) for n in names}


def trial_folder(arm: ArmSpec, seed: int, config: Mapping[str, Any]) -> str:
    """Return the folder name of a trial: arm, seed and the hash of its config."""
    return f"{arm.label}-s{seed}-{fingerprint_config(config)}"


def _finished(plan: Plan, root: Path) -> dict[str, Trial]:
    """Return the trials of this plan that are on disk, by the hash of their config."""
    found = {}
    for arm, seed, config in plan.trials:
        key = fingerprint_config(config)
        folder = root / trial_folder(arm, seed, config)
        if (folder / "trial.json").is_file():
            found[key] = Trial.load(folder)
    return found


def _train(
    plan: Plan,
    missing: list[tuple[ArmSpec, int, dict[str, Any]]],
    root: Path,
    progress: Progress | None,
) -> Any:
    """Yield each trial after it is trained and written."""
    if not missing:
        return
    from equipoise.training import HeadJob, HeadSettings, train_heads

    settings = HeadSettings(**plan.training.model_dump())
    seeds = sorted({seed for _, seed, _ in missing})
    per_seed = max(1, len(missing) // len(seeds))
    width = max(1, STACK_HEADS // per_seed)
    chunks = [seeds[i : i + width] for i in range(0, len(seeds), width)]
    for number, chunk in enumerate(chunks):
        jobs = []
        for arm, seed, config in missing:
            if seed in chunk:
                split = plan.splits[seed]
                remedy = get_method(arm.method).build(plan.data.labels[split.train], **arm.settings)
                named = replace(remedy, name=arm.label)
                jobs.append(HeadJob(named, seed, split.train, split.val, config))

        def report(done: int, total: int, number: int = number) -> None:
            if progress is not None:
                progress("training", number * total + done, len(chunks) * total)

        for result in train_heads(
            plan.data.features,
            plan.data.labels,
            plan.test,
            jobs,
            settings=settings,
            progress=report,
        ):
            yield _write(result.trial, result.state, root)


def _write(trial: Trial, state: Mapping[str, Any], root: Path) -> Trial:
    from safetensors.numpy import save_file

    named = replace(trial, model_file="model.safetensors")
    with atomic_path(root / named.folder_name / "model.safetensors") as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, temporary)
    named.save(root)
    return named
