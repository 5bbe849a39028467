"""The truth of a Hugging Face data set as Labels: rows, or tokens grouped by sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX, require_classes, require_labels
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import Kind, to_ids
from equipoise.errors import DataError, ShapeError, UsageError

_COLUMNS = ("labels", "label", "label_ids")
"""What the Trainer's own collators take for targets."""
_SEVERAL = "multi_label_classification"


def kind_of(config: Any) -> Kind:
    """Return the kind of labels that a model is for, from ``problem_type``.

    Raises:
        UsageError: a regression, which is also what one output stands for without a problem type.
    """
    given = config.problem_type
    if given == _SEVERAL:
        return "multilabel"
    if given == "regression" or (given is None and config.num_labels == 1):
        do = f"One output is one label: problem_type='{_SEVERAL}'; two classes are num_labels=2."
        got = repr(given) if given else "one output and no problem_type"
        raise UsageError(say("config.problem_type", "be a classification", got, do))
    return "multiclass"


def names_of(config: Any) -> tuple[str, ...]:
    """Return the names of a model's outputs, in their order."""
    return tuple(str(config.id2label[i]) for i in range(config.num_labels))


def find_column(item: Iterable[str]) -> str | None:
    """Return under which key the Trainer's own collators look for a row's targets, or None."""
    keys = set(item)
    return next((name for name in _COLUMNS if name in keys), None)


def column_of(item: Iterable[str]) -> str:
    """Return that key.

    Raises:
        DataError: there is none.
    """
    found = find_column(item)
    if found is None:
        do = "Rename the column of the targets."
        raise DataError(say("dataset", f"have a column of {', '.join(_COLUMNS)}", list(item), do))
    return found


def _array(target: Any) -> NDArray[Any]:
    array = np.asarray(target)
    if array.dtype.kind not in "iufb":
        do = "Map names with model.config.label2id before training."
        raise DataError(say("labels", "be numbers", repr(target)[:60], do))
    return array


class Targets(NamedTuple):
    """The targets of some items, tokens one after the other.

    Args:
        values: (M,) classes or (M, L) labels, -1 where a label is unknown.
        known: (M,) whether anything is known of a row or token.
        lengths: Tokens of each item; None where items are rows.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_]
    lengths: NDArray[np.int64] | None


def flat_targets(targets: Sequence[Any], config: Any) -> Targets:
    """Check and join the targets of some items: classes, rows of labels, or either per token.

    Raises:
        DataError: targets that are text, or no class of the model.
        ShapeError: rows of labels of another width than the model's.
    """
    kind, width = kind_of(config), config.num_labels
    arrays = [_array(target) for target in targets]
    of_tokens = arrays[0].ndim > (kind == "multilabel")
    flat = np.concatenate(arrays) if of_tokens else np.stack(arrays)
    lengths = np.array([len(array) for array in arrays]) if of_tokens else None
    if kind == "multiclass":
        require_classes("labels", flat, width)
        return Targets(flat, flat != IGNORE_INDEX, lengths)
    if flat.ndim != 2 or flat.shape[1] != width:
        do = "Load the model with num_labels of that number."
        expected = f"have one entry per label of the model, {width}"
        raise ShapeError(say("labels", expected, f"shape {arrays[0].shape}", do))
    flat = np.where(flat == IGNORE_INDEX, -1, np.nan_to_num(flat, nan=-1))
    require_labels("labels", flat)
    known: NDArray[np.bool_] = np.asarray((flat >= 0).any(axis=1) | (not of_tokens))
    return Targets(flat, known, lengths)


def read_truth(
    targets: Sequence[Any], config: Any, ids: ArrayLike | None = None
) -> tuple[Labels, NDArray[np.int64]]:
    """Return the known targets of some items as Labels, and where they stand.

    Args:
        targets: One entry per item: a class or a row of labels; or, of tokens, one such entry for
            each. -100 is unknown, and so are NaN and -1 among labels.
        config: Of the model.
        ids: One per item; a token is called "ID:POSITION".

    Returns:
        Labels of the rows or tokens that are known, tokens with their items as groups; and their
        positions among all entries, items first.
    """
    values, known, lengths = flat_targets(targets, config)
    at = np.flatnonzero(known)
    if at.size == 0:
        raise DataError(say("labels", "be known in some rows", "unknown throughout"))
    given = None if ids is None else to_ids("ids", ids, len(targets), unique=True)
    rows, groups = None if given is None or lengths is not None else given[at], None
    if lengths is not None:
        # Without ids, the numbers of sentences of two data sets shall not pass for the same.
        other = fingerprint_array(values.astype(np.float64), lengths)
        called = [f"{other}-{i}" for i in range(len(targets))] if given is None else given
        groups = np.repeat(called, lengths)[at]
        if given is not None:
            place = np.concatenate([np.arange(length) for length in lengths])[at]
            rows = np.array([f"{g}:{p}" for g, p in zip(groups, place, strict=True)])
    labels = Labels.from_array(
        values[at].astype(np.int64),
        kind=kind_of(config),
        names=names_of(config),
        ids=rows,
        groups=groups,
    )
    return labels, at


def training_labels(dataset: Any, model: Any, *, ids: ArrayLike | None = None) -> Labels:
    """Return the truth of a data set as the Trainer reads it, to make a remedy for.

    Args:
        dataset: Of the Trainer: a `datasets.Dataset`, or rows by number, each a mapping with
            "labels" (or "label"). Rows are read once where there are no columns.
        model: The model that is trained; its config says ``problem_type``, and names by
            ``id2label``.
        ids: One per row.

    Returns:
        Labels of the rows; for token classification of the tokens that are not -100, with
        sentences as groups.

    Raises:
        DataError: no such column, targets that are text, or no class of the model.
        ShapeError: rows of labels of another width than the model's.
        UsageError: a model for regression.

    Example:
        >>> from transformers import BertConfig
        >>> class Model:
        ...     config = BertConfig(num_labels=2, id2label={0: "ham", 1: "spam"})
        >>> rows = [{"input_ids": [1], "labels": 0}, {"input_ids": [2], "labels": 1}]
        >>> print(training_labels(rows, Model()).counts.tolist())
        [1, 1]
    """
    if len(dataset) == 0:
        raise DataError(say("dataset", "hold at least one row", "none"))
    if hasattr(dataset, "column_names"):
        targets = dataset[column_of(dataset.column_names)]
    else:
        column = column_of(dataset[0])
        targets = [dataset[i][column] for i in range(len(dataset))]
    labels, _ = read_truth(targets, model.config, ids)
    if labels.groups is None and len(labels) < len(targets):
        do = "A sampler counts rows: take those without a class out of the data set."
        got = f"{len(targets) - len(labels)} rows of -100"
        raise DataError(say("labels", "be known in every training row", got, do))
    return labels
