"""Columns of tables beside labels: which are read, and the labels in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._core.messages import say
from equipoise._core.reading import reading_file
from equipoise.artifacts import Labels
from equipoise.errors import DataError
from equipoise.io.labels import LabelColumns
from equipoise.io.tables import require_columns

if TYPE_CHECKING:
    import polars as pl


def read_if_named(
    columns: LabelColumns, frame: pl.DataFrame, fallback_id: str | None = None
) -> Labels | None:
    """Return the labels of a table, or None where no column of labels is named.

    Args:
        columns: Where labels stand.
        frame: The table.
        fallback_id: Column that names rows where none is, if its entries are unique.
    """
    columns.require_in(frame)
    if columns.label is None and columns.labels is None:
        return None
    if (
        columns.id_column is None
        and fallback_id is not None
        and frame[fallback_id].is_unique().all()
    ):
        columns = replace(columns, id_column=fallback_id)
    return columns.read(frame)


def read_parquet_columns(
    source: str | Path | Sequence[str | Path], columns: Sequence[str]
) -> pl.DataFrame:
    """Read some columns of one or several Parquet files, one below the other.

    Raises:
        DataError: a missing or unreadable file, or one without these columns.

    Example:
        >>> read_parquet_columns("no_such.parquet", ["jpeg"])
        Traceback (most recent call last):
        ...
        equipoise.errors.DataError: `no_such.parquet` must be a Parquet file, got nothing there.
    """
    import polars as pl

    files = [source] if isinstance(source, (str, Path)) else list(source)
    if not files:
        raise DataError(say("source", "be at least one Parquet file", "none"))
    frames = []
    for file in map(Path, files):
        if not file.is_file():
            found = "a folder" if file.is_dir() else "nothing there"
            raise DataError(say(str(file), "be a Parquet file", found))
        with reading_file(file, "be a Parquet file"):
            schema = pl.read_parquet_schema(file)
        require_columns(pl.DataFrame(schema=schema), f"columns of {file}", columns)
        with reading_file(file, "be a Parquet file"):
            frames.append(pl.read_parquet(file, columns=list(dict.fromkeys(columns))))
    try:
        frame = pl.concat(frames)
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n")[0]
        raise DataError(say("source", "be files of one schema", reason)) from error
    if frame.height == 0:
        raise DataError(say("source", "have at least one row", "none"))
    return frame
