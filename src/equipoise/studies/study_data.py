"""The parts of a study file that name its data and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from equipoise.io import LabelCoding

DATA_PATHS = ("path", "test_path", "root", "table", "offsets")


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


class TableData(Coded):
    """A feature table: one row per example, numeric columns are features."""

    source: Literal["table"] = "table"
    path: str
    test_path: str | None = None
    label: str | None = None
    labels: list[str] | None = None
    delimiter: str = "|"
    kind: Literal["multiclass", "multilabel"] | None = None
    id: str | None = None
    group: str | None = None


class DigitsData(Strict):
    """scikit-learn's digits with pixel noise."""

    source: Literal["digits"]
    noise: float = Field(0.0, ge=0)
    seed: int = 0


class MosaicData(Strict):
    """2 x 2 mosaics of scikit-learn's digits, four labels."""

    source: Literal["digit_mosaics"]
    rows: int = Field(6000, ge=100)
    test_rows: int = Field(3000, ge=100)
    noise: float = Field(0.5, ge=0)
    blocks: int = Field(30, ge=2)
    test_blocks: int = Field(30, ge=1)
    seed: int = 0


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


class LongTailSpec(Strict):
    """A balanced test set and balanced validation rows, then training rows thinned to a tail."""

    how: Literal["long_tail"]
    shape: Literal["exp", "step"] = "exp"
    imbalance_ratio: float = Field(gt=1)
    val_per_class: int = Field(ge=1)
    test_per_class: int = Field(ge=1)
    seed: int = 0


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
