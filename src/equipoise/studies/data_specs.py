"""The data part of a training study: where rows come from and how they are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from equipoise.studies.study_data import Coded, Strict


class _Labelled(Coded):
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

DATA_SPECS: dict[str, type[BaseModel]] = {
    "images": ImageFilesData,
    "image_bytes": ImageBytesData,
    "image_folder": ImageFolderData,
    "cifar": CifarData,
    "sequences": SequenceData,
    "arrays": ArrayData,
    "table": TableRows,
}
