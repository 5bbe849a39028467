"""Recall and precision per class of one or more runs, as papers have them, or from a CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_floats
from equipoise._core.messages import hint, say
from equipoise.errors import DataError, ShapeError
from equipoise.io import as_numbers, read_table

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """What runs say per class.

    Args:
        names: Classes.
        support: (C,) test rows of each class.
        recall: Run -> (C,) in [0, 1].
        precision: Run -> (C,) in [0, 1]; NaN where nothing was predicted.
        recall_train: Run -> (C,) on training rows, where known.
        digits: Decimals of the printed numbers; they say how far off a count may be.

    Raises:
        ShapeError: columns of another length.
        DataError: numbers outside [0, 1], or no test rows.
    """

    names: tuple[str, ...]
    support: Floats
    recall: Mapping[str, Floats]
    precision: Mapping[str, Floats]
    recall_train: Mapping[str, Floats]
    digits: int = 2

    @classmethod
    def from_columns(
        cls,
        names: tuple[str, ...],
        support: ArrayLike,
        recall: Mapping[str, ArrayLike],
        precision: Mapping[str, ArrayLike] | None = None,
        recall_train: Mapping[str, ArrayLike] | None = None,
        digits: int = 2,
    ) -> ClassTable:
        """Check and wrap columns; percentages (above 1) are taken as shares.

        Example:
            >>> table = ClassTable.from_columns(("cat", "dog"), 50, {"none": [90, 40]})
            >>> table.recall["none"].tolist(), table.support.tolist()
            ([0.9, 0.4], [50.0, 50.0])
        """
        rows = np.broadcast_to(np.asarray(support, dtype=np.float64), (len(names),)).copy()
        if rows.size == 0 or not (rows >= 1).all():
            raise DataError(say("support", "be at least one test row per class", rows.tolist()[:5]))
        made = [
            {run: _column(run, values, len(names)) for run, values in (given or {}).items()}
            for given in (recall, precision, recall_train)
        ]
        tops = {
            f"{what} of {run}": float(np.nan_to_num(values).max(initial=0.0))
            for what, part in zip(("recall", "precision", "training recall"), made, strict=True)
            for run, values in part.items()
        }
        if max(tops.values(), default=0.0) > 1:
            _require_one_scale(tops)
            made = [{run: v / 100 for run, v in part.items()} for part in made]
            digits += 2
        for part in made:
            for run, values in part.items():
                if ((values < 0) | (values > 1)).any():
                    raise DataError(say(run, "lie in [0, 1] or [0, 100]", values.tolist()[:5]))
        return cls(tuple(names), rows, made[0], made[1], made[2], digits)


def _require_one_scale(tops: Mapping[str, float]) -> None:
    """Raise where some columns are percentages and others look like shares."""
    low = next((name for name, top in tops.items() if 0 < top <= 1), None)
    if low is not None:
        high = next(name for name, top in tops.items() if top > 1)
        do = "Write all columns as shares, or all in percent; a column of less than 1 % as 0.5%."
        got = f"at most {tops[low]:g}, beside {tops[high]:g} in {high}"
        raise DataError(say(low, "be on the scale of the others", got, do))


def _column(run: str, values: ArrayLike, size: int) -> Floats:
    array = to_floats(run, to_array(run, values, ndim=1))
    if array.size != size:
        raise ShapeError(say(run, f"hold one number per class, {size}", array.size))
    return array


def is_count(shares: Floats, support: Floats, digits: int) -> NDArray[np.bool_]:
    """Return where a share can be k / support as it is printed, (C,).

    Example:
        >>> is_count(np.array([0.86, 0.83]), np.array([50.0, 50.0]), 2).tolist()
        [True, False]
    """
    nearest = np.round(shares * support) / support
    return np.asarray(np.abs(nearest - shares) <= 0.5 * 10.0**-digits + 1e-12)


def predicted_counts(recall: Floats, precision: Floats, support: Floats) -> Floats:
    """Return how many rows were called each class, (C,): hits over precision; NaN without hits.

    Example:
        >>> predicted_counts(np.array([0.9]), np.array([0.5]), np.array([50.0])).round(1).tolist()
        [90.0]
    """
    hits = np.round(recall * support)
    out = np.full(support.size, np.nan)
    np.divide(hits, precision, out=out, where=precision > 0)
    return out


_KINDS = ("recall_train", "train_recall", "recall", "precision")


def read_class_table(path: str | Path, support: int | None = None) -> ClassTable:
    """Read one row per class.

    Args:
        path: CSV or Parquet. The first column names the classes; "support" is the number of test
            rows; shares are written as 0.52, 52 or 52%; "recall", "precision" and "recall_train"
            belong to one run, and "focal_recall" or "recall_focal" to the run "focal"; or a column
            "run" names the run of each row, and "class" its class.
        support: Test rows of each class, where the table does not say.

    Raises:
        DataError: no recall, no support, or numbers outside [0, 1] (or [0, 100]).
    """
    table = _side_by_side(read_table(path))
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
    if plain_above:
        plain = ((f"{kind} of {run}", values) for kind, run, values, marks in read if not marks)
        _require_one_scale({name: float(np.nan_to_num(v).max(initial=0.0)) for name, v in plain})
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
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        do = "Name the runs in a column `run`, or side by side: RUN_recall."
        raise DataError(say(str(path), "hold one row per class", f"'{twice}' several times", do))
    return ClassTable.from_columns(
        names, rows, columns["recall"], columns["precision"], columns["recall_train"], digits
    )


def _side_by_side(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table with a row for each run and class as one with a row for each class."""
    named = {name.lower(): name for name in table.columns}
    runs = next((named[word] for word in ("run", "arm", "method") if word in named), None)
    classes = next((named[word] for word in ("class", "label", "name") if word in named), None)
    if runs is None or classes is None:
        return table
    shares = [c for c in table.columns if any(k in c.lower() for k in _KINDS)]
    kept = [c for c in (classes, named.get("support")) if c is not None]
    found = table.select(kept).unique(subset=[classes], keep="first", maintain_order=True)
    for run in table[runs].unique(maintain_order=True).to_list():
        own = table.filter(table[runs] == run).select(classes, *shares)
        found = found.join(own.rename({c: f"{run}_{c}" for c in shares}), on=classes, how="left")
    return found


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
