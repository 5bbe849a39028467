"""What a study will do: data, splits, and one candidate per arm, seed and setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._core.fingerprint import fingerprint_config
from equipoise.artifacts import Split, Trial
from equipoise.experiments.digits import digit_mosaics, digits
from equipoise.experiments.grid import Setting, settings_of
from equipoise.experiments.methods import get_method
from equipoise.experiments.partition import splitter
from equipoise.experiments.source import StudyData
from equipoise.experiments.study import (
    ArmSpec,
    DigitsData,
    MosaicData,
    Study,
    StudyArm,
    TableData,
    Training,
)
from equipoise.labels import feature_table

if TYPE_CHECKING:
    from equipoise.training import HeadJob, HeadSettings
    from equipoise.training.remedy import Remedy

__all__ = [
    "Candidate",
    "Plan",
    "chosen_config",
    "load_data",
    "load_finished",
    "make_plan",
    "trial_folder",
]

_TRIAL_SCHEMA = 2
# Of a remedy, that heads support.
SLOTS = ("sampler", "mixing", "schedule")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One training: an arm with one setting and one seed; ``config`` is all that decides it."""

    arm: StudyArm
    seed: int
    setting: Setting
    config: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return trial_folder(self.arm, self.seed, self.config)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a study will do: data, budget, one split per seed, and every training.

    ``trials`` holds candidates, those of one arm and seed side by side, ``per_trial`` each.
    """

    study: Study
    data: StudyData
    training: Training
    threads: int
    device: str
    test: Any
    splits: Mapping[int, Split]
    trials: tuple[Candidate, ...]
    per_trial: int

    @property
    def is_tuned(self) -> bool:
        """Whether settings are chosen on validation rows."""
        return self.per_trial > 1

    def choices(self) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each arm and seed, of which one enters the comparison."""
        n = self.per_trial
        return [self.trials[i : i + n] for i in range(0, len(self.trials), n)]

    def remedy(self, candidate: Candidate) -> Remedy:
        """Return what a candidate is trained with, made for its training labels."""
        labels = self.data.labels[self.splits[candidate.seed].train]
        made = get_method(candidate.arm.method).build(labels, **candidate.setting.settings)
        return replace(made, name=candidate.arm.label)

    def job(self, candidate: Candidate) -> HeadJob:
        """Return a candidate as a job of `train_heads`."""
        from equipoise.training import HeadJob

        split, setting = self.splits[candidate.seed], candidate.setting
        return HeadJob(
            self.remedy(candidate),
            candidate.seed,
            split.train,
            split.val,
            candidate.config,
            setting.lr,
            setting.weight_decay,
        )

    def settings(self) -> HeadSettings:
        """Return what all jobs share."""
        from equipoise.training import HeadSettings

        shared = self.training.model_dump()
        return HeadSettings(
            **shared, device=self.device, memory_gb=self.study.compute.memory_gb  # type: ignore[arg-type]
        )  # fmt: skip


def trial_folder(arm: ArmSpec, seed: int, config: Mapping[str, Any]) -> str:
    """Return the folder name of a trial: arm, seed and the hash of its config."""
    from equipoise.artifacts.trial import trial_folder as named

    return named(arm.label, seed, config)


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
    settings = settings_of(study)
    data = load_data(study)
    test, draw = splitter(study.split, data)
    splits = {seed: draw(seed) for seed in range(study.seeds)}
    training = study.training.resolved(splits[0].train.size)
    threads, device = _machine(study)
    shared = {
        "trial_schema": _TRIAL_SCHEMA,
        "engine": "heads",
        "data": data.fingerprint,
        "compute": {"threads": threads, "device": device},
    }
    trials = []
    for seed, split in splits.items():
        for arm in study.trained_arms():
            for setting in settings[arm.label]:
                budget = {"lr": setting.lr, "weight_decay": setting.weight_decay}
                config = {
                    **shared,
                    "training": {**training.model_dump(), **budget},
                    "arm": arm.label,
                    "method": arm.method,
                    "settings": setting.settings,
                    "seed": seed,
                    "split": split.fingerprint,
                }
                trials.append(Candidate(arm, seed, setting, config))
    per_trial = len(settings["none"])
    plan = Plan(study, data, training, threads, device, test, splits, tuple(trials), per_trial)
    for candidate in trials[: len(trials) // study.seeds]:
        # What cannot be built or trained is said before anything is written.
        plan.remedy(candidate).require_supported("train_heads", SLOTS)
    return plan


def _machine(study: Study) -> tuple[int, str]:
    """Return the number of threads and the device, as they will be."""
    import torch

    from equipoise.training import HeadSettings

    threads = study.compute.threads or torch.get_num_threads()
    return threads, HeadSettings(device=study.compute.device).torch_device.type


def chosen_config(candidates: tuple[Candidate, ...], chosen: Candidate, by: str) -> dict[str, Any]:
    """Return the config of a trial whose setting was chosen among several."""
    among = [fingerprint_config(candidate.config) for candidate in candidates]
    tuning = {"chosen_among": len(among), "by": by, "candidates": fingerprint_config(among)}
    return {**chosen.config, "tuning": tuning}


def load_finished(root: Path, folder: str) -> Trial | None:
    """Return the trial of a folder if it is finished."""
    place = root / folder
    return Trial.load(place) if (place / "trial.json").is_file() else None
