"""Tables from files and data frames, with errors that say which row or column is wrong."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._core.cells import plain_frame, plain_names
from equipoise._core.messages import closest, say
from equipoise._core.reading import reading_file
from equipoise.errors import DataError, DataWarning, MissingExtraError

if TYPE_CHECKING:
    import polars as pl

_TEXT = {".csv", ".tsv", ".txt"}
_PARQUET = {".parquet", ".pq"}
_EXCEL = {".xlsx", ".xlsm"}
_SEPARATORS = (",", ";", "\t", "|")
# 1,5 and 0,125 are numbers with a decimal comma; 1,250 may be one, or a thousand and more.
_DECIMAL_COMMA = r"^\s*[+-]?\d+(,\d+)?([eE][+-]?\d+)?\s*$"
_MAYBE_THOUSANDS = r"^\s*[+-]?[1-9]\d{0,2}(,\d{3})?\s*$"


def is_table_path(path: Path) -> bool:
    """Whether the file name says that it is a table."""
    return path.suffix.lower() in _TEXT | _PARQUET | _EXCEL


def separator_of(header: str, first: str) -> str:
    """Return the mark that parts the header into most fields, and the first row into as many.

    A name, or text in a row, may hold one of the other marks. Of equals the comma comes first.
    """

    def fields(line: str, mark: str) -> int:
        return len(next(csv.reader([line], delimiter=mark), []))

    widths = {mark: fields(header, mark) for mark in _SEPARATORS}
    fitting = [mark for mark in _SEPARATORS if not first or fields(first, mark) == widths[mark]]
    widest, most = max(_SEPARATORS, key=lambda mark: widths[mark]), max(widths.values())
    best = max(fitting, key=lambda mark: widths[mark], default=widest)
    # Where only one field would fit, a row is ragged: the header decides, and the reader says so.
    return best if widths[best] > 1 or most == 1 else widest


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


def _no_utf8(path: Path) -> DataError:
    """Return an error that says where a text is no UTF-8, and what it may be instead."""
    data = path.read_bytes()
    got = "other bytes"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        got = "UTF-16"
    else:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
            got = f"byte 0x{byte:02x} in line {line}"
            got += f" ({chr(byte)!r} in Latin-1)" if byte >= 0xA0 else ""
    return DataError(say(str(path), "be UTF-8 text", got, "Save it as UTF-8."))


def _checked_separator(path: Path) -> str:
    """Return the separator of a CSV, its header checked."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            header, first = lines.readline(), lines.readline()
    except UnicodeDecodeError as error:
        raise _no_utf8(path) from error
    if header.endswith("\r"):
        do = "Save it with the line ends of Windows or Unix."
        raise DataError(say(str(path), "end its lines with a line feed", "carriage returns", do))
    separator = separator_of(header, first)
    _check_header(path, next(csv.reader([header], delimiter=separator), []))
    return separator


def _read_text(path: Path) -> pl.DataFrame:
    import polars as pl

    separator = _checked_separator(path)
    try:
        frame = pl.read_csv(path, separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise DataError(say(str(path), "hold a header and rows", "an empty file")) from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n")[0]
        if "utf-8" in reason:
            raise _no_utf8(path) from error
        _check_ragged(path, separator)
        raise DataError(say(str(path), "be a CSV table", reason)) from error
    if frame.height and frame[:, -1].null_count():  # polars fills rows that are too short
        _check_ragged(path, separator)
    return frame


def _read_excel(path: Path) -> pl.DataFrame:
    """Read the first sheet of a workbook; its first row is the header."""
    import polars as pl

    try:
        from openpyxl import load_workbook
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("openpyxl", "excel", f"Reading {path.name}") from error
    wanted = "be an Excel workbook"
    with reading_file(path, wanted):
        book = load_workbook(path, read_only=True, data_only=True)
    try:
        if not book.worksheets:
            raise DataError(say(str(path), "hold a sheet of cells", "none"))
        sheet = book.worksheets[0]
        if len(book.worksheets) > 1:
            others = ", ".join(repr(s.title) for s in book.worksheets[1:])
            warnings.warn(
                f"`{path}` has several sheets: {sheet.title!r} is read, and {others} not.",
                DataWarning,
                stacklevel=3,
            )
        # Cells are parsed as they are asked for.
        with reading_file(path, wanted):
            rows = [[_cell_text(v) for v in row] for row in sheet.iter_rows(values_only=True)]
    finally:
        book.close()
    rows = [row for row in rows if any(v is not None for v in row)]
    if not rows:
        raise DataError(say(str(path), "hold a header and rows", "an empty sheet"))
    width = max(i + 1 for row in rows for i, v in enumerate(row) if v is not None)
    header, *body = ([*row[:width], *[None] * (width - len(row))] for row in rows)
    nameless = [i + 1 for i, name in enumerate(header) if name is None]
    if nameless:
        raise DataError(say(str(path), "name every column", f"none for column {nameless[0]}"))
    names = [str(name) for name in header]
    _check_header(path, names)
    return pl.DataFrame(body, schema=dict.fromkeys(names, pl.String), orient="row")


def _cell_text(value: Any) -> str | None:
    """Return a cell as a CSV would hold it: whole numbers without a point, dates as ISO 8601."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)


def read_table(path: str | Path, *, as_written: bool = False) -> pl.DataFrame:
    """Read a CSV, Parquet or Excel file.

    A CSV is UTF-8 (a byte-order mark is left out), with a header and the line ends of Unix or
    Windows; its separator is the comma, semicolon, tab or bar that parts the header into most
    fields, and the first row into as many. All its columns are text, exactly as written, since an
    id 0000300, a class 01 or a price 1.50 is not what a number makes of it; :func:`as_numbers`
    makes numbers of those that are. Only the quote that keeps spreadsheets from running a cell,
    ``'=1+1``, is taken away again: files of equipoise have it, and others that follow OWASP.

    Of an Excel workbook the first sheet is read, as a CSV of it would be. There an id 0000300 must
    be text already: a cell that holds a number has no zeros in front.

    Args:
        path: A .csv, .tsv, .txt, .parquet, .pq, .xlsx or .xlsm file; the last two need the extra
            "excel".
        as_written: Leave that quote, to write the cells again as they were.

    Returns:
        A polars DataFrame with at least one row; an empty entry is null.

    Raises:
        DataError: no such file, an empty or unreadable one, rows of different length, repeated
            column names.
        MissingExtraError: an Excel file without openpyxl.

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
        with reading_file(path, "be a Parquet file"):
            frame = pl.read_parquet(file)
    elif file.suffix.lower() in _TEXT:
        frame = _read_text(file)
        frame = frame if as_written else plain_frame(frame)
    elif file.suffix.lower() in _EXCEL:
        frame = _read_excel(file)
    else:
        expected = "be a .csv, .tsv, .parquet or .xlsx file"
        raise DataError(say(str(path), expected, f"'{file.suffix}'", "Convert it."))
    if frame.height == 0:
        raise DataError(say(str(path), "have at least one row", "only a header"))
    return frame


def scan_table(path: str | Path) -> pl.LazyFrame:
    """Return a file as a lazy frame, to be read in batches; see `read_table`.

    An Excel file is read at once. Of a CSV, cells that :func:`read_table` unquotes are as written.

    Raises:
        DataError: a CSV that is no UTF-8 text or repeats a column name.
    """
    import polars as pl

    file = Path(path)
    if file.suffix.lower() in _PARQUET:
        return pl.scan_parquet(file)
    if file.suffix.lower() in _EXCEL:
        return read_table(file).lazy()
    found = pl.scan_csv(file, separator=_checked_separator(file), infer_schema=False)
    return found.rename(plain_names(found.collect_schema().names()))


def as_numbers(frame: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return columns of a table, text that holds nothing but numbers made float64.

    Numbers may have a decimal comma, 1,5; a column in which all could be thousands as well, as
    1,250, stays text. Text that is all true and false becomes Boolean. Other columns are as they
    were: the caller says what is wrong with them.

    Args:
        frame: A table, for example of :func:`read_table`.
        columns: Those to return, in order; None returns all.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame({"a": ["1.50", None], "b": ["x", "1"], "c": ["1,5", "0,125"]})
        >>> as_numbers(table).rows()
        [(1.5, 'x', 1.5), (None, '1', 0.125)]
    """
    import polars as pl

    chosen = frame if columns is None else frame.select(columns)
    made = []
    for name in chosen.columns:
        column = chosen[name]
        if column.dtype.is_decimal() or str(column.dtype).endswith("128"):
            made.append(column.cast(pl.Float64))  # NumPy has neither
        if column.dtype != pl.String:
            continue
        numbers = _decimal(column).cast(pl.Float64, strict=False)
        if numbers.null_count() == column.null_count() < len(column):
            made.append(numbers)
        elif set(column.drop_nulls().unique().to_list()) in (
            {"true"},
            {"false"},
            {"true", "false"},
        ):
            made.append(pl.Series(name, [None if v is None else v == "true" for v in column]))
    return chosen.with_columns(made)


def _decimal(column: pl.Series) -> pl.Series:
    """Return text with decimal points for commas, where they can be nothing else."""
    known = column.drop_nulls()
    if not known.str.contains(",", literal=True).any():
        return column
    if not known.str.contains(_DECIMAL_COMMA).all() or known.str.contains(_MAYBE_THOUSANDS).all():
        return column
    return column.str.replace(",", ".", literal=True)


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


def require_columns(
    frame: pl.DataFrame, argument: str, names: Sequence[str], *, once: bool = False
) -> None:
    """Raise unless every name is a column, and name the nearest one; ``once``, none is repeated."""
    for place, name in enumerate(names):
        if once and name in names[:place]:
            raise DataError(say(argument, "name each column once", f"{name!r} twice"))
        if name not in frame.columns:
            raise DataError(
                say(argument, "name columns of the table", repr(name), closest(name, frame.columns))
            )
