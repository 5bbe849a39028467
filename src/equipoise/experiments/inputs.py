"""Command-line words and files to artifacts: counts, priors, scores of any framework."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.checks import one_of, say
from equipoise.artifacts import Labels, Scores
from equipoise.artifacts.scores import SCORE_KINDS, Part
from equipoise.errors import DataError, UsageError
from equipoise.labels import as_numbers, read_labels, read_table

__all__ = ["counts_from_text", "named_columns", "parse_prior", "read_arrays", "read_scores"]

NAMES = "label_names"


def counts_from_text(text: str) -> dict[str, int]:
    """Return the counts of "A=19000,B=65000"."""
    counts: dict[str, int] = {}
    for part in text.split(","):
        name, found, number = part.partition("=")
        if not found or not number.strip().isdigit() or not name.strip():
            raise UsageError(say("--positives", "look like A=19000,B=65000", repr(part)))
        if name.strip() in counts:
            raise UsageError(say("--positives", "name each label once", repr(name.strip())))
        counts[name.strip()] = int(number)
    return counts


def parse_prior(text: str) -> str | list[float]:
    """Return "validation", "uniform" or the listed shares."""
    if text in ("validation", "uniform"):
        return text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            say("--target-prior", "be validation, uniform or shares as 0.1,0.9", repr(text))
        ) from None


def _is_saved(path: Path) -> bool:
    if path.suffix != ".parquet" or not path.is_file():
        return False
    import polars as pl

    try:
        return "equipoise" in pl.read_parquet_metadata(path)
    except pl.exceptions.PolarsError:
        return False


def read_arrays(path: Path) -> tuple[Any, dict[str, Sequence[str]]]:
    """Return an npz file as a table, and the columns that each (N, C) array became.

    Arrays of another length stay out; `label_names` goes along under its own name.
    """
    import polars as pl

    try:
        with np.load(path, allow_pickle=False) as opened:
            stored = {name: opened[name] for name in opened.files}
    except (ValueError, zipfile.BadZipFile) as error:
        do = "Save it with numpy.savez, without objects."
        raise DataError(say(str(path), "be an npz file", str(error), do)) from error
    rows = max((len(a) for n, a in stored.items() if a.ndim and n != NAMES), default=0)
    table: dict[str, Any] = {}
    arrays: dict[str, Sequence[str]] = {}
    for name, array in stored.items():
        if name == NAMES:
            arrays[NAMES] = [str(n) for n in array]
        elif array.ndim == 1 and len(array) == rows:
            table[name] = array
        elif array.ndim == 2 and len(array) == rows:
            arrays[name] = [f"{name}[{i}]" for i in range(array.shape[1])]
            table |= dict(zip(arrays[name], array.T, strict=True))
    return pl.DataFrame(table), arrays


def named_columns(
    names: Sequence[str] | None, arrays: Mapping[str, Sequence[str]]
) -> Sequence[str] | None:
    """Return the columns that are meant: those of an (N, C) array where one is named."""
    if names is not None and len(names) == 1 and names[0] in arrays and names[0] != NAMES:
        return arrays[names[0]]
    return names


def read_scores(
    path: str | Path,
    score_kind: str | None = None,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    id_column: str | None = None,
    group_column: str | None = None,
    split: Part = "val",
    names: Sequence[str] | None = None,
) -> Scores:
    """Read scores: a file written by :meth:`Scores.save`, or a table with its kind declared.

    Args:
        path: Parquet, CSV or npz.
        score_kind: "logits", "probabilities" or "ranking"; a table without it is refused.
        columns: The score columns, in the order of the labels or classes; or one (N, C) array of an
            npz file.
        label: The column of the true class, or of several labels as "A|D".
        labels: The columns of the true labels, one each; or one (N, L) array of an npz file.
        id_column: Column of row ids.
        group_column: Column of groups.
        split: Which part the rows are.
        names: Names that a rule expects, in its order.

    Raises:
        DataError: the table does not hold what is named.
        UsageError: the kind is not declared, or columns are not named.
    """
    file = Path(path)
    if _is_saved(file):
        return Scores.load(file)
    frame, arrays = read_arrays(file) if file.suffix == ".npz" else (read_table(file), {})
    columns, labels = named_columns(columns, arrays), named_columns(labels, arrays)
    if score_kind is None or columns is None:
        raise UsageError(
            say(
                str(path),
                "be a file that equipoise wrote, or come with --score-kind and --scores",
                "a table",
                "Say what the columns are: --score-kind logits --scores zA,zB --labels A,B.",
            )
        )
    one_of("--score-kind", score_kind, SCORE_KINDS)
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise DataError(say(str(path), f"hold the score columns {list(columns)}", f"no {missing}"))
    values = as_numbers(frame, columns).to_numpy()
    truth = read_labels(
        frame,
        label=label,
        labels=list(labels) if labels else None,
        id_column=id_column,
        group_column=group_column,
        names=_class_names(frame, label, labels, names, columns, arrays),
        kind="multilabel" if labels else None,
    )
    given: dict[str, Any] = {score_kind: np.asarray(values)}
    return Scores.from_arrays(_as_labels(truth, names), split=split, **given)


def _class_names(
    frame: Any,
    label: str | None,
    labels: Sequence[str] | None,
    names: Sequence[str] | None,
    columns: Sequence[str],
    arrays: Mapping[str, Sequence[str]],
) -> Sequence[str] | None:
    """Return the names of classes: the rule's, or the score columns where they are the classes.

    The labels of an (N, L) array have those of the rule, or of the array `label_names`.
    """
    if labels or label is None:
        whole = any(list(labels or ()) == list(parts) for parts in arrays.values())
        return names or arrays.get(NAMES) if whole else None
    if names is not None:
        return names
    found = {str(v) for v in frame[label].unique().to_list()} if label in frame.columns else set()
    return columns if found and found <= set(columns) else None


def _as_labels(truth: Labels, names: Sequence[str] | None) -> Labels:
    if names is None or tuple(names) == truth.names:
        return truth
    raise DataError(say("labels", f"be {list(names)}, as in the rule", list(truth.names)))
