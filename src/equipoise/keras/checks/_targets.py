"""What kind of targets an array holds: several labels per row, or one class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import to_array
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, ShapeError

TargetKind = Literal["labels", "one_hot", "index"]
_WORDS = {
    "labels": "several independent labels per row",
    "one_hot": "one class per row, as one-hot rows",
    "index": "one class per row, as an index",
}


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Targets of training rows.

    Args:
        kind: "labels" (any number per row), "one_hot" (exactly one) or "index".
        labels: The same as `Labels`.
        values: As Keras gets them, (N, L) or (N,); a row per step where there are steps.
        shape: Of the array as it was given.
    """

    kind: TargetKind
    labels: Labels
    values: NDArray[Any]
    shape: tuple[int, ...] = ()

    @property
    def steps(self) -> bool:
        """Whether a row holds several targets of the same kind: steps of a sequence, pixels."""
        rows = int(self.shape[0]) if self.shape else len(self.values)
        return len(self.values) != rows

    @property
    def width(self) -> int:
        """Outputs that they ask for."""
        return self.labels.num_classes

    def __str__(self) -> str:
        return _WORDS[self.kind]


def read_targets(y: Labels | ArrayLike, outputs: tuple[int | None, ...] = ()) -> Targets:
    """Read targets; rows that all have exactly one label pass for one-hot classes.

    Args:
        y: `Labels`; or (N,) class indices, (N, L) multi-hot or one-hot, (N, 1) a binary label or
            class indices; steps of sequences and pixels, (N, T, L) or (N, H, W, L), count as rows.
            -1 and NaN are unknown, and so is the class index -100, whose rows ``labels`` leaves
            out.
        outputs: Shape of the model's outputs, which alone tells (N, T) class indices of steps from
            (N, L) columns; () if it is not known.

    Raises:
        ShapeError: another number of dimensions.
        DataError: values that are neither classes nor 0, 1 and unknown.
    """
    if isinstance(y, Labels):
        return Targets("labels" if y.kind == "multilabel" else "index", y, y.values)
    array = np.asarray(to_array("y", y, ndim=(1, 2, 3, 4)))
    shape = array.shape
    if array.size == 0:
        raise ShapeError(say("y", "have rows", shape))
    if len(outputs) == array.ndim + 1 and array.ndim > 1:
        # One number for each step: a class, or with one output whether it is positive.
        array = array.reshape(-1, 1) if outputs[-1] == 1 else array.reshape(-1)
    elif array.ndim > 2:
        array = array.reshape(-1, array.shape[-1])
    return replace(_read(array), shape=shape)


def _read(array: NDArray[Any]) -> Targets:
    """Read targets of which each row is one."""
    if array.ndim == 1 or array.shape[1] == 1:
        column = array.reshape(-1)
        binary = bool(np.isin(column[~_unknown(column)], (0, 1)).all())
        if array.ndim == 2 and binary:
            return Targets("labels", Labels.from_array(array, kind="multilabel"), array)
        known = column[column != IGNORE_INDEX]
        if known.size == 0 or _unknown(known).any() or (known < 0).any():
            do = "Rows whose class is unknown are -100."
            raise DataError(say("y", "be classes 0 to C - 1", "negative or missing entries", do))
        return Targets("index", _classes(known), column)
    labels = Labels.from_array(np.where(_unknown(array), -1, array), kind="multilabel")
    exclusive = bool(((labels.values == 1).sum(1) == 1).all() and (labels.values >= 0).all())
    if not exclusive:
        return Targets("labels", labels, array)
    names = [str(i) for i in range(array.shape[1])]
    classes = Labels.from_array(labels.values.argmax(1), kind="multiclass", names=names)
    return Targets("one_hot", classes, array)


def _unknown(array: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((array != array) | (array == -1))


def _classes(column: NDArray[Any]) -> Labels:
    names = [str(i) for i in range(max(int(column.max()) + 1, 2))]
    return Labels.from_array(column, kind="multiclass", names=names)
