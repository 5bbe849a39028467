"""Hugging Face data sets as rows: images or features, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from equipoise._core.messages import closest, say
from equipoise.artifacts.labels import Kind, Labels
from equipoise.data._rows import Rows
from equipoise.data.decoding import ImageSettings, decode_image, image_tensor
from equipoise.errors import DataError, UsageError
from equipoise.io.coding import DEFAULT, LabelCoding
from equipoise.io.labels import LabelColumns


class _Source(Protocol):
    column_names: Any

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Any: ...


class HuggingFaceRows(Rows):
    """What :func:`from_hugging_face` returns; item i is (image or features, target)."""

    def __init__(
        self, source: _Source, column: str, labels: Labels | None, settings: ImageSettings
    ) -> None:
        self.source = source
        self.column = column
        self.settings = settings
        super().__init__(len(source), labels, "dataset")

    def _input(self, index: int) -> Tensor:
        name = f"row {index}, column {self.column}"
        try:
            value = self.source[index][self.column]
            if hasattr(value, "getexif"):
                return image_tensor(value, name, self.settings)
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(say(name, "be readable", str(error).split("\n")[0])) from error
        if isinstance(value, dict) and {"bytes", "path"} <= set(value):
            encoded = value["bytes"]
            given = encoded if encoded is not None else Path(str(value["path"]))
            return decode_image(given, name, self.settings)
        return _numbers(value, name)


def _numbers(value: Any, name: str) -> Tensor:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(say(name, "be a rectangular array", "rows of two lengths")) from error
    if array.dtype.kind not in "fiub":
        do = "Name a column of images or of numbers."
        raise DataError(say(name, "be an image or numbers", type(value).__name__, do))
    return torch.from_numpy(array.astype(np.float32))


def from_hugging_face(
    dataset: Any,
    column: str,
    *,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    kind: Kind | None = None,
    names: Sequence[str] | None = None,
    coding: LabelCoding = DEFAULT,
    settings: ImageSettings | None = None,
) -> HuggingFaceRows:
    """Take one split of a Hugging Face data set; nothing of that package is imported here.

    Args:
        dataset: What ``datasets.load_dataset(..., split="train")`` returned: it has a length,
            ``column_names``, rows by number and columns by name.
        column: Images (decoded or as bytes), or numbers of one shape per row, as float32.
        label: One column: classes, 0 and 1, or lists of label numbers (then names come from the
            column's ``ClassLabel``, or from ``names``).
        labels: Columns of 0, 1 and -1 or empty (unknown), one per label.
        kind: "multiclass" or "multilabel", where ``label`` alone does not say it.
        names: Class or label names in order; None takes those of a ``ClassLabel``.
        coding: What the entries of ``labels`` stand for, where 1 and 0 is not it.
        settings: Size, mode and dtype of images. Images that the package decodes itself are under
            Pillow's own limit of pixels alone; cast the column to ``Image(decode=False)`` to have
            ``max_pixels`` hold.

    Returns:
        A torch data set; item i is (input, target), or (input, i) without labels.

    Raises:
        UsageError: a whole dictionary of splits, a stream, or both ``label`` and ``labels``.
        DataError: an unknown column, or values that are no labels; on access, a broken image.

    Example:
        >>> class Tiny(list):
        ...     column_names = ["x", "y"]
        ...     def __getitem__(self, key):
        ...         if isinstance(key, str):
        ...             return [row[key] for row in self]
        ...         return super().__getitem__(key)
        >>> rows = Tiny([{"x": [1.0, 2.0], "y": 0}, {"x": [3.0, 4.0], "y": 2}])
        >>> from_hugging_face(rows, "x", label="y", names=["a", "b", "c"])[1]
        (tensor([3., 4.]), tensor(2))
    """
    if isinstance(dataset, dict):
        found = f"a dictionary of splits {sorted(map(str, dataset))}"
        raise UsageError(say("dataset", "be one split", found, 'Pass dataset["train"].'))
    if not all(hasattr(dataset, n) for n in ("__len__", "__getitem__", "column_names")):
        do = "Load it without streaming."
        raise UsageError(
            say("dataset", "have a length, rows and column_names", type(dataset).__name__, do)
        )
    known = [str(c) for c in dataset.column_names]
    for name in [column, *([] if label is None else [label]), *(labels or ())]:
        if name not in known:
            raise DataError(say("column", "be in the data set", repr(name), closest(name, known)))
    truth = _labels(dataset, label, labels, kind, names, coding)
    return HuggingFaceRows(dataset, column, truth, settings or ImageSettings())


def _class_names(dataset: Any, column: str) -> list[str] | None:
    """Return the names of a ClassLabel, alone or in a list, or None."""
    features = getattr(dataset, "features", None) or {}
    feature = features.get(column)
    names = getattr(feature, "names", None) or getattr(
        getattr(feature, "feature", None), "names", None
    )
    return None if names is None else [str(n) for n in names]


def _labels(
    dataset: Any,
    label: str | None,
    labels: Sequence[str] | None,
    kind: Kind | None,
    names: Sequence[str] | None,
    coding: LabelCoding,
) -> Labels | None:
    import polars as pl

    if label is None and labels is None:
        return None
    named = [c for c in (label, *(labels or ())) if c is not None]
    values = {c: list(dataset[c]) for c in named}
    if label is not None and labels is None:
        names = names or _class_names(dataset, label)
        if isinstance(values[label][0], (list, tuple, np.ndarray)):
            return _from_lists(values[label], label, names)
    try:
        frame = pl.DataFrame({c: pl.Series(v) for c, v in values.items()})
    except (TypeError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(say("labels", "be columns of one type", reason)) from error
    columns = LabelColumns(label, labels, kind=kind, names=names, coding=coding)
    return columns.read(frame)


def _from_lists(rows: Sequence[Any], column: str, names: Sequence[str] | None) -> Labels:
    """Return multi-hot labels of lists of label numbers."""
    numbers = [[int(v) for v in row] for row in rows]
    width = len(names) if names is not None else 1 + max(max(r, default=0) for r in numbers)
    hot = np.zeros((len(numbers), width), dtype=np.int8)
    for i, row in enumerate(numbers):
        if row and not 0 <= min(row) <= max(row) < width:
            raise DataError(say(column, f"hold labels 0 to {width - 1}", f"{row} in row {i}"))
        hot[i, row] = 1
    return Labels.from_array(hot, kind="multilabel", names=names)
