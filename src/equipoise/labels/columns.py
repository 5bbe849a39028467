"""Columns of labels: classes, delimited labels, or one binary label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import closest, say
from equipoise.artifacts.labels import UNKNOWN, Kind
from equipoise.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["binary_column", "class_column", "label_column"]


def class_column(
    values: Sequence[Any], what: str, names: Sequence[str] | None
) -> tuple[NDArray[np.int64], list[str]]:
    """Return class indices and names of a column of class names or numbers."""
    missing = [row for row, value in enumerate(values) if value is None or value == ""]
    if missing:
        raise DataError(
            say(
                what,
                "have one class in each row",
                f"{len(missing)} empty entries (first: row {missing[0]})",
                'Leave those rows out; if empty means "no label", pass kind="multilabel".',
            )
        )
    distinct = sorted(set(values))
    if names is None and len(distinct) < 2:
        raise DataError(
            say(
                what,
                "hold at least two classes",
                f"only '{distinct[0]}'",
                "Give names= to list the classes, or check that this is the label column.",
            )
        )
    known = [str(d) for d in distinct] if names is None else list(names)
    index: dict[Any, int] = {name: i for i, name in enumerate(known)}
    numeric = all(isinstance(d, int) for d in distinct)
    if numeric and not all(str(d) in index for d in distinct):
        index = {str(i): i for i in range(len(known))}
    for value in distinct:
        if str(value) not in index:
            raise DataError(say(what, "hold only names", repr(value), closest(str(value), known)))
    position = {value: index[str(value)] for value in distinct}
    return np.asarray([position[v] for v in values], dtype=np.int64), known


def _delimited(
    values: Sequence[str | None], what: str, delimiter: str, names: Sequence[str] | None
) -> tuple[NDArray[np.int8], list[str]]:
    """Return multi-hot values and names of a column such as "A|D"; empty means no label."""
    distinct = dict.fromkeys(values)
    rows = [[p.strip() for p in (v or "").split(delimiter) if p.strip()] for v in distinct]
    found = sorted({part for row in rows for part in row})
    known = found if names is None else list(names)
    if not known:
        raise DataError(say(what, "hold at least one label", "only empty entries"))
    index = {name: i for i, name in enumerate(known)}
    for part in found:
        if part not in index:
            raise DataError(say(what, "hold only names", repr(part), closest(part, known)))
    hot = np.zeros((len(rows), len(known)), dtype=np.int8)
    for i, row in enumerate(rows):
        hot[i, [index[part] for part in row]] = 1
    position = {value: i for i, value in enumerate(distinct)}
    return hot[[position[v] for v in values]], known


def binary_column(column: pl.Series, what: str) -> NDArray[np.int8]:
    """Return 0, 1 and -1 (empty) of one label's column."""
    import polars as pl

    text = column.dtype == pl.String
    filled = column.replace("", None) if text else column
    try:
        number = filled.cast(pl.Float64, strict=False).fill_nan(None)
    except pl.exceptions.PolarsError:
        number = pl.Series([None] * len(column), dtype=pl.Float64)
    values = number.fill_null(UNKNOWN).to_numpy()
    empty = filled.is_null().to_numpy()
    if not text and column.dtype.is_float():
        empty |= column.is_nan().fill_null(value=True).to_numpy()
    wrong = ~np.isin(values, (0, 1, UNKNOWN)) | (number.is_null().to_numpy() & ~empty)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            say(
                what,
                "hold 0, 1, -1 or empty (unknown)",
                f"{column[row]!r} in row {row}",
                "One column of class names is label=, not labels=.",
            )
        )
    return np.asarray(values, dtype=np.int8)


def label_column(
    column: pl.Series, delimiter: str, kind: Kind | None, names: Sequence[str] | None
) -> tuple[NDArray[Any], Kind, list[str]]:
    """Read one column: classes, delimited labels, or one binary label."""
    import polars as pl

    what = f"column {column.name}"
    if column.dtype.is_float() and (column.drop_nans().drop_nulls() % 1 == 0).all():
        column = column.fill_nan(None).cast(pl.Int64)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if not (column.dtype.is_integer() or column.dtype in (pl.String, pl.Boolean)):
        raise DataError(
            say(what, "hold class names, whole numbers or 0 and 1", f"type {column.dtype}")
        )
    text = column.dtype == pl.String
    if text and kind is None and column.str.contains(delimiter, literal=True).any():
        kind = "multilabel"
    distinct = set(column.drop_nulls().unique().to_list())
    binary = not text and distinct <= {0, 1, UNKNOWN} and (names is None or len(names) == 1)
    if kind == "multilabel" and text:
        hot, known = _delimited(column.to_list(), what, delimiter, names)
        return hot, "multilabel", known
    if kind == "multilabel" or (kind is None and binary and {0, 1} <= distinct):
        one = list(names) if names is not None else [column.name]
        return binary_column(column, what)[:, None], "multilabel", one
    plain = column.cast(pl.Int64) if column.dtype == pl.Boolean else column
    classes, known = class_column(plain.to_list(), what, names)
    return classes, "multiclass", known
