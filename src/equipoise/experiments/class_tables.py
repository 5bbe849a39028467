"""Recall and precision per class from a CSV, as tables in papers and logs have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.checks import say
from equipoise.diagnosis import ClassTable
from equipoise.errors import DataError
from equipoise.labels import read_table

__all__ = ["read_class_table"]

_KINDS = ("recall_train", "train_recall", "recall", "precision")


def read_class_table(path: str | Path, support: int | None = None) -> ClassTable:
    """Read one row per class.

    Args:
        path: CSV or Parquet. The first column names the classes; "support" is the number of test
            rows; "recall", "precision" and "recall_train" belong to one run, and
            "focal_recall" or "recall_focal" to the run "focal".
        support: Test rows of each class, where the table does not say.

    Raises:
        DataError: no recall, no support, or numbers outside [0, 1] (or [0, 100]).
    """
    table = read_table(path)
    columns: dict[str, dict[str, Any]] = {"recall": {}, "precision": {}, "recall_train": {}}
    digits = 0
    for name in table.columns[1:]:
        kind = next((k for k in _KINDS if k in name.lower()), None)
        if kind is None:
            continue
        run = name.lower().replace(kind, "").strip("_ -") or "run"
        values = table[name].cast(float, strict=False).to_numpy()
        digits = max(digits, _digits(values))
        columns["recall_train" if "train" in kind else kind][run] = values
    if not columns["recall"]:
        do = "Name the columns recall and precision, or RUN_recall and RUN_precision."
        raise DataError(say(str(path), "hold a column with recall", table.columns, do))
    if support is not None:
        rows: Any = support
    elif "support" in table.columns:
        rows = table["support"].to_numpy()
    else:
        do = "Give it: --support 50, or a column `support`."
        raise DataError(say(str(path), "say how many test rows each class has", "nothing", do))
    names = tuple(str(v) for v in table[table.columns[0]].to_list())
    return ClassTable.from_columns(
        names, rows, columns["recall"], columns["precision"], columns["recall_train"], digits
    )


def _digits(values: Any) -> int:
    """Return the decimals that are printed, 4 at most."""
    known = values[np.isfinite(values)]
    for digits in range(5):
        if np.allclose(np.round(known, digits), known, atol=1e-9):
            return digits
    return 4
