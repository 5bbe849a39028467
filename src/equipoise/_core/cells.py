"""Text in CSV files that a spreadsheet would run as a formula, and back.

A cell that begins with = + - @, a tab or a line end is run by spreadsheets when a file is opened.
OWASP (CSV Injection) puts a single quote before it, and so is every text written here: ids, names,
column names. Numbers stay as they are, -5 too: they do nothing. So that nothing is lost, quotes
before such a sign are themselves quoted, and readers take one quote away again:
``=1+1`` is written as ``'=1+1``, and ``'=1+1`` as ``''=1+1``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

# Full-width signs are taken for the others by some. Both expressions are Python's and Rust's.
_SIGNS = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_RUN = f"^'*{_SIGNS}"
_QUOTED = f"^'('*{_SIGNS})"
_NUMBER = r"^[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?%?\z"
_is_run = re.compile(_RUN).match
_is_quoted = re.compile(_QUOTED).match
_is_number = re.compile(_NUMBER.replace(r"\z", r"\Z")).match


def safe_cell(text: str) -> str:
    """Return a text as a CSV may hold it.

    Example:
        >>> [safe_cell(t) for t in ("=1+1", "'=1+1", "-5", "-5a", "a=b")]
        ["'=1+1", "''=1+1", '-5', "'-5a", 'a=b']
    """
    return f"'{text}" if _is_run(text) and not _is_number(text) else text


def plain_cell(text: str) -> str:
    """Return the text that :func:`safe_cell` wrote.

    Example:
        >>> [plain_cell(t) for t in ("'=1+1", "''=1+1", "-5", "'tis")]
        ['=1+1', "'=1+1", '-5', "'tis"]
    """
    return text[1:] if _is_quoted(text) else text


def safe_frame(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return a table as a CSV may hold it, and how many of its cells had to be changed."""
    import polars as pl

    made, changed = [], 0
    for name, kind in frame.schema.items():
        if kind not in (pl.String, pl.Categorical, pl.Enum):
            continue
        column = frame[name].cast(pl.String)
        run = column.str.contains(_RUN).fill_null(value=False)
        if not run.any():
            continue
        run &= ~column.str.contains(_NUMBER).fill_null(value=False)
        changed += int(run.sum())
        quoted = pl.when(run).then(pl.lit("'") + column).otherwise(column)
        made.append(pl.select(quoted.alias(name)).to_series())
    return frame.with_columns(made).rename({n: safe_cell(n) for n in frame.columns}), changed


def plain_text(column: pl.Expr) -> pl.Expr:
    """Return a text column as it was before :func:`safe_frame`."""
    return column.str.replace(_QUOTED, "${1}")


def plain_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table of a CSV as it was before :func:`safe_frame`."""
    import polars as pl

    quoted = [
        name
        for name, kind in frame.schema.items()
        if kind == pl.String and frame[name].str.starts_with("'").any()
    ]
    plain = frame.with_columns(plain_text(pl.col(n)) for n in quoted)
    return plain.rename(plain_names(frame.columns))


def plain_names(names: Sequence[str]) -> dict[str, str]:
    """Return which columns of a CSV have another name than is written there.

    Two columns never get one name: where they would, they stay as they are written.

    Example:
        >>> plain_names(["'=A", "B"]), plain_names(["'=A", "=A"])
        ({"'=A": '=A'}, {})
    """
    found = {name: plain_cell(name) for name in names if plain_cell(name) != name}
    after = [found.get(name, name) for name in names]
    return found if len(set(after)) == len(after) else {}


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as the text of a CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in ([*head], *rows):
        writer.writerow([safe_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()
