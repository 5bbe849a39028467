"""What a study will do: data, splits, and one candidate per arm, seed and setting."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._core.fingerprint import canonical_json, fingerprint_config
from equipoise._core.progress import Progress
from equipoise._core.words import say
from equipoise.artifacts import Split, Trial
from equipoise.errors import NoEffectWarning, UsageError
from equipoise.methods import get_method
from equipoise.studies.fitted_arms import check_fitted, code_of, fit_arm
from equipoise.studies.grid import settings_of
from equipoise.studies.load import load_data
from equipoise.studies.rows import StudyData, splitter
from equipoise.studies.schema import Setting, Study, StudyArm, Training

if TYPE_CHECKING:
    from equipoise.training import HeadJob, HeadSettings
    from equipoise.training.remedy import Remedy

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

    ``trials`` holds candidates, those of one arm and seed side by side: ``per_trial`` each, of a
    fitted arm no more than that. ``twins`` holds, by folder, those that would train as an earlier
    candidate does step by step, with that one: they are not trained again.
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
    twins: Mapping[str, Candidate] = field(default_factory=dict)

    @property
    def is_tuned(self) -> bool:
        """Whether settings are chosen on validation rows."""
        return self.per_trial > 1

    def choices(self) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each arm and seed, of which one enters the comparison."""
        by_trial: dict[tuple[str, int], list[Candidate]] = {}
        for candidate in self.trials:
            by_trial.setdefault((candidate.arm.label, candidate.seed), []).append(candidate)
        return [tuple(found) for found in by_trial.values()]

    def remedy(self, candidate: Candidate, *, tell: bool = False) -> Remedy:
        """Return what a candidate is trained with, made for its training labels.

        Args:
            candidate: One of ``trials``.
            tell: Whether settings without effect are warned of: once, when the plan is made.
        """
        labels = self.data.labels[self.splits[candidate.seed].train]
        with warnings.catch_warnings():
            if not tell:
                warnings.simplefilter("ignore", NoEffectWarning)
            made = get_method(candidate.arm.method).build(labels, **candidate.setting.settings)
        return replace(made, name=candidate.arm.label)

    def fit(self, candidate: Candidate, *, with_test: bool) -> Trial:
        """Fit a candidate that no head is trained for."""
        return fit_arm(
            candidate.arm,
            candidate.setting.settings,
            self.data,
            self.splits[candidate.seed],
            seed=candidate.seed,
            config=candidate.config,
            with_test=with_test,
        )

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


def trial_folder(arm: StudyArm, seed: int, config: Mapping[str, Any]) -> str:
    """Return the folder name of a trial: arm, seed and the hash of its config."""
    from equipoise.artifacts.trial import trial_folder as named

    return named(arm.label, seed, config)


def make_plan(
    study: Study,
    *,
    cache: Path | None = None,
    compute: bool = True,
    allow_code: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Return the plan of a study: everything that is known before training.

    Args:
        study: From :func:`load_study`.
        cache: Where features of a frozen network are kept; None plans without them.
        compute: Compute such features where they are not there yet.
        allow_code: Whether arms and networks given as "module:callable" may run.
        progress: Called with (what, rows done, rows in all) while features are computed.

    Raises:
        UsageError: an arm, grid or setting that does not exist or does not fit.
        DataError: data that are not what the study says.
    """
    require_code(study, allow_code)
    settings = settings_of(study)
    data = load_data(study, cache if compute else None, known=cache, allow_code=allow_code,
                     progress=progress)  # fmt: skip
    test, draw = splitter(study.split, data)
    splits = {seed: draw(seed) for seed in range(study.seeds)}
    training = study.training.resolved(splits[0].train.size)
    threads, device = _machine(study)
    shared = {"trial_schema": _TRIAL_SCHEMA, "data": data.fingerprint}
    trials = []
    for seed, split in splits.items():
        for arm in study.trained_arms():
            engine = _engine(arm, threads, device)
            for setting in settings[arm.label]:
                config = {
                    **shared,
                    **engine,
                    **_budget(arm, training, setting),
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
        if candidate.arm.is_fitted:
            check_fitted(candidate.arm, candidate.setting.settings, data.labels)
        else:
            _require_features(candidate.arm)
            plan.remedy(candidate, tell=True).require_supported("train_heads", SLOTS)
    return replace(plan, twins=_twins(plan))


def _twins(plan: Plan) -> dict[str, Candidate]:
    """Return the candidates whose loss is that of an earlier one of their seed and rates."""
    from equipoise.methods.no_effect import loss_gradient, same_gradient

    found: dict[str, Candidate] = {}
    told: set[str] = set()
    labels = {seed: plan.data.labels[split.train] for seed, split in plan.splits.items()}
    made: dict[tuple[str, int], Any] = {}
    groups: dict[tuple[Any, ...], list[tuple[Candidate, Any]]] = {}
    for candidate in plan.trials:
        name, setting = candidate.arm.method, candidate.setting
        if candidate.arm.is_fitted or ":" in name:
            continue
        if get_method(name).family not in ("baseline", "loss"):
            continue
        key = f"{name} {canonical_json(setting.settings)}", candidate.seed
        if key not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NoEffectWarning)  # said of the first seed before
                remedy = get_method(name).build(labels[candidate.seed], **setting.settings)
            made[key] = loss_gradient(remedy, labels[candidate.seed])
        if made[key] is None:
            continue
        earlier = groups.setdefault((candidate.seed, setting.lr, setting.weight_decay), [])
        for other, gradient in earlier:
            if other.arm.label != candidate.arm.label and same_gradient(made[key], gradient):
                found[candidate.folder] = other
                break
        else:
            earlier.append((candidate, made[key]))
    for candidate in plan.trials:
        twin = found.get(candidate.folder)
        if twin is not None and candidate.arm.label not in told:
            told.add(candidate.arm.label)
            warnings.warn(
                f"'{candidate.arm.label}' trains as '{twin.arm.label}' does, step by step, with "
                "equal settings and seed: it is not trained again, and has its trials.",
                NoEffectWarning,
                stacklevel=3,
            )
    return found


def _require_features(arm: StudyArm) -> None:
    """Raise for a method that works on the inputs themselves."""
    method = get_method(arm.method)
    if any(part.needs_images for part in getattr(method, "parts", ()) or (method,)):
        do = "It changes images: give the study a `model`, and whole networks are trained."
        raise UsageError(say(f"arm {arm.label}", "work on features", arm.method, do))


def require_code(study: Study, allow_code: bool) -> None:
    """Raise if a study names code of the user's that may not run."""
    for arm in study.arms:
        if ":" in arm.method and not allow_code:
            do = "Give --allow-code if you trust it."
            raise UsageError(say(f"arm {arm.label}", "run no foreign code", arm.method, do))


def _engine(arm: StudyArm, threads: int, device: str) -> dict[str, Any]:
    if arm.is_fitted:
        return {"engine": "scikit-learn", "code": code_of(arm)}
    # What told equal epochs apart before was the order alone.
    facts = {"engine": "heads", "ties": "val_loss"}
    return {**facts, "compute": {"threads": threads, "device": device}}


def _budget(arm: StudyArm, training: Training, setting: Setting) -> dict[str, Any]:
    if arm.is_fitted:
        return {}
    budget = {"lr": setting.lr, "weight_decay": setting.weight_decay}
    return {"training": {**training.model_dump(), **budget}}


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
