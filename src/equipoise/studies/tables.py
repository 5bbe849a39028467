"""Training and test rows that come in two tables, joined for one study."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.identity import loose_match
from equipoise._core.words import say
from equipoise.artifacts import Labels
from equipoise.errors import DataError, DataWarning, LeakageError
from equipoise.studies.source import StudyData

Table = tuple[NDArray[np.float32], Labels, tuple[str, ...]]


def join_tables(name: str, train: Table, test: Table) -> StudyData:
    """Return one table whose last rows are the test rows.

    Raises:
        DataError: the columns or labels differ.
        LeakageError: an id or a group stands in both tables.
    """
    (x, labels, columns), (more, more_labels, more_columns) = train, test
    if set(columns) != set(more_columns):
        odd = sorted(set(columns) ^ set(more_columns))
        raise DataError(say("test table", "have the same feature columns", f"{odd} in one only"))
    # Names bind: a test table may hold its columns in another order.
    more = more[:, [more_columns.index(name) for name in columns]]
    joined = join_labels(labels, more_labels)
    rows = np.arange(x.shape[0], x.shape[0] + more.shape[0])
    return StudyData(name, np.concatenate([x, more]), joined, rows)


def join_labels(labels: Labels, more_labels: Labels) -> Labels:
    """Return the labels of training rows and, behind them, test rows.

    Raises:
        DataError: the labels differ.
        LeakageError: an id or a group stands on both sides.
    """
    if labels.kind == more_labels.kind and set(labels.names) == set(more_labels.names):
        more_labels = more_labels.in_order(labels.names)
    else:
        raise DataError(
            say("test table", f"have the labels {list(labels.names)}", list(more_labels.names))
        )
    sides: dict[str, Any] = {}
    for key in ("ids", "groups"):
        left, right = getattr(labels, key), getattr(more_labels, key)
        sides[key] = None
        if left is None or right is None:
            continue
        shared = np.intersect1d(left, right)
        if shared.size:
            raise LeakageError(
                say(
                    "test table",
                    f"share no {key} with the training table",
                    f"{shared.size} in common (first: {shared[0]})",
                    "Remove them from one of the two.",
                )
            )
        near = loose_match(left, right)
        if near is not None:
            n, (one, other) = near
            warnings.warn(
                f"No {key[:-1]} of the test table stands in the training table as it is written, "
                f"but {n} would, trimmed or as numbers (first: {one!r} and {other!r}). They are "
                "taken for different: write them alike on both sides if they are the same.",
                DataWarning,
                stacklevel=2,
            )
        sides[key] = np.concatenate([left, right])
    return Labels.from_array(
        np.concatenate([labels.values, more_labels.values]),
        kind=labels.kind,
        names=labels.names,
        **sides,
    )
