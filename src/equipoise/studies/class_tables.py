"""Recall and precision per class from a CSV, as tables in papers and logs have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.words import hint, say
from equipoise.diagnosis import ClassTable
from equipoise.errors import DataError
from equipoise.io import as_numbers, read_table

if TYPE_CHECKING:
    import polars as pl

_KINDS = ("recall_train", "train_recall", "recall", "precision")


def read_class_table(path: str | Path, support: int | None = None) -> ClassTable:
    """Read one row per class.

    Args:
        path: CSV or Parquet. The first column names the classes; "support" is the number of test
            rows; shares are written as 0.52, 52 or 52%; "recall", "precision" and "recall_train"
            belong to one run, and
            "focal_recall" or "recall_focal" to the run "focal".
        support: Test rows of each class, where the table does not say.

    Raises:
        DataError: no recall, no support, or numbers outside [0, 1] (or [0, 100]).
    """
    table = read_table(path)
    columns: dict[str, dict[str, Any]] = {"recall": {}, "precision": {}, "recall_train": {}}
    read: list[tuple[str, str, NDArray[np.float64], bool]] = []
    marked, plain_above = False, False
    for name in table.columns[1:]:
        kind = next((k for k in _KINDS if k in name.lower()), None)
        if kind is None:
            continue
        run = name.lower().replace(kind, "").strip("_ -") or "run"
        values, percent = _shares(str(path), table[name])
        marked |= percent
        plain_above |= not percent and bool((np.nan_to_num(values) > 1).any())
        read.append(("recall_train" if "train" in kind else kind, run, values, percent))
    digits = 0
    for kind, run, values, percent in read:
        # A column that is marked says so itself; the others are percentages all or none.
        divided = percent or (marked and plain_above)
        columns[kind][run] = values / 100 if divided else values
        digits = max(digits, _digits(values) + (2 if divided else 0))
    if not columns["recall"]:
        do = "Name the columns recall and precision, or RUN_recall and RUN_precision."
        raise DataError(say(str(path), "hold a column with recall", table.columns, do))
    if support is not None:
        rows: Any = support
    elif "support" in table.columns:
        rows = as_numbers(table, ["support"])["support"].to_numpy()
        if rows.dtype.kind not in "fiu":
            raise DataError(say(f"{path}, column support", "hold numbers", table["support"][0]))
    else:
        do = hint("Give it: {support=50}, or a column `support`.")
        raise DataError(say(str(path), "say how many test rows each class has", "nothing", do))
    names = tuple(str(v) for v in table[table.columns[0]].to_list())
    return ClassTable.from_columns(
        names, rows, columns["recall"], columns["precision"], columns["recall_train"], digits
    )


def _shares(path: str, column: pl.Series) -> tuple[NDArray[np.float64], bool]:
    """Return the numbers of a column and whether they carry a percent sign; empty is NaN."""
    texts = ["" if v is None else str(v).strip() for v in column.to_list()]
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        number = text.removesuffix("%").strip()
        try:
            values[row] = float(number) if number else np.nan
        except ValueError:
            do = "Write numbers as 0.52, 52 or 52%, and leave what is not known empty."
            where = f"{path}, column {column.name}"
            raise DataError(say(where, "hold numbers", f"{text!r} in row {row}", do)) from None
    if np.isnan(values).all():
        where = f"{path}, column {column.name}"
        raise DataError(say(where, "hold a number somewhere", "none", "Leave the column out."))
    return values, any(text.endswith("%") for text in texts)


def _digits(values: Any) -> int:
    """Return the decimals that are printed, 4 at most."""
    known = values[np.isfinite(values)]
    for digits in range(5):
        if np.allclose(np.round(known, digits), known, atol=1e-9):
            return digits
    return 4
