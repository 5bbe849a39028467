"""Copies among the rows of a label table or a class folder, for ``equipoise split``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from equipoise.artifacts import Finding, Labels, Split
from equipoise.io import as_numbers, read_table
from equipoise.io.tables import is_table_path
from equipoise.splits import Copies, audit_split, copies_finding, feature_contents, find_copies
from equipoise.studies.rows import file_contents


def table_copies(source: Path, labels: Labels, named: Sequence[str | None]) -> Copies | None:
    """Return which rows of a source are copies, joined with the groups; None if nobody knows.

    Of a class folder the files tell; of a table its other columns, if all of them hold numbers: a
    table with other text describes files, and two files may be described alike.

    Args:
        source: Table or class folder.
        labels: Read from it.
        named: Columns that hold labels, ids or groups.
    """
    if source.is_dir():
        if labels.ids is None:
            return None
        return find_copies(file_contents([source / i for i in labels.ids.tolist()]), labels.groups)
    if not is_table_path(source):
        return None
    import polars as pl

    frame = read_table(source)
    rest = as_numbers(frame, [c for c in frame.columns if c not in named])
    if not rest.columns or not all(t.is_numeric() or t == pl.Boolean for t in rest.dtypes):
        return None
    unique = [c for c in rest.columns if rest[c].is_unique().all()]
    features = rest.drop([c for c in unique if bool((rest[c] % 1 == 0).all())])  # ids, not named
    values = features.cast(dict.fromkeys(features.columns, float)).fill_null(np.nan).to_numpy()
    return find_copies(feature_contents(values), labels.groups)


def told_of(copies: Copies | None, splits: Sequence[Split], labels: Labels) -> list[Finding]:
    """Return what is to be said of copies: kept together, or in several parts of a long tail."""
    if copies is None or copies.units is None:
        return []
    if all("copies" in split.proof for split in splits):
        return [copies_finding(copies.to_dict(), labels)]
    return [f for split in splits for f in audit_split(split, labels, hashes=copies.units)
            if f.code == "EQ202"]  # fmt: skip
