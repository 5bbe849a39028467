"""Shared input of per-label metrics: truth and scores as columns, unknown rows apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_finite, require_shape, say, to_array, to_floats
from equipoise.errors import DataError

__all__ = ["as_columns", "as_truth", "known_column", "per_label"]

Floats = NDArray[np.float64]


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
    values = to_floats("y_true", truth.reshape(truth.shape[0], -1 if truth.size else 1))
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


def per_label(
    y_true: ArrayLike,
    scores: ArrayLike,
    metric: Callable[[NDArray[np.bool_], Floats], float],
) -> Any:
    """Apply a one-label metric to every label; a 1-d input gives a float."""
    truth, values = as_columns(y_true, scores)
    columns = range(truth.shape[1])
    out = np.array([metric(*known_column(truth, values, c)[:2]) for c in columns])
    return float(out[0]) if np.ndim(y_true) == 1 else out
