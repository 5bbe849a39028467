"""Shared input of per-label metrics: truth and scores as columns, unknown rows apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_finite, require_shape, to_array, to_floats
from equipoise._core.messages import one_of, say
from equipoise.errors import DataError

ZeroPositive = Literal["nan", "zero"]
# Columns that are copied together: a strided copy of one alone takes twice as long.
TOGETHER = 4
LARGE, MOST_THREADS = 1_000_000, 4
T = TypeVar("T")


def as_columns(y_true: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int8], Floats]:
    """Return truth (N, L) in {0, 1, -1 unknown} and scores (N, L) float64."""
    truth = as_truth(y_true)
    values = to_array("scores", scores, ndim=(1, 2))
    require_shape("scores", values, np.shape(y_true), "One score per entry of `y_true`.")
    values = to_floats("scores", values.reshape(truth.shape))
    require_finite("scores", values, "Leave failed rows out.")
    return truth, values


def as_truth(y_true: ArrayLike) -> NDArray[np.int8]:
    """Return truth as (N, L) int8 in {0, 1, -1 unknown}; NaN is unknown too."""
    truth = to_array("y_true", y_true, ndim=(1, 2))
    table = truth.reshape(truth.shape[0], -1 if truth.size else 1)
    if table.dtype == np.int8 and (not table.size or (table.min() >= -1 and table.max() <= 1)):
        return table
    values = to_floats("y_true", table)
    values[np.isnan(values)] = -1
    wrong = ~np.isin(values, (-1, 0, 1))
    if wrong.any():
        do = "Classes go to balanced_accuracy and confusion_matrix."
        raise DataError(say("y_true", "be 0, 1 or -1 (unknown)", values[wrong][0], do))
    return values.astype(np.int8)


def known_column(
    y_true: NDArray[np.int8], scores: Floats, column: int
) -> tuple[NDArray[np.bool_], Floats, NDArray[np.int64]]:
    """Return truth, scores and positions of the known rows of one label."""
    rows = np.flatnonzero(y_true[:, column] >= 0)
    return y_true[rows, column] == 1, scores[rows, column], rows


def map_columns(
    y_true: ArrayLike,
    scores: ArrayLike,
    measure: Callable[[NDArray[Any], NDArray[Any]], T],
) -> list[T]:
    """Return what ``measure`` makes of each label: scores of its positives, of all its known rows.

    Both come ascending and in their own dtype. A few columns are copied at a time: at 1,000,000
    rows a float64 copy of the whole costs more than sorting it. Large input is measured in threads
    (NumPy sorts outside the interpreter's lock).
    """
    truth = as_truth(y_true)
    values = to_array("scores", scores, ndim=(1, 2))
    require_shape("scores", values, np.shape(y_true), "One score per entry of `y_true`.")
    values = values.reshape(truth.shape)
    if values.dtype not in (np.float32, np.float64):
        values = to_floats("scores", values)

    def block(start: int) -> list[T]:
        part = slice(start, start + TOGETHER)
        own, own_scores = (a[:, part].T.copy() for a in (truth, values))
        pairs = (_sort(*pair, values) for pair in zip(own, own_scores, strict=True))
        return [measure(*pair) for pair in pairs]

    starts = range(0, truth.shape[1], TOGETHER)
    if truth.size < LARGE:
        done = [block(start) for start in starts]
    else:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
            done = list(pool.map(block, starts))
    return [one for each in done for one in each]


def _sort(
    label: NDArray[np.int8], score: NDArray[Any], whole: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    known = label >= 0
    positives, rows = score[label == 1], score if known.all() else score[known]
    finite = rows is score or bool(np.isfinite(score).all())
    positives.sort()
    rows.sort()
    # Sorted, NaN and infinities stand at the ends.
    if not finite or (rows.size and not np.isfinite(rows[[0, -1]]).all()):
        require_finite("scores", whole, "Leave failed rows out.")
    return positives, rows


def one_or_all(y_true: ArrayLike, values: Floats) -> Any:
    """Return a float where the input was one label, else the (L,) values."""
    return float(values[0]) if np.ndim(y_true) == 1 else values


def undefined_as(values: Floats, zero_positive: ZeroPositive) -> Floats:
    """Return values with NaN kept, or as 0 like scikit-learn."""
    one_of("zero_positive", zero_positive, ("nan", "zero"))
    return values if zero_positive == "nan" else np.where(np.isnan(values), 0.0, values)
