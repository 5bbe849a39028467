"""The study file of one training: which data, which network, which remedy, how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.methods import THRESHOLDS, get_method
from equipoise.studies.data_specs import DATA_SPECS, Data
from equipoise.studies.grid import Setting
from equipoise.studies.study import explain_problem, read_study
from equipoise.studies.study_data import DATA_PATHS, LongTailSpec, StratifiedSpec, Strict, seen_from
from equipoise.studies.study_parts import ArmSpec, ComparisonSpec, StudyArm, TuningSpec
from equipoise.training.options import TrainingOptions


class SplitFile(Strict):
    """A split that `equipoise split` wrote."""

    how: Literal["file"]
    path: str


Splitting = Annotated[StratifiedSpec | LongTailSpec | SplitFile, Field(discriminator="how")]


class ModelSpec(Strict):
    """A network by name; see ``equipoise.models.make_model``."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    freeze: list[str] = Field(default_factory=list)
    scale_inputs: Literal["auto", "imagenet", "none"] = "auto"
    prior_bias: bool = False


class _Training(Strict):
    """What one training and a comparison of trainings have in common."""

    title: str = "Training"
    data: Data
    split: Splitting = StratifiedSpec()
    model: ModelSpec
    augmentation: str | dict[str, Any] = "none"
    training: dict[str, Any] = Field(default_factory=dict)

    @field_validator("arms", mode="before", check_fields=False)
    @classmethod
    def _expand(cls, arms: Any) -> Any:
        if isinstance(arms, str):
            arms = [arms]
        if not isinstance(arms, (list, tuple)):
            return arms
        return [{"method": arm} if isinstance(arm, str) else arm for arm in arms]


class TrainStudy(_Training):
    """Everything that decides one training."""

    arms: tuple[ArmSpec, ...] = (ArmSpec(method="none"),)
    seed: int = 0
    folds: int | None = Field(None, ge=2)

    @property
    def arm(self) -> ArmSpec:
        """The one method that is trained."""
        return self.arms[0]


class FullStudy(_Training):
    """Everything that decides a comparison of full trainings.

    ``threads`` of torch per training decide rounding, so they are part of a trial; without them,
    those of the machine are shared by the trainings that run at once.
    """

    arms: tuple[StudyArm, ...]
    seeds: int = Field(5, ge=1, le=1000)
    tuning: TuningSpec = TuningSpec()
    threads: int | None = Field(None, ge=1)
    comparison: ComparisonSpec = ComparisonSpec()

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rate and weight decay where they are not tuned."""
        options = TrainingOptions.from_mapping(self.training)
        return options.lr, options.weight_decay

    def trained_arms(self) -> list[StudyArm]:
        """Return the arms that need training; the baseline is always the first of them."""
        arms = [a for a in self.arms if a.method != THRESHOLDS]
        if not any(a.label == "none" for a in arms):
            arms.insert(0, StudyArm(method="none"))
        return sorted(arms, key=lambda a: a.label != "none")

    def one(self, arm: StudyArm, seed: int, setting: Setting | None = None) -> TrainStudy:
        """Return the training of one arm with one seed, and with one setting where it is tuned."""
        shared = {name: getattr(self, name) for name in _Training.model_fields}
        own = arm.settings if setting is None else setting.settings
        if setting is not None:
            rates = {"lr": setting.lr, "weight_decay": setting.weight_decay}
            shared["training"] = {**self.training, **rates}
        plain = ArmSpec(method=arm.method, name=arm.name, settings=own)
        return TrainStudy(**shared, arms=(plain,), seed=seed)


_TAGGED: dict[str, type[BaseModel]] = {
    **DATA_SPECS,
    "stratified": StratifiedSpec,
    "long_tail": LongTailSpec,
    "file": SplitFile,
}


def parse_train_study(content: Any, name: str = "study") -> TrainStudy:
    """Check the content of a study file.

    Raises:
        UsageError: one line that names the key, what was expected, and the closest known key; or
            other than one arm.
    """
    study = parse_as(content, name, TrainStudy)
    check_one_arm(study)
    return study


def check_one_arm(study: TrainStudy) -> None:
    """Raise unless the study has one arm, of a method that is trained."""
    if len(study.arms) != 1:
        do = "Several are for `equipoise compare`."
        raise UsageError(say("arms", "hold one method", len(study.arms), do))
    if study.arm.method == THRESHOLDS:
        do = "Train 'none': the trial's rule holds tuned thresholds in any case."
        raise UsageError(say("arms", "name a method that is trained", f"'{THRESHOLDS}'", do))
    get_method(study.arm.method)


def parse_full_study(content: Any, name: str = "study") -> FullStudy:
    """Check the content of a study of several full trainings.

    Raises:
        UsageError: as :func:`parse_train_study`; or two arms of one name.
    """
    study = parse_as(content, name, FullStudy)
    for arm in study.trained_arms():
        if arm.is_fitted:
            do = "It stands in studies on tables and on features of a frozen network."
            raise UsageError(say("arms", "train a network", arm.method, do))
        get_method(arm.method)
    labels = [a.label for a in study.trained_arms()]
    if len(set(labels)) < len(labels):
        raise UsageError(say("arms", "have distinct names", labels, "Give each its own `name:`."))
    return study


AnyStudy = TypeVar("AnyStudy", bound=_Training)


def parse_as(content: Any, name: str, form: type[AnyStudy]) -> AnyStudy:
    """Check the content of a study file against a form, with short words written out."""
    if not isinstance(content, dict):
        raise UsageError(say(name, "be a YAML mapping", type(content).__name__))
    content = dict(content)
    for part, key, default in (("data", "source", "table"), ("split", "how", "stratified")):
        if isinstance(content.get(part), dict):
            content[part] = {key: default, **content[part]}
    if isinstance(content.get("model"), str):
        content["model"] = {"name": content["model"]}
    try:
        return form.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain_problem(error, name, form, _TAGGED)) from None


def load_train_study(path: str | Path, assignments: tuple[str, ...] = ()) -> TrainStudy:
    """Read and check a study file; relative paths are seen from its folder."""
    return parse_train_study(read_relative(path, assignments), str(path))


def load_full_study(path: str | Path, assignments: tuple[str, ...] = ()) -> FullStudy:
    """Read and check a study of several full trainings; paths are seen from its folder."""
    return parse_full_study(read_relative(path, assignments), str(path))


def read_relative(path: str | Path, assignments: tuple[str, ...]) -> Any:
    """Return the content of a study file with ``--set`` applied and paths seen from its folder."""
    file = Path(path)
    content = read_study(file, assignments)
    if isinstance(content, dict):
        for part, keys in (("data", DATA_PATHS), ("split", ("path",)), ("model", ("weights",))):
            if isinstance(content.get(part), dict):
                content[part] = seen_from(file.parent, content[part], keys)
    return content
