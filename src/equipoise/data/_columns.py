"""Columns of tables beside labels: which are read, and the labels in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._core.words import say
from equipoise.artifacts.labels import Kind, Labels
from equipoise.errors import DataError
from equipoise.io.coding import DEFAULT, LabelCoding
from equipoise.io.labels import labels_from_table
from equipoise.io.tables import require_columns

if TYPE_CHECKING:
    import polars as pl


class LabelColumns:
    """Where the labels of a table stand; see :func:`equipoise.io.read_labels`."""

    def __init__(
        self,
        label: str | None,
        labels: Sequence[str] | None,
        delimiter: str,
        kind: Kind | None,
        id_column: str | None,
        group_column: str | None,
        names: Sequence[str] | None,
        coding: LabelCoding = DEFAULT,
    ) -> None:
        self.label, self.labels, self.delimiter, self.kind = label, labels, delimiter, kind
        self.id_column, self.group_column, self.names = id_column, group_column, names
        self.coding = coding

    @property
    def named(self) -> list[str]:
        """All columns that are named."""
        some = [self.label, *(self.labels or ()), self.id_column, self.group_column]
        return [c for c in some if c is not None]

    def read(self, frame: pl.DataFrame, fallback_id: str | None = None) -> Labels | None:
        """Return the labels, or None where no column of labels is named."""
        require_columns(frame, "columns", self.named)
        if self.label is None and self.labels is None:
            return None
        known = self.id_column
        if known is None and fallback_id is not None and frame[fallback_id].is_unique().all():
            known = fallback_id
        return labels_from_table(
            frame,
            self.label,
            self.labels,
            self.delimiter,
            self.kind,
            known,
            self.group_column,
            self.names,
            self.coding,
        )


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
        try:
            schema = pl.read_parquet_schema(file)
            require_columns(pl.DataFrame(schema=schema), f"columns of {file}", columns)
            frames.append(pl.read_parquet(file, columns=list(dict.fromkeys(columns))))
        except pl.exceptions.PolarsError as error:
            reason = str(error).split("\n")[0]
            raise DataError(say(str(file), "be a Parquet file", reason)) from error
    try:
        frame = pl.concat(frames)
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n")[0]
        raise DataError(say("source", "be files of one schema", reason)) from error
    if frame.height == 0:
        raise DataError(say("source", "have at least one row", "none"))
    return frame
