"""Dense arrays, such as (N, C, H, W), as rows (M, C): one reading for scores, rules and judges."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import to_array
from equipoise._core.messages import say
from equipoise._core.targets import (
    require_classes,
    require_classes_for_index,
    require_labels,
    to_class_dim,
)
from equipoise.errors import DataError, ShapeError

Kind = Literal["multiclass", "multilabel"]


def to_dense(name: str, values: ArrayLike, class_dim: int) -> NDArray[Any]:
    """Return an array whose classes lie on an axis behind the first, that of images.

    Raises:
        ShapeError: it has no such axis.
        UsageError: ``class_dim`` is neither -1 nor at least 1.
    """
    array = to_array(name, values, ndim=tuple(range(2, 9)))
    if to_class_dim(class_dim) >= array.ndim:
        wanted = f"have its classes or labels on axis class_dim = {class_dim}"
        raise ShapeError(say(name, wanted, array.shape, "Images or sentences come first."))
    return array


def as_rows(array: NDArray[Any], class_dim: int) -> NDArray[Any]:
    """Return dense entries, (N, C, H, W) for 1, as rows (N * H * W, C); a view where one can be.

    It can where classes lie last in memory, or where there is one image.
    """
    moved = np.moveaxis(array, class_dim, -1)
    return moved.reshape(-1, moved.shape[-1])


def dense_truth(
    target: ArrayLike, outputs: NDArray[Any], class_dim: int, kind: Kind, ignore_index: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the truth of dense outputs by row, and which rows are known.

    Returns:
        (M,) int64 classes, or (M, L) int8 labels with -1 where unknown; (M,) bool. A row of labels
        is known where one of them is.

    Raises:
        ShapeError: the target is not of these outputs.
        UsageError: an ``ignore_index`` for labels.
        DataError: a class that is none and not ``ignore_index``, or labels that are neither 0, 1,
            -1 nor NaN.
    """
    require_classes_for_index(kind, ignore_index)
    axis = class_dim % outputs.ndim
    full = outputs.shape
    expected = full if kind == "multilabel" else full[:axis] + full[axis + 1 :]
    array = to_array("target", target, ndim=tuple(range(1, 9)))
    if array.shape != expected:
        each = "label" if kind == "multilabel" else "class index"
        do = f"Give one {each} per pixel or step."
        wanted = f"have shape {expected}, as outputs {full}"
        raise ShapeError(say("target", wanted, array.shape, do))
    if array.dtype.kind not in "fiub":
        raise DataError(say("target", "be numbers", f"dtype {array.dtype}"))
    if kind == "multilabel":
        values = as_rows(array, class_dim)
        if values.dtype.kind == "f":
            require_labels("target", values)
            values = np.where(np.isnan(values), -1, values)
        hot = values.astype(np.int8)
        if not np.isin(hot, (-1, 0, 1)).all() or (hot != values).any():
            raise DataError(say("target", "be 0, 1 or -1 (unknown)", "other numbers"))
        return hot, np.asarray((hot >= 0).any(axis=1))
    flat = array.reshape(-1)
    require_classes("target", flat, full[axis], ignore_index)
    known = flat != ignore_index
    return flat.astype(np.int64), np.asarray(known)


def drawn_rows(images: int, size: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return ``most`` positions of each of so many images of ``size`` rows, drawn evenly."""
    random = np.random.default_rng(seed)
    return np.concatenate(
        [i * size + np.sort(random.choice(size, most, replace=False)) for i in range(images)]
    )


def rows_per_image(shape: tuple[int, ...], class_dim: int) -> int:
    """Return how many rows each image has."""
    return math.prod(shape) // max(shape[0] * shape[class_dim], 1)
