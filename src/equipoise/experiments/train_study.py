"""The study file of one training: which data, which network, which remedy, how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator

from equipoise._core.words import say
from equipoise.errors import UsageError
from equipoise.experiments.methods import THRESHOLDS, get_method
from equipoise.experiments.study import (
    ArmSpec,
    LongTailSpec,
    StratifiedSpec,
    Strict,
    explain_problem,
    read_study,
)

__all__ = [
    "ArrayData",
    "CifarData",
    "ImageBytesData",
    "ImageFilesData",
    "ImageFolderData",
    "ModelSpec",
    "SequenceData",
    "TableRows",
    "TrainStudy",
    "load_train_study",
    "parse_train_study",
]


class _Labelled(Strict):
    """Where labels, ids and groups stand in a table."""

    label: str | None = None
    labels: list[str] | None = None
    delimiter: str = "|"
    kind: Literal["multiclass", "multilabel"] | None = None
    id: str | None = None
    group: str | None = None


class _Images(Strict):
    """How images are read."""

    size: int | tuple[int, int] | None = None
    resize: Literal["crop", "stretch"] = "crop"
    mode: Literal["RGB", "grey"] = "RGB"
    on_broken: Literal["error", "leave_out"] = "error"
    check: Literal["decode", "open", "none"] = "decode"


class ImageFilesData(_Labelled, _Images):
    """Image files listed in a CSV or Parquet table."""

    source: Literal["images"]
    path: str
    test_path: str | None = None
    image: str = "path"
    root: str | None = None


class ImageBytesData(_Labelled, _Images):
    """Encoded images in a column of Parquet files."""

    source: Literal["image_bytes"]
    path: str | list[str]
    test_path: str | list[str] | None = None
    image: str = "image"


class ImageFolderData(_Images):
    """One folder of images per class."""

    source: Literal["image_folder"]
    path: str
    test_path: str | None = None


class CifarData(Strict):
    """CIFAR-10 or -100, binary version; its own test files are the test part."""

    source: Literal["cifar"]
    path: str
    version: Literal["10", "100"] = "10"
    level: Literal["fine", "coarse"] = "fine"


class SequenceData(_Labelled):
    """Sequences: steps (sum of T, F) and offsets in one .npz, or .npy files; labels in a table."""

    source: Literal["sequences"]
    path: str
    offsets: str | None = None
    table: str


class ArrayData(_Labelled):
    """A NumPy file (N, ...), memory-mapped; labels in a table, row by row."""

    source: Literal["arrays"]
    path: str
    table: str


class TableRows(_Labelled):
    """A feature table: numeric columns are features."""

    source: Literal["table"] = "table"
    path: str
    test_path: str | None = None
    features: list[str] | None = None


Data = Annotated[
    ImageFilesData
    | ImageBytesData
    | ImageFolderData
    | CifarData
    | SequenceData
    | ArrayData
    | TableRows,
    Field(discriminator="source"),
]


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


class TrainStudy(Strict):
    """Everything that decides one training."""

    title: str = "Training"
    data: Data
    split: Splitting = StratifiedSpec()
    model: ModelSpec
    arms: tuple[ArmSpec, ...] = (ArmSpec(method="none"),)
    seed: int = 0
    folds: int | None = Field(None, ge=2)
    augmentation: str | dict[str, Any] = "none"
    training: dict[str, Any] = Field(default_factory=dict)
    objective: str | None = None

    @field_validator("arms", mode="before")
    @classmethod
    def _expand(cls, arms: Any) -> Any:
        if isinstance(arms, str):
            arms = [arms]
        if not isinstance(arms, (list, tuple)):
            return arms
        return [{"method": arm} if isinstance(arm, str) else arm for arm in arms]

    @property
    def arm(self) -> ArmSpec:
        """The one method that is trained."""
        return self.arms[0]


_TAGGED: dict[str, type[BaseModel]] = {
    "images": ImageFilesData,
    "image_bytes": ImageBytesData,
    "image_folder": ImageFolderData,
    "cifar": CifarData,
    "sequences": SequenceData,
    "arrays": ArrayData,
    "table": TableRows,
    "stratified": StratifiedSpec,
    "long_tail": LongTailSpec,
    "file": SplitFile,
}
_PATHS = ("path", "test_path", "root", "table", "offsets")


def parse_train_study(content: Any, name: str = "study") -> TrainStudy:
    """Check the content of a study file.

    Raises:
        UsageError: one line that names the key, what was expected, and the closest known key; or
            other than one arm.
    """
    if not isinstance(content, dict):
        raise UsageError(say(name, "be a YAML mapping", type(content).__name__))
    content = dict(content)
    for part, key, default in (("data", "source", "table"), ("split", "how", "stratified")):
        if isinstance(content.get(part), dict):
            content[part] = {key: default, **content[part]}
    if isinstance(content.get("model"), str):
        content["model"] = {"name": content["model"]}
    try:
        study = TrainStudy.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain_problem(error, name, TrainStudy, _TAGGED)) from None
    if len(study.arms) != 1:
        do = "Several are for `equipoise compare`."
        raise UsageError(say("arms", "hold one method", len(study.arms), do))
    if study.arm.method == THRESHOLDS:
        do = "Train 'none': the trial's rule holds tuned thresholds in any case."
        raise UsageError(say("arms", "name a method that is trained", f"'{THRESHOLDS}'", do))
    get_method(study.arm.method)
    return study


def load_train_study(path: str | Path, assignments: tuple[str, ...] = ()) -> TrainStudy:
    """Read and check a study file; relative paths are seen from its folder."""
    file = Path(path)
    content = read_study(file, assignments)
    if isinstance(content, dict):
        for part, keys in (("data", _PATHS), ("split", ("path",)), ("model", ("weights",))):
            if isinstance(content.get(part), dict):
                content[part] = _seen_from(file.parent, content[part], keys)
    return parse_train_study(content, str(path))


def _seen_from(folder: Path, part: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    moved = dict(part)
    for key in keys:
        value = part.get(key)
        if isinstance(value, str):
            moved[key] = str(folder / value)
        elif isinstance(value, list):
            moved[key] = [str(folder / str(v)) for v in value]
    return moved


def study_yaml(study: TrainStudy) -> str:
    """Return a study as YAML, for the folder of its trial."""
    return yaml.safe_dump(study.model_dump(mode="json", exclude_none=True), sort_keys=False)
