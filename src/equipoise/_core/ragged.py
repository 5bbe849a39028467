"""Sequences of different length, end to end in one array, with where each begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_finite, to_array
from equipoise._core.messages import say
from equipoise.errors import DataError, ShapeError


def join_sequences(
    sequences: Sequence[ArrayLike] | NDArray[Any],
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Lay the sequences end to end."""
    arrays = [to_array(f"sequences[{i}]", s, ndim=2) for i, s in enumerate(sequences)]
    if not arrays:
        raise DataError(say("sequences", "be at least one", "none"))
    for i, array in enumerate(arrays):
        if array.shape[1] != arrays[0].shape[1]:
            expected = f"have {arrays[0].shape[1]} values per step, as the first"
            raise ShapeError(say(f"sequences[{i}]", expected, array.shape[1]))
        _require_steps(i, len(array))
    ends = np.cumsum([0] + [len(a) for a in arrays], dtype=np.int64)
    return np.concatenate(arrays), ends


def flat_sequences(
    steps: NDArray[Any], offsets: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Check one array of all steps and where its sequences begin."""
    if steps.ndim != 2:
        raise ShapeError(say("sequences", "have shape (steps, F) with offsets", steps.shape))
    ends = to_array("offsets", offsets, ndim=1)
    if ends.dtype.kind not in "iu" or ends.size < 2 or ends[0] != 0 or ends[-1] != len(steps):
        found = f"{ends.dtype} from {ends[:1].tolist()} to {ends[-1:].tolist()}"
        raise DataError(say("offsets", f"be integers from 0 to {len(steps)} (all steps)", found))
    ends = ends.astype(np.int64)
    shortest = int(np.diff(ends).argmin())
    _require_steps(shortest, int(np.diff(ends)[shortest]))
    return steps, ends


def _require_steps(index: int, steps: int) -> None:
    if steps < 1:
        do = "Leave it out, with its labels."
        raise DataError(say("sequences", "have a step each", f"{steps} in number {index}", do))


def require_numbers(steps: NDArray[Any]) -> None:
    """Raise unless all values are finite numbers; memory maps are not read for that."""
    if steps.dtype.kind not in "fiub":
        raise DataError(say("sequences", "be numbers", f"dtype {steps.dtype}"))
    if steps.dtype.kind == "f" and not isinstance(steps, np.memmap):
        require_finite("sequences", steps, "Fill or drop missing values first.")
