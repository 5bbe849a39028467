"""The study file: what is compared, with which budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from equipoise._core.words import closest, say
from equipoise.errors import UsageError
from equipoise.methods import METHODS, THRESHOLDS, get_method
from equipoise.studies.data_specs import (
    DATA_SPECS,
    ArrayData,
    CifarData,
    ImageBytesData,
    ImageFilesData,
    ImageFolderData,
    SequenceData,
)
from equipoise.studies.study_data import (
    DATA_PATHS,
    DigitsData,
    FeatureSpec,
    LongTailSpec,
    MosaicData,
    StratifiedSpec,
    Strict,
    TableData,
    seen_from,
)
from equipoise.studies.study_parts import (
    REFERENCES,
    ArmSpec,
    ComparisonSpec,
    ComputeSpec,
    StudyArm,
    Training,
    TuningSpec,
)

Data = Annotated[
    TableData
    | DigitsData
    | MosaicData
    | ImageFilesData
    | ImageBytesData
    | ImageFolderData
    | CifarData
    | SequenceData
    | ArrayData,
    Field(discriminator="source"),
]
SplitSpec = Annotated[StratifiedSpec | LongTailSpec, Field(discriminator="how")]


class Study(Strict):
    """Everything that decides a comparison."""

    title: str = "Comparison"
    data: Data
    features: FeatureSpec | None = None
    split: SplitSpec = StratifiedSpec()
    arms: tuple[StudyArm, ...]
    seeds: int = Field(5, ge=1, le=1000)
    training: Training = Training()
    tuning: TuningSpec = TuningSpec()
    compute: ComputeSpec = ComputeSpec()
    comparison: ComparisonSpec = ComparisonSpec()

    @field_validator("arms", mode="before")
    @classmethod
    def _expand(cls, arms: Any) -> Any:
        if not isinstance(arms, (list, tuple)):
            return arms
        return [{"method": arm} if isinstance(arm, str) else arm for arm in arms]

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rate and weight decay where they are not tuned."""
        return self.training.lr, self.training.weight_decay

    @property
    def references(self) -> list[str]:
        """Names of the arms that are no remedies."""
        return [a.label for a in self.arms if a.method in REFERENCES]

    def trained_arms(self) -> list[StudyArm]:
        """Return the arms that need training; the baseline is always the first of them."""
        arms = [a for a in self.arms if a.method != THRESHOLDS]
        if not any(a.label == "none" for a in arms):
            arms.insert(0, StudyArm(method="none"))
        return sorted(arms, key=lambda a: a.label != "none")


_TAGGED: dict[str, type[BaseModel]] = {
    **DATA_SPECS,
    "table": TableData,
    "digits": DigitsData,
    "digit_mosaics": MosaicData,
    "stratified": StratifiedSpec,
    "long_tail": LongTailSpec,
}


def _known_keys(
    model: type[BaseModel], path: tuple[Any, ...], tagged: Mapping[str, type[BaseModel]]
) -> list[str]:
    """Return the keys that are allowed where a validation error points."""
    for step in path:
        if isinstance(step, int):
            continue
        entry = model.model_fields.get(str(step))
        if entry is None:
            model = tagged.get(str(step), model)
        elif step == "arms":
            model = StudyArm if model is Study else ArmSpec
        else:
            kinds = (entry.annotation, *get_args(entry.annotation))
            parts = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
            model = parts[0] if len(parts) == 1 else model
    return list(model.model_fields)


def _check_method(name: str) -> None:
    try:
        get_method(name)
    except UsageError:
        near = closest(name, [*METHODS, *REFERENCES])
        if near.startswith("Did you mean") and near not in closest(name, METHODS):
            raise UsageError(say("method", "be in the catalogue", repr(name), near)) from None
        raise


def parse_study(content: Any, name: str = "study") -> Study:
    """Check the content of a study file.

    Raises:
        UsageError: one line that names the key, what was expected, and the closest known key.
    """
    if not isinstance(content, dict):
        raise UsageError(say(name, "be a YAML mapping", type(content).__name__))
    content = dict(content)
    for part, key, default in (("data", "source", "table"), ("split", "how", "stratified")):
        if isinstance(content.get(part), dict):
            content[part] = {key: default, **content[part]}
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain_problem(error, name, Study, _TAGGED)) from None
    for arm in study.arms:
        if arm.method != THRESHOLDS and not arm.is_fitted:
            _check_method(arm.method)
    labels = [a.label for a in study.trained_arms()]
    if len(set(labels)) < len(labels):
        raise UsageError(say("arms", "have distinct names", labels, "Give each its own `name:`."))
    return study


def explain_problem(
    error: ValidationError,
    name: str,
    model: type[BaseModel],
    tagged: Mapping[str, type[BaseModel]],
) -> str:
    """Return the first problem of a study as one line.

    Args:
        error: What pydantic found.
        name: Of the study.
        model: Of the whole study.
        tagged: Discriminator value -> the model that it stands for.
    """
    # A misspelt key also looks like a missing one: the misspelling says more.
    problem = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [p for p in problem["loc"] if p not in tagged]
    where = ".".join(str(p) for p in path) or name
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, problem["loc"][:-1], tagged)
        hint = closest(str(problem["loc"][-1]), known)
        return f"{name}: unknown key `{where}`. {hint}"
    if problem["type"] == "missing":
        return f"{name}: `{where}` is missing. Add it, or start from `equipoise init`."
    got = repr(problem.get("input"))
    return f"{name}: `{where}`: {problem['msg'].lower()}, got {got[:60]}."


def set_value(content: dict[str, Any], assignment: str) -> None:
    """Apply one ``a.b=c`` of the command line; the value is read as YAML."""
    path, found, raw = assignment.partition("=")
    if not found or not path:
        raise UsageError(say("--set", "look like a.b=value", repr(assignment)))
    *parents, last = path.split(".")
    place = content
    for key in parents:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise UsageError(say("--set", f"name a mapping before `{last}`", repr(path)))
    try:
        place[last] = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise UsageError(say("--set", "hold a YAML value", repr(raw))) from error


def read_study(file: Path, assignments: tuple[str, ...]) -> Any:
    """Return the content of a study file with ``--set`` applied, not checked yet."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        do = "Write one with `equipoise init`."
        raise UsageError(say(str(file), "be a study file", "nothing there", do)) from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(say(str(file), "be YAML", reason)) from None
    if isinstance(content, dict):
        for assignment in assignments:
            set_value(content, assignment)
    return content


def load_study(path: str | Path, assignments: tuple[str, ...] = ()) -> Study:
    """Read and check a study file; relative data paths are seen from its folder."""
    file = Path(path)
    content = read_study(file, assignments)
    if isinstance(content, dict):
        for part, keys in (("data", DATA_PATHS), ("features", ("trial", "weights"))):
            if isinstance(content.get(part), dict):
                content[part] = seen_from(file.parent, content[part], keys)
    return parse_study(content, str(path))
