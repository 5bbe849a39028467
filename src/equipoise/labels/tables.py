"""Tables from files and data frames, with errors that say which row or column is wrong."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._core.checks import closest, say
from equipoise.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["as_numbers", "is_table_path", "read_table", "require_columns", "scan_table", "to_table"]

_TEXT = {".csv", ".tsv", ".txt"}
_PARQUET = {".parquet", ".pq"}


def is_table_path(path: Path) -> bool:
    """Whether the file name says that it is a table."""
    return path.suffix.lower() in _TEXT | _PARQUET


def _separator(header: str) -> str:
    """Return the comma, unless the header has none and has semicolons or tabs."""
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _ragged_row(path: Path, separator: str) -> str | None:
    """Describe the first row whose number of fields differs from the header's."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.reader(lines, delimiter=separator)
        width = len(next(rows))
        for row in rows:
            if row and len(row) != width:
                return f"{len(row)} fields in line {rows.line_num}, {width} in the header"
    return None


def _check_ragged(path: Path, separator: str) -> None:
    found = _ragged_row(path, separator)
    if found is not None:
        raise DataError(
            say(
                str(path),
                "have as many fields in each row as in its header",
                found,
                f"Fix that line; text that contains '{separator}' must stand in quotes.",
            )
        )


def _check_header(path: Path, names: Sequence[str]) -> None:
    twice = sorted({n for n in names if list(names).count(n) > 1})
    if twice:
        raise DataError(say(str(path), "have distinct column names", f"{twice} more than once"))


def _separator_of(path: Path) -> str:
    """Return the separator of a CSV, its header checked."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            header = lines.readline()
    except UnicodeDecodeError as error:
        raise DataError(say(str(path), "be UTF-8 text", str(error), "Save it as UTF-8.")) from error
    separator = _separator(header)
    _check_header(path, next(csv.reader([header], delimiter=separator), []))
    return separator


def _read_text(path: Path) -> pl.DataFrame:
    import polars as pl

    separator = _separator_of(path)
    try:
        frame = pl.read_csv(path, separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise DataError(say(str(path), "hold a header and rows", "an empty file")) from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n")[0]
        if "utf-8" in reason:
            raise DataError(say(str(path), "be UTF-8 text", reason, "Save it as UTF-8.")) from error
        _check_ragged(path, separator)
        raise DataError(say(str(path), "be a CSV table", reason)) from error
    if frame.height and frame[:, -1].null_count():  # polars fills rows that are too short
        _check_ragged(path, separator)
    return frame


def read_table(path: str | Path) -> pl.DataFrame:
    """Read a CSV or Parquet file.

    A CSV is UTF-8, with a header; its separator is the comma, or the semicolon or tab where the
    header holds no comma. All its columns are text, exactly as written, since an id 0000300, a
    class 01 or a price 1.50 is not what a number makes of it; :func:`as_numbers` makes numbers of
    those that are.

    Args:
        path: A .csv, .tsv, .txt, .parquet or .pq file.

    Returns:
        A polars DataFrame with at least one row; an empty entry is null.

    Raises:
        DataError: no such file, an empty or unreadable one, rows of different length, repeated
            column names.

    Example:
        >>> read_table("no_such.csv")
        Traceback (most recent call last):
        ...
        equipoise.errors.DataError: `no_such.csv` must be a file, got nothing there. Check the path.
    """
    import polars as pl

    file = Path(path)
    if not file.is_file():
        found = "a folder" if file.is_dir() else "nothing there"
        raise DataError(say(str(path), "be a file", found, "Check the path."))
    if file.suffix.lower() in _PARQUET:
        try:
            frame = pl.read_parquet(file)
        except pl.exceptions.PolarsError as error:
            reason = str(error).split("\n")[0]
            raise DataError(say(str(path), "be a Parquet file", reason)) from error
    elif file.suffix.lower() in _TEXT:
        frame = _read_text(file)
    else:
        raise DataError(
            say(str(path), "be a .csv, .tsv or .parquet file", f"'{file.suffix}'", "Convert it.")
        )
    if frame.height == 0:
        raise DataError(say(str(path), "have at least one row", "only a header"))
    return frame


def scan_table(path: str | Path) -> pl.LazyFrame:
    """Return a CSV or Parquet file as a lazy frame, to be read in batches; see `read_table`.

    Raises:
        DataError: a CSV that is no UTF-8 text or repeats a column name.
    """
    import polars as pl

    file = Path(path)
    if file.suffix.lower() in _PARQUET:
        return pl.scan_parquet(file)
    return pl.scan_csv(file, separator=_separator_of(file), infer_schema=False)


def as_numbers(frame: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return columns of a table, text that holds nothing but numbers made float64.

    Text that is all true and false becomes Boolean. Other columns are as they were: the caller
    says what is wrong with them.

    Args:
        frame: A table, for example of :func:`read_table`.
        columns: Those to return, in order; None returns all.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame({"a": ["1.50", None], "b": ["x", "1"], "c": [1, 2]})
        >>> as_numbers(table).dtypes
        [Float64, String, Int64]
    """
    import polars as pl

    chosen = frame if columns is None else frame.select(columns)
    made = []
    for name in chosen.columns:
        column = chosen[name]
        if column.dtype != pl.String:
            continue
        numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() == column.null_count() < len(column):
            made.append(numbers)
        elif set(column.drop_nulls().unique().to_list()) in (
            {"true"},
            {"false"},
            {"true", "false"},
        ):
            made.append(pl.Series(name, [None if v is None else v == "true" for v in column]))
    return chosen.with_columns(made)


def _plain_list(values: list[Any]) -> list[Any]:
    # pandas marks a missing entry of its nullable columns by an object of its own.
    return [
        None if type(v).__name__ == "NAType" or (isinstance(v, float) and np.isnan(v)) else v
        for v in values
    ]


def to_table(frame: Any) -> pl.DataFrame:
    """Return any data frame that narwhals knows (pandas, polars, ...) as a polars DataFrame."""
    import narwhals as nw
    import polars as pl

    try:
        native: Any = nw.from_native(frame)
    except TypeError as error:
        raise DataError(
            say(
                "source",
                "be a path, an array or a data frame",
                type(frame).__name__,
                "Pass a file, a folder, a NumPy array, or a pandas or polars table.",
            )
        ) from error
    if isinstance(native, nw.LazyFrame):
        native = native.collect(backend="polars")
    table = native.to_native()
    if not isinstance(table, pl.DataFrame):
        columns = {str(n): native[n] for n in native.columns}
        table = pl.DataFrame(
            {
                name: column.to_numpy()
                if column.dtype.is_numeric() and column.null_count() == 0
                else pl.Series(name, _plain_list(column.to_list()), strict=False)
                for name, column in columns.items()
            }
        )
    if table.height == 0:
        raise DataError(say("source", "have at least one row", "none"))
    return table


def require_columns(frame: pl.DataFrame, argument: str, names: Sequence[str]) -> None:
    """Raise unless every name is a column, and name the nearest one."""
    for name in names:
        if name not in frame.columns:
            raise DataError(
                say(argument, "name columns of the table", repr(name), closest(name, frame.columns))
            )
