"""Metrics of hard predictions, per label or per class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_shape, to_array

__all__ = ["balanced_accuracy", "confusion_matrix", "f_beta", "precision", "recall", "table"]

Floats = NDArray[np.float64]


def _divide(above: NDArray[np.int64], below: NDArray[np.int64]) -> Floats:
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def table(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return tp, fp, fn, tn per label, each (L,); -1 in ``y_true`` is left out."""
    truth = to_array("y_true", y_true, ndim=(1, 2))
    flags = to_array("y_pred", y_pred, ndim=(1, 2))
    require_shape("y_pred", flags, truth.shape, "One flag per entry of `y_true`.")
    truth = truth.reshape(truth.shape[0], -1)
    flags = flags.reshape(truth.shape) == 1
    yes, no = truth == 1, truth == 0
    counts = [(yes & flags), (no & flags), (yes & ~flags), (no & ~flags)]
    tp, fp, fn, tn = (np.asarray(c.sum(axis=0), dtype=np.int64) for c in counts)
    return tp, fp, fn, tn


def precision(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the share of flagged rows that are positive, (L,); NaN where nothing is flagged.

    Example:
        >>> precision([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    tp, fp, _, _ = table(y_true, y_pred)
    return _divide(tp, tp + fp)


def recall(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the share of positives that are flagged, (L,); NaN without positives.

    Example:
        >>> recall([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    tp, _, fn, _ = table(y_true, y_pred)
    return _divide(tp, tp + fn)


def f_beta(y_true: ArrayLike, y_pred: ArrayLike, *, beta: float = 1.0) -> Floats:
    """Return (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP), (L,); NaN without positives.

    A label with positives of which none is flagged has 0.

    Example:
        >>> f_beta([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    tp, fp, fn, _ = table(y_true, y_pred)
    square = beta * beta
    out = (1 + square) * tp / np.maximum((1 + square) * tp + square * fn + fp, 1)
    return np.where(tp + fn > 0, out, np.nan)


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int
) -> NDArray[np.int64]:
    """Return (C, C) counts, truth in rows and predictions in columns.

    Example:
        >>> confusion_matrix([0, 1, 1], [0, 0, 1], num_classes=2).tolist()
        [[1, 0], [1, 1]]
    """
    truth, predicted = np.asarray(y_true, np.int64), np.asarray(y_pred, np.int64)
    flat = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int) -> float:
    """Return the mean recall over classes that have rows.

    Example:
        >>> balanced_accuracy([0, 1, 1], [0, 0, 1], num_classes=2)
        0.75
    """
    matrix = confusion_matrix(y_true, y_pred, num_classes=num_classes)
    return float(np.nanmean(_divide(np.diag(matrix), matrix.sum(axis=1))))
