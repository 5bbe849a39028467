"""The study file: which data, which arms, which budget; one schema for every verb that trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from equipoise._core.documents import parse_yaml, read_text
from equipoise._core.messages import closest, say
from equipoise.comparison.verdict import LOOKS
from equipoise.errors import UsageError
from equipoise.io import LabelCoding
from equipoise.io.labels import LabelArguments
from equipoise.methods import METHODS, THRESHOLDS, get_method

if TYPE_CHECKING:
    from equipoise.training.options import TrainingOptions

DATA_PATHS = ("path", "test_path", "root", "table", "offsets")
PATHS = {
    "data": DATA_PATHS,
    "features": ("trial", "weights"),
    "split": ("path",),
    "model": ("weights",),
}
"""Keys of each part that name files."""


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _no_truth_value(value: Any) -> Any:
    if any(isinstance(v, bool) for v in (value if isinstance(value, list) else [value])):
        raise ValueError("put it in quotes, as YAML makes a truth value of yes, no, true and false")
    return value


_Tokens = Annotated[str | int | list[str | int] | None, BeforeValidator(_no_truth_value)]


class Coded(Strict):
    """What the entries of label columns stand for; see :func:`equipoise.io.read_labels`."""

    positive: _Tokens = None
    negative: _Tokens = None
    unknown: _Tokens = None
    empty_token: _Tokens = None

    @property
    def coding(self) -> LabelCoding:
        """The coding that readers take."""
        return LabelCoding.of(self.positive, self.negative, self.unknown, self.empty_token)


class DigitsData(Strict):
    """scikit-learn's digits with pixel noise."""

    source: Literal["digits"]
    noise: float = Field(0.0, ge=0)
    seed: int = 0


class MosaicData(Strict):
    """2 x 2 mosaics of scikit-learn's digits, labels A to D.

    ``together`` says of pairs, such as "A+C", which share of mosaics shows both.
    """

    source: Literal["digit_mosaics"]
    rows: int = Field(6000, ge=100)
    test_rows: int = Field(3000, ge=100)
    noise: float = Field(0.5, ge=0)
    blocks: int = Field(30, ge=2)
    test_blocks: int = Field(30, ge=1)
    together: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    seed: int = 0


class MadeTableData(Strict):
    """A table that is made here, one direction of signal per label; see ``made_table``."""

    source: Literal["made_table"]
    rows: int = Field(4000, ge=100)
    test_rows: int = Field(2000, ge=100)
    prevalences: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(min_length=1)
    features: int = Field(20, ge=1)
    strength: float = Field(2.0, ge=0)
    seed: int = 0


class MadeSequencesData(Strict):
    """Sequences that are made here: 23 labels, eight of them empty; see ``made_sequences``."""

    source: Literal["made_sequences"]
    rows: int = Field(5500, ge=100, le=5500)
    features: int = Field(32, ge=1)
    strength: float = Field(5.0, ge=0)
    seed: int = 0


MadeData = DigitsData | MosaicData | MadeTableData | MadeSequencesData
"""Rows that need no file."""


class FeatureSpec(Strict):
    """Features of a frozen network: of a finished trial, or of a model by name."""

    trial: str | None = None
    model: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    scale_inputs: Literal["imagenet", "none"] = "none"
    layer: str | None = None
    batch_size: int = Field(256, ge=1)
    num_workers: int = Field(0, ge=0)


class StratifiedSpec(Strict):
    """Shares of validation and test rows; test is drawn once, validation anew for each seed."""

    how: Literal["stratified"] = "stratified"
    val: float = Field(0.2, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = 0


class FoldedSpec(Strict):
    """Rows are tested fold by fold; ``val`` is the share of a fold's training rows that choose."""

    folds: int = Field(5, ge=2, le=100)
    val: float = Field(0.2, gt=0, lt=1)
    seed: int = 0


class CrossFitSpec(FoldedSpec):
    """Every row is tested, once per seed, by a model that did not see it.

    The rows are cut into stratified folds, anew in each seed; ``val`` is the share of a fold's
    training rows that chooses the epoch and the settings.
    """

    how: Literal["cross_fit"]


class TimeSpec(FoldedSpec):
    """Forward in time: every block of rows but the first is tested by models of the rows before it.

    Rows are sorted by ``column`` and cut into ``folds`` + 1 blocks of about equally many rows; rows
    of one moment stay together. Of the rows before a block, those within ``gap`` before it (days of
    a date, else units of the column) are left out, and so are rows of groups that it tests; the
    last share ``val`` of the rest chooses.
    """

    how: Literal["time"]
    column: str
    gap: float = Field(0.0, ge=0)


class LongTailSpec(Strict):
    """A balanced test set and balanced validation rows, then training rows thinned to a tail.

    The tail is ``imbalance_ratio`` deep in a ``shape``, or of relative sizes ``ratio``, one per
    class in the order of the classes or in ``order``; ``total`` training rows, else as many as the
    rows allow.
    """

    how: Literal["long_tail"]
    shape: Literal["exp", "step"] = "exp"
    imbalance_ratio: float | None = Field(None, gt=1)
    ratio: list[Annotated[float, Field(gt=0)]] | None = None
    total: int | None = Field(None, ge=1)
    order: list[str] | None = None
    val_per_class: int = Field(ge=1)
    test_per_class: int | None = Field(None, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _one_tail(self) -> LongTailSpec:
        if (self.imbalance_ratio is None) == (self.ratio is None):
            raise ValueError("give imbalance_ratio, or ratio with one size per class")
        return self

    @property
    def tail(self) -> dict[str, Any]:
        """What :func:`equipoise.long_tail_split` takes, but for rows per class and seed."""
        sizes: dict[str, Any] = {"imbalance_ratio": self.imbalance_ratio, "shape": self.shape}
        if self.ratio is not None:
            sizes = {"ratios": self.ratio, "shape": "custom"}
        return {**sizes, "total": self.total, "order": self.order}


class SplitFile(Strict):
    """A split that `equipoise split` wrote; the same for every seed."""

    how: Literal["file"]
    path: str


SplitSpec = Annotated[
    StratifiedSpec | CrossFitSpec | TimeSpec | LongTailSpec | SplitFile,
    Field(discriminator="how"),
]


def seen_from(folder: Path, part: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return a part of a study with its relative paths as they are from a folder."""
    moved = dict(part)
    for key in keys:
        value = part.get(key)
        if isinstance(value, str):
            moved[key] = str(folder / value)
        elif isinstance(value, list):
            moved[key] = [str(folder / str(v)) for v in value]
    return moved


class _Labelled(Coded):
    """Where labels, ids, groups and row weights stand in a table."""

    label: str | None = None
    labels: list[str] | None = None
    delimiter: str = "|"
    kind: Literal["multiclass", "multilabel"] | None = None
    id: str | None = None
    group: str | None = None
    weight: str | None = None

    def where(self, names: Sequence[str] | None = None) -> LabelArguments:
        """Return what readers take, with the classes or labels in order where they are known."""
        return {
            "label": self.label,
            "labels": self.labels,
            "delimiter": self.delimiter,
            "kind": self.kind,
            "id_column": self.id,
            "group_column": self.group,
            "weight_column": self.weight,
            "names": names,
            "coding": self.coding,
        }


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


class ArchiveData(Strict):
    """Features and labels in one .npz, as others publish them.

    ``X`` is dense, or a CSR matrix by its parts; ``Y`` (N, L) multi-hot, or ``y`` (N,) of 0 and 1.
    ``label_names`` names the labels where it is there. Rows whose entry of ``split`` is
    ``test_value`` are the test rows. ``prevalence`` thins the positives of a single label to a
    share, drawn by ``seed``.
    """

    source: Literal["archive"]
    path: str
    test_value: int | None = None
    prevalence: float | None = Field(None, gt=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _one_draw(self) -> ArchiveData:
        if self.prevalence is not None and self.test_value is not None:
            raise ValueError("give prevalence, or test_value: test rows are not thinned")
        return self


class PianoRollData(Strict):
    """Piano rolls in one .npz; a row is ``context`` steps, its labels the keys of the next.

    ``Ypacked`` holds the keys of each step as ``numpy.packbits`` packs them, ``n_labels`` how many
    there are, ``offsets`` where tunes begin, and ``split`` which tunes are tested: those of 2.
    Every ``every``-th step is a row.
    """

    source: Literal["piano_rolls"]
    path: str
    context: int = Field(8, ge=1)
    every: int = Field(8, ge=1)


class ObjectMosaicData(Strict):
    """2 x 2 mosaics of small images with one object each; labels say which objects occur.

    ``objects`` gives each label the class that shows it, ``prevalences`` its share of mosaics; the
    other classes fill cells. ``together`` says of pairs, such as "A+C", which share of mosaics
    shows both; else labels are independent. Images of ``path`` make the rows, those of
    ``test_path`` test rows.
    """

    source: Literal["object_mosaics"]
    path: str
    test_path: str
    image: str = "image"
    label: str = "label"
    objects: dict[str, int] = Field(min_length=1, max_length=4)
    prevalences: dict[str, Annotated[float, Field(gt=0, lt=1)]]
    together: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    rows: int = Field(224_000, ge=100)
    test_rows: int = Field(20_000, ge=100)
    seed: int = 0

    @model_validator(mode="after")
    def _same_labels(self) -> ObjectMosaicData:
        if list(self.objects) != list(self.prevalences):
            raise ValueError("give objects and prevalences the same labels, in one order")
        return self


class TableData(_Labelled):
    """A table: one row per example; all columns are features, or those named.

    ``drop`` leaves columns out, ``categorical`` are numbers that are names, ``time`` are dates,
    where the guess is wrong.
    """

    source: Literal["table"] = "table"
    path: str
    test_path: str | None = None
    features: list[str] | None = None
    drop: list[str] = Field(default_factory=list)
    categorical: list[str] = Field(default_factory=list)
    time: list[str] = Field(default_factory=list)


FileData = (
    TableData
    | ImageFilesData
    | ImageBytesData
    | ImageFolderData
    | CifarData
    | SequenceData
    | ArrayData
    | ArchiveData
    | PianoRollData
    | ObjectMosaicData
)
"""Rows that stand in files, for networks and for heads."""


_TAGGED: dict[str, type[BaseModel]] = {
    "table": TableData,
    "digits": DigitsData,
    "digit_mosaics": MosaicData,
    "made_table": MadeTableData,
    "made_sequences": MadeSequencesData,
    "archive": ArchiveData,
    "piano_rolls": PianoRollData,
    "object_mosaics": ObjectMosaicData,
    "images": ImageFilesData,
    "image_bytes": ImageBytesData,
    "image_folder": ImageFolderData,
    "cifar": CifarData,
    "sequences": SequenceData,
    "arrays": ArrayData,
    "stratified": StratifiedSpec,
    "cross_fit": CrossFitSpec,
    "time": TimeSpec,
    "long_tail": LongTailSpec,
    "file": SplitFile,
}
"""What a part's `source` or `how` stands for."""


HEAD = "mlp"
"""The kind of model that heads are, beside those of :mod:`equipoise.boosting.families`."""

# Arms that keep one honest: of no model, or of one that needs no tuning.
REFERENCES = ("prevalence", "all_negative", "nearest_neighbours", "logistic_regression")
# A budget that is too small favours remedies that merely learn faster.
STEPS, MIN_EPOCHS = 2000, 20


class HeadTraining(Strict):
    """The budget of heads, one for all arms; without ``epochs``, enough for 2,000 steps."""

    hidden: int = Field(64, ge=0)
    epochs: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    def resolved(self, n_train: int) -> HeadTraining:
        """Return the budget with its number of epochs for ``n_train`` rows."""
        if self.epochs is not None:
            return self
        per_epoch = math.ceil(n_train / self.batch_size)
        epochs = max(MIN_EPOCHS, math.ceil(STEPS / per_epoch))
        return self.model_copy(update={"epochs": epochs})


class ComparisonSpec(Strict):
    """How arms are tuned and judged.

    ``question`` is about a test set of its own: what arms would do when they are trained again on
    these data, or on a new sample like these, for which ten samples of the training rows are drawn
    with replacement and trained on twice. Cross-fitting answers both at once.
    """

    objective: str | None = None
    target_prior: Literal["validation", "uniform"] | list[float] = "validation"
    primary: Literal["macro_ap", "macro_auroc", "tuned"] | None = None
    question: Literal["these data", "new sample"] = "these data"
    rope: float = Field(0.01, gt=0)
    confidence_level: float = Field(0.95, gt=0, lt=1)


OF_OPTIMIZER = (
    "optimizer", "lr", "momentum", "nesterov", "weight_decay", "schedule", "milestones", "factor",
    "plateau_patience", "warmup", "clip",
)  # fmt: skip
"""Options of :class:`equipoise.TrainingOptions` that an arm may have for itself."""


class StudyArm(Strict):
    """A method with its settings; ``name`` tells two settings of one method apart.

    ``method`` is one of the catalogue, "a+b" of it, and in a comparison of heads also one of
    `REFERENCES`, or "module:callable" that returns a scikit-learn classifier. ``model`` is the kind
    of model of a table that it treats, where the study compares several; None for a head. ``grid``
    holds values that `tuning` may choose from. ``training`` holds options of a network's optimizer
    and rate (`OF_OPTIMIZER`) that are this arm's own: rows, batches and epochs are alike for all.
    """

    method: str
    model: str | None = None
    name: str | None = Field(None, pattern=r"^[\w .,+=-]{1,60}$")
    settings: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name it goes by in the comparison."""
        return self.name or self.method

    @property
    def is_fitted(self) -> bool:
        """Whether scikit-learn fits it, or nothing at all, and no head is trained."""
        kept = self.method in REFERENCES or ":" in self.method
        return kept or self.model not in (None, HEAD)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of an arm: what the optimizer does, where there is one, method and model."""

    lr: float | None
    weight_decay: float | None
    settings: dict[str, Any]
    of_model: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One training: an arm with one of its settings, one seed, and one fold where there are any.

    ``share`` of its training rows are used: fewer for the forecast of what more would buy. ``pool``
    numbers a sample of the rows, drawn with replacement, where another sample is in question.
    """

    arm: StudyArm
    seed: int
    setting: Setting
    fold: int | None = None
    share: float = 1.0
    pool: int | None = None

    @property
    def draw(self) -> Draw:
        """What decides its rows."""
        return self.seed, self.fold

    def __str__(self) -> str:
        fold = "" if self.fold is None else f", fold {self.fold}"
        pool = "" if self.pool is None else f", sample {self.pool}"
        share = "" if self.share == 1 else f", {self.share:g} of the rows"
        return f"{self.arm.label}, seed {self.seed}{fold}{pool}{share}"


Draw = tuple[int, int | None]
"""A seed, and a fold where rows are tested fold by fold."""


class TuningSpec(Strict):
    """What is chosen on validation rows, from equally many settings for every arm.

    ``settings`` of them are drawn from learning rates x weight decays x the arm's own grid, for
    kinds of models of a table from the model's grid x the arm's own; None takes as many as the
    smallest of the arms' grids has.
    """

    lr: list[Annotated[float, Field(gt=0)]] = Field(default_factory=list)
    weight_decay: list[Annotated[float, Field(ge=0)]] = Field(default_factory=list)
    settings: int | None = Field(None, ge=1, le=1000)
    seed: int = 0


class ComputeSpec(Strict):
    """Where it is computed. Device and threads decide rounding, so they are part of a trial."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)
    memory_gb: float = Field(1.0, gt=0)


RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Thirteen convolutions without batch norm: at 1e-3 the first steps kill most of its units.
    "vgg16": {"lr": 2e-4, "warmup": 0.1, "clip": 1.0},
    "vgg16_bn": {"lr": 3e-4, "warmup": 0.1, "clip": 1.0},
    "resnet32": {"lr": 3e-3, "warmup": 0.1, "clip": 1.0},
    # Small ones hardly move in ten epochs of a small table at 1e-3.
    "lstm": {"lr": 0.02, "warmup": 0.1, "clip": 1.0},
    "mlp": {"lr": 0.02, "warmup": 0.1, "clip": 1.0},
}
"""How networks of ours are trained where a study says nothing: options other than the defaults,
``warmup`` as a share of the epochs."""


class FamilySpec(Strict):
    """A kind of model of tables, by name, with settings of its own.

    ``grid`` holds values of settings that are chosen from for every arm on it, on validation rows.
    """

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)


class ModelSpec(Strict):
    """A network by name; see ``equipoise.models.make_model``."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    freeze: list[str] = Field(default_factory=list)
    scale_inputs: Literal["auto", "imagenet", "none"] = "auto"
    prior_bias: bool = False


class Study(Strict):
    """Everything that decides a comparison, one training, or one run of mining.

    Without a ``split``, heads on features are cross-fitted where the data have no test rows of
    their own; a network has one test part.

    With ``model`` whole networks are trained, and ``training`` holds the settings of
    :class:`equipoise.TrainingOptions`; without it heads on features are, with those of
    `HeadTraining`, and what scikit-learn fits. ``models`` names kinds of models that a table's
    remedies may stand on: untreated ones are compared first, remedies on the best of them, or on
    all that take them (``remedies``). A comparison takes ``seeds``, ``tuning`` and
    ``comparison``; one training a ``seed`` and perhaps ``folds``; mining a ``seed``, ``mining``
    (settings of :class:`equipoise.mining.MiningOptions`) and ``negative``, the class whose rows are
    the negatives: that with the most rows if it is None.
    """

    title: str = "Comparison"
    data: FileData | MadeData = Field(discriminator="source")
    features: FeatureSpec | None = None
    split: SplitSpec | None = None
    model: ModelSpec | None = None
    models: tuple[FamilySpec, ...] = ()
    remedies: Literal["best", "all"] = "best"
    augmentation: str | dict[str, Any] = "none"
    arms: tuple[StudyArm, ...] = (StudyArm(method="none"),)
    training: dict[str, Any] = Field(default_factory=dict)
    compute: ComputeSpec = ComputeSpec()
    seeds: int | Literal["auto"] = 5
    tuning: TuningSpec = TuningSpec()
    comparison: ComparisonSpec = ComparisonSpec()
    seed: int = 0
    folds: int | None = Field(None, ge=2)
    mining: dict[str, Any] = Field(default_factory=dict)
    negative: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, content: Any) -> Any:
        """Write out what short words stand for."""
        if not isinstance(content, dict):
            return content
        content = dict(content)
        split = content.get("split")
        folded = isinstance(split, dict) and any(str(key).startswith("fold") for key in split)
        timed = isinstance(split, dict) and "column" in split
        how = "time" if timed else "cross_fit" if folded else "stratified"
        for part, key, default in (("data", "source", "table"), ("split", "how", how)):
            if isinstance(content.get(part), dict):
                content[part] = {key: default, **content[part]}
        if isinstance(content.get("model"), str):
            content["model"] = {"name": content["model"]}
        if content.get("model") is not None:
            content.setdefault("title", "Training")
            if "threads" in content:  # where studies of networks had them once
                compute = content.get("compute") or {}
                if "threads" in compute:
                    raise ValueError("give `threads` once, as compute.threads")
                content["compute"] = {**compute, "threads": content.pop("threads")}
        return content

    @field_validator("seeds", mode="before")
    @classmethod
    def _number_or_auto(cls, seeds: Any) -> Any:
        whole = isinstance(seeds, int) and not isinstance(seeds, bool)
        if seeds != "auto" and not (whole and 1 <= seeds <= 1000):
            raise ValueError("say auto, or a whole number from 1 to 1000")
        return seeds

    @field_validator("arms", mode="before")
    @classmethod
    def _expand(cls, arms: Any) -> Any:
        """Write out arms that are given by name."""
        if isinstance(arms, str):
            arms = [arms]
        if not isinstance(arms, (list, tuple)):
            return arms
        return [{"method": arm} if isinstance(arm, str) else arm for arm in arms]

    @field_validator("models", mode="before")
    @classmethod
    def _expand_models(cls, models: Any) -> Any:
        """Write out models that are given by name."""
        if isinstance(models, str):
            models = [models]
        if not isinstance(models, (list, tuple)):
            return models
        return [{"name": model} if isinstance(model, str) else model for model in models]

    def spec_of_model(self, name: str) -> FamilySpec:
        """Return what the study says of a kind of model."""
        return next((m for m in self.models if m.name == name), FamilySpec(name=name))

    @property
    def looks(self) -> tuple[int, ...] | None:
        """Seeds after which a study that stops by itself looks at its arms; else None."""
        return LOOKS if self.seeds == "auto" else None

    @property
    def most_seeds(self) -> int:
        """The number of seeds, or the most that there may be."""
        return LOOKS[-1] if self.seeds == "auto" else self.seeds

    def split_of(
        self, *, has_test: bool
    ) -> StratifiedSpec | CrossFitSpec | TimeSpec | LongTailSpec | SplitFile:
        """Return how its rows are split.

        Args:
            has_test: Whether the data set test rows apart themselves.
        """
        if self.split is not None:
            return self.split
        if has_test or self.model is not None:
            return StratifiedSpec()
        return CrossFitSpec(how="cross_fit")

    @property
    def references(self) -> list[str]:
        """Names of the arms that are no remedies."""
        return [arm.label for arm in self.arms if self._is_reference(arm)]

    def _is_reference(self, arm: StudyArm) -> bool:
        """Whether nothing is treated: a reference, or another kind of model untreated."""
        other = arm.method == "none" and arm.label != "none" and arm.model is not None
        return arm.method in REFERENCES or other

    def trained_arms(self) -> list[StudyArm]:
        """Return the arms that need training; the baseline is always the first of them."""
        arms = [a for a in self.arms if a.method != THRESHOLDS]
        if not any(a.label == "none" for a in arms):
            arms.insert(0, StudyArm(method="none"))
        return sorted(arms, key=lambda a: a.label != "none")

    def rates_of(self, arm: StudyArm) -> tuple[float, float]:
        """Return learning rate and weight decay of an arm where they are not tuned."""
        if self.model is None:
            heads = HeadTraining.model_validate(self.training)
            return heads.lr, heads.weight_decay
        options = self.options_of(arm)
        return options.lr, options.weight_decay

    @property
    def options(self) -> TrainingOptions:
        """How its networks are trained: what it says, else the network's recipe, else defaults."""
        return self.options_of(StudyArm(method="none"))

    def options_of(self, arm: StudyArm) -> TrainingOptions:
        """Return how the networks of an arm are trained: as all are, but for what it says."""
        from equipoise.training.options import TrainingOptions  # late: a study needs no torch

        recipe = dict(RECIPES.get("" if self.model is None else self.model.name, {}))
        own = {**self.training, **arm.training}
        said = TrainingOptions.from_mapping(own)
        if "warmup" in recipe:
            recipe["warmup"] *= said.epochs
        given = recipe | {key: getattr(said, key) for key in own}
        return TrainingOptions(**given)

    @property
    def only_job(self) -> Job:
        """The training of a study that has one arm and one seed."""
        (arm,) = self.arms
        return Job(arm, self.seed, Setting(*self.rates_of(arm), dict(arm.settings)))


def _known_keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the keys that are allowed where a validation error points."""
    for step in path:
        if isinstance(step, int):
            continue
        entry = model.model_fields.get(str(step))
        if entry is None:
            model = _TAGGED.get(str(step), model)
        elif step == "arms":
            model = StudyArm
        else:
            kinds = (entry.annotation, *get_args(entry.annotation))
            parts = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
            model = parts[0] if len(parts) == 1 else model
    return list(model.model_fields)


Verb = Literal["compare", "train", "mine"]
# What serves some verbs alone, and would be passed over by the others without a word.
_SERVES: dict[str, tuple[Verb, ...]] = {
    "features": ("compare",),
    "seeds": ("compare",),
    "models": ("compare",),
    "remedies": ("compare",),
    "tuning": ("compare",),
    "comparison": ("compare",),
    "seed": ("train", "mine"),
    "folds": ("train",),
    "mining": ("mine",),
    "negative": ("mine",),
}

_STUDY_OF = {
    "compare": "a comparison", "train": "a study of one training", "mine": "a study of mining",
}  # fmt: skip


def parse_study(content: Any, name: str = "study", *, verb: Verb = "compare") -> Study:
    """Check the content of a study file.

    Args:
        content: As YAML holds it.
        name: What messages call it.
        verb: What is done with it: arms are compared, one is trained, or negatives are mined.

    Raises:
        UsageError: one line that names the key, what was expected, and the closest known key; or
            what the verb has no use for.
    """
    if not isinstance(content, dict):
        got = f"{type(content).__name__}"
        do = "A table is described by a study: `equipoise init TABLE` writes one."
        raise UsageError(say(name, "be a YAML mapping", got, do))
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain_error(error, name, Study, verb=verb)) from None
    if study.model is None and verb != "compare":
        do = "Add one, such as `model: mlp`."
        raise UsageError(f"{name}: `model` is missing: `equipoise {verb}` trains a network. {do}")
    for key, verbs in _SERVES.items():
        if verb not in verbs and not _is_default(study, key):
            expected = f"be left out of {_STUDY_OF[verb]}"
            do = f"It is for `equipoise {verbs[0]}`."
            raise UsageError(f"{name}: {say(key, expected, shorten(repr(content[key]), 60), do)}")
    if study.model is not None:
        _check_networks(study)
    else:
        try:
            HeadTraining.model_validate(study.training)
        except ValidationError as error:
            raise UsageError(explain_error(error, name, HeadTraining, "training")) from None
        if study.augmentation != "none":
            do = "Add a `model`."
            raise UsageError(f"{name}: `augmentation` is of no use to heads on features. {do}")
    if verb == "compare":
        _check_arms(study, name)
    else:
        _check_one_arm(study)
    return study


def _is_default(part: BaseModel, key: str) -> bool:
    known = type(part).model_fields[key].get_default(call_default_factory=True)
    return bool(getattr(part, key) == known)


def _check_networks(study: Study) -> None:
    """Raise for what does not go with whole networks."""
    if study.features is not None:
        do = "Leave `model` out to train heads on features, or `features` to train networks."
        raise UsageError(say("features", "be left out of a study with a model", "both", do))
    for key in ("device", "memory_gb"):
        if _is_default(study.compute, key):
            continue
        do = "Say where networks are trained by training.accelerator and training.devices."
        raise UsageError(say(f"compute.{key}", "be left out of a study with a model",
                             getattr(study.compute, key), do))  # fmt: skip


def _check_arms(study: Study, name: str) -> None:
    """Raise unless every arm can be compared, and they have names of their own."""
    if "arms" not in study.model_fields_set:
        raise UsageError(f"{name}: `arms` is missing. Add it, or start from `equipoise init`.")
    for arm in study.arms:
        given = [key for key in ("name", "settings", "grid", "training") if getattr(arm, key)]
        if arm.method == THRESHOLDS and given:
            do = "It is the untreated model with tuned thresholds, and takes nothing of its own."
            raise UsageError(say(THRESHOLDS, "stand alone", f"{', '.join(given)} beside it", do))
    for arm in study.trained_arms():
        if study.model is not None and arm.is_fitted:
            do = "It stands in studies on tables and on features of a frozen network."
            raise UsageError(say("arms", "train a network", arm.method, do))
        if not arm.is_fitted:
            _check_method(arm.method)
        if arm.training:
            _check_own_training(study, arm)
    labels = [arm.label for arm in study.trained_arms()]
    if len(set(labels)) < len(labels):
        raise UsageError(say("arms", "have distinct names", labels, "Give each its own `name:`."))


def _check_own_training(study: Study, arm: StudyArm) -> None:
    """Raise unless an arm may be trained in a way of its own."""
    name = f"training of {arm.label}"
    if study.model is None:
        do = "Networks have options of their own: add a `model`."
        raise UsageError(
            say(name, "be left out where no network is trained", sorted(arm.training), do)
        )
    for key in arm.training:
        if key not in OF_OPTIMIZER:
            do = "Rows, batches and epochs are alike for all arms."
            expected = f"hold options of the optimizer ({', '.join(OF_OPTIMIZER)})"
            raise UsageError(say(name, expected, repr(key), do))
        if getattr(study.tuning, key, None):
            do = "Leave it out of one of them."
            raise UsageError(say(name, f"not hold what tuning.{key} chooses", repr(key), do))
    study.options_of(arm)


def _check_method(name: str) -> None:
    try:
        get_method(name)
    except UsageError:
        near = closest(name, [*METHODS, *REFERENCES])
        if near.startswith("Did you mean") and near not in closest(name, METHODS):
            raise UsageError(say("method", "be in the catalogue", repr(name), near)) from None
        raise


def _check_one_arm(study: Study) -> None:
    """Raise unless the study has one arm, of a method that is trained."""
    if len(study.arms) != 1:
        do = "Several are for `equipoise compare`."
        raise UsageError(say("arms", "hold one method", len(study.arms), do))
    (arm,) = study.arms
    if arm.method == THRESHOLDS:
        do = "Train 'none': the trial's rule holds tuned thresholds in any case."
        raise UsageError(say("arms", "name a method that is trained", f"'{THRESHOLDS}'", do))
    if arm.grid:
        do = "Values to choose from are for `equipoise compare`."
        raise UsageError(say("arms", "hold settings", "a grid", do))
    get_method(arm.method)


def explain_error(
    error: ValidationError,
    name: str,
    form: type[BaseModel],
    part: str | None = None,
    verb: Verb | None = None,
) -> str:
    """Return the first problem of a study, or of a part of it, as one line."""
    # A misspelt key also looks like a missing one: the misspelling says more.
    problem = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = [p for p in (part, *problem["loc"]) if p is not None and p not in _TAGGED]
    where = ".".join(str(p) for p in path) or name
    if problem["type"] == "extra_forbidden":
        known = _known_keys(form, problem["loc"][:-1])
        if len(path) == 1 and verb is not None:
            known = [key for key in known if verb in _SERVES.get(key, (verb,))]
        hint = closest(str(problem["loc"][-1]), known)
        return f"{name}: unknown key `{where}`. {hint}"
    if problem["type"] == "missing":
        return f"{name}: `{where}` is missing. Add it, or start from `equipoise init`."
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        where += "." + context["discriminator"].strip("'")
        kinds = [kind.strip(" '") for kind in context["expected_tags"].split(",")]
        near = closest(context["tag"], kinds)
        return f"{name}: {say(where, 'be known', repr(context['tag']), near)}"
    got = repr(problem.get("input"))
    said = problem["msg"].removeprefix("Value error, ")
    return f"{name}: `{where}`: {said[:1].lower()}{said[1:]}, got {got[:60]}."


def set_value(content: dict[str, Any], assignment: str) -> None:
    """Apply one ``a.b=c`` of the command line; the value is read as YAML."""
    path, found, raw = assignment.partition("=")
    if not found or not path:
        raise UsageError(say("assignments", "look like a.b=value", repr(assignment)))
    *parents, last = path.split(".")
    place = content
    for key in parents:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise UsageError(say("assignments", f"name a mapping before `{last}`", repr(path)))
    try:
        place[last] = parse_yaml(raw)
    except ValueError as error:
        raise UsageError(say("assignments", "hold a YAML value", repr(raw))) from error


def read_study(file: Path, assignments: tuple[str, ...]) -> Any:
    """Return the content of a study file with assignments applied, not checked yet."""
    try:
        content = parse_yaml(read_text(file))
    except FileNotFoundError:
        do = "Write one with `equipoise init`."
        raise UsageError(say(str(file), "be a study file", "nothing there", do)) from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UsageError(say(str(file), "be YAML", reason)) from None
    if isinstance(content, dict):
        for assignment in assignments:
            set_value(content, assignment)
    return content


def read_relative(path: str | Path, assignments: tuple[str, ...]) -> Any:
    """Return the content of a study file with changes applied, paths seen from its folder."""
    file = Path(path)
    content = read_study(file, assignments)
    if isinstance(content, dict):
        for part, keys in PATHS.items():
            if isinstance(content.get(part), dict):
                content[part] = seen_from(file.parent, content[part], keys)
    return content


def load_study(
    path: str | Path, assignments: tuple[str, ...] = (), *, verb: Verb = "compare"
) -> Study:
    """Read and check a study file; relative paths are seen from its folder."""
    return parse_study(read_relative(path, assignments), str(path), verb=verb)
