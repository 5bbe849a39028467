"""Metrics of hard predictions, per label or per class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array
from equipoise._core.messages import say
from equipoise.errors import DataError
from equipoise.metrics._columns import as_truth


def _divide(above: NDArray[np.int64], below: NDArray[np.int64]) -> Floats:
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def table(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return tp, fp, fn, tn per label, each (L,); -1 in ``y_true`` is left out.

    Raises:
        DataError: flags other than 0 and 1, for example probabilities.
    """
    truth = as_truth(y_true)
    flags = to_array("y_pred", y_pred, ndim=(1, 2))
    require_shape("y_pred", flags, np.shape(y_true), "One flag per entry of `y_true`.")
    if not np.isin(flags, (0, 1)).all():
        do = "Apply a threshold first: y_prob >= threshold."
        raise DataError(say("y_pred", "be flags 0 or 1", "other values", do))
    flags = flags.reshape(truth.shape) == 1
    yes, no = truth == 1, truth == 0
    counts = [(yes & flags), (no & flags), (yes & ~flags), (no & ~flags)]
    tp, fp, fn, tn = (np.asarray(c.sum(axis=0), dtype=np.int64) for c in counts)
    return tp, fp, fn, tn


def precision(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the share of flagged rows that are positive, per label; NaN where nothing is flagged.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_pred: Same shape, 0 or 1.

    Returns:
        (L,) float64.

    Raises:
        DataError: flags other than 0 and 1, for example probabilities; truth outside {0, 1, -1}.
        ShapeError: the two shapes differ.

    Example:
        >>> precision([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    tp, fp, _, _ = table(y_true, y_pred)
    return _divide(tp, tp + fp)


def recall(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the share of positives that are flagged, per label; NaN without positives.

    Shapes, ranges and errors as in :func:`precision`.

    Example:
        >>> recall([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    tp, _, fn, _ = table(y_true, y_pred)
    return _divide(tp, tp + fn)


def f_beta(y_true: ArrayLike, y_pred: ArrayLike, *, beta: float = 1.0) -> Floats:
    """Return (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP), per label; NaN without positives.

    A label with positives of which none is flagged has 0. Shapes, ranges and errors as in
    :func:`precision`.

    Args:
        y_true: Truth.
        y_pred: Flags.
        beta: Weight of recall against precision, > 0.

    Example:
        >>> f_beta([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    tp, fp, fn, _ = table(y_true, y_pred)
    square = beta * beta
    out = (1 + square) * tp / np.maximum((1 + square) * tp + square * fn + fp, 1)
    return np.where(tp + fn > 0, out, np.nan)


def specificity(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the share of negatives that are not flagged, per label; NaN without negatives.

    Shapes, ranges and errors as in :func:`precision`.

    Example:
        >>> specificity([1, 0, 1, 0], [1, 1, 0, 0]).tolist()
        [0.5]
    """
    _, fp, _, tn = table(y_true, y_pred)
    return _divide(tn, tn + fp)


def flagged_rate(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the share of known rows that are flagged, per label: the length of the queue.

    Shapes, ranges and errors as in :func:`precision`.

    Example:
        >>> flagged_rate([1, 0, 1, 0], [1, 1, 1, 0]).tolist()
        [0.75]
    """
    tp, fp, fn, tn = table(y_true, y_pred)
    return _divide(tp + fp, tp + fp + fn + tn)


def balanced_accuracy_per_label(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the mean of recall and specificity, per label; NaN without one of the two sides.

    For classes see :func:`balanced_accuracy`.

    Shapes, ranges and errors as in :func:`precision`.

    Example:
        >>> balanced_accuracy_per_label([1, 0, 1, 0], [1, 1, 1, 0]).tolist()
        [0.75]
    """
    return (recall(y_true, y_pred) + specificity(y_true, y_pred)) / 2


def matthews_corrcoef(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Return the correlation of truth and flags, per label; NaN without positives or negatives.

    0 where all rows, or none, are flagged.

    Shapes, ranges and errors as in :func:`precision`.

    Example:
        >>> matthews_corrcoef([1, 0, 1, 0], [1, 0, 0, 0]).round(4).tolist()
        [0.5774]
    """
    tp, fp, fn, tn = (c.astype(np.float64) for c in table(y_true, y_pred))
    root = np.sqrt((tp + fp) * (fn + tn)) * np.sqrt((tp + fn) * (fp + tn))
    out = np.zeros_like(root)
    np.divide(tp * tn - fp * fn, root, out=out, where=root > 0)
    return np.where((tp + fn > 0) & (fp + tn > 0), out, np.nan)


def _classes(name: str, values: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    array = to_array(name, values, ndim=1)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.dtype.kind not in "iub" or array.min() < 0 or array.max() >= num_classes:
        got = f"dtype {array.dtype}" if array.dtype.kind not in "iub" else "others"
        do = "Take the argmax of the scores first, and leave unknown rows out."
        raise DataError(say(name, f"be classes in [0, {num_classes})", got, do))
    return array.astype(np.int64)


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int
) -> NDArray[np.int64]:
    """Return (C, C) int64 counts, truth in rows and predictions in columns.

    Args:
        y_true: (N,) classes in [0, C).
        y_pred: (N,) classes in [0, C).
        num_classes: C.

    Raises:
        DataError: classes outside [0, C).

    Example:
        >>> confusion_matrix([0, 1, 1], [0, 0, 1], num_classes=2).tolist()
        [[1, 0], [1, 1]]
    """
    truth, predicted = (
        _classes(name, values, num_classes)
        for name, values in (("y_true", y_true), ("y_pred", y_pred))
    )
    require_shape("y_pred", predicted, truth.shape, "One class per entry of `y_true`.")
    flat = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def balanced_accuracy(y_true: ArrayLike, y_pred: ArrayLike, *, num_classes: int) -> float:
    """Return the mean recall over classes that have rows; NaN without any row.

    Args:
        y_true: (N,) classes in [0, C).
        y_pred: (N,) classes in [0, C).
        num_classes: C.

    Example:
        >>> balanced_accuracy([0, 1, 1], [0, 0, 1], num_classes=2)
        0.75
    """
    matrix = confusion_matrix(y_true, y_pred, num_classes=num_classes)
    recalls = _divide(np.diag(matrix), matrix.sum(axis=1))
    seen = ~np.isnan(recalls)
    return float(recalls[seen].mean()) if seen.any() else float("nan")


def label_confusion(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.int64]:
    """Return which label is flagged where another one is missed, (L + 1, L + 1) int64.

    Entry (i, j): rows in which label i is missed and label j wrongly flagged. Diagonal: true
    positives. Last column: rows in which i is missed and nothing flagged instead. Last row: rows
    in which j is wrongly flagged and nothing missed. The last entry is 0.

    Args:
        y_true: (N, L), 0, 1 or -1 (unknown, neither missed nor wrong).
        y_pred: (N, L), 0 or 1.

    Example:
        >>> label_confusion([[1, 0], [1, 0], [0, 1]], [[0, 1], [0, 0], [0, 1]]).tolist()
        [[0, 1, 1], [0, 1, 0], [0, 0, 0]]
    """
    truth = as_truth(y_true)
    hits = np.asarray(table(y_true, y_pred)[0])
    flags = np.asarray(y_pred).reshape(truth.shape) == 1
    missed, wrong = (truth == 1) & ~flags, (truth == 0) & flags
    none_missed, none_wrong = ~missed.any(axis=1), ~wrong.any(axis=1)
    left = np.column_stack([missed, none_missed]).astype(np.float64)
    right = np.column_stack([wrong, none_wrong]).astype(np.float64)
    out = np.rint(left.T @ right).astype(np.int64)
    out[-1, -1] = 0
    out[np.arange(hits.size), np.arange(hits.size)] = hits
    return out
