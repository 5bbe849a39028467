"""What a training target may be, for every framework: one rule, kept where it costs nothing."""

from __future__ import annotations

from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import to_integer
from equipoise._core.messages import say
from equipoise.errors import DataError, UsageError

IGNORE_INDEX = -100
"""Class index of rows whose class is unknown, as in torch."""

_SLACK = 1e-3  # shares that were rounded to half precision


def require_classes(
    name: str, indices: NDArray[Any], width: int, ignore_index: int = IGNORE_INDEX
) -> None:
    """Raise unless all class indices lie in 0 to C - 1, or are that of unknown rows.

    Raises:
        DataError: with the first that is neither, and how many there are.
    """
    valid = (indices >= 0) & (indices < width) & (indices == np.floor(indices))
    wrong = indices[~valid & (indices != ignore_index)]
    if wrong.size:
        do = "Give rows whose class is unknown that index, or leave them out."
        wanted = f"lie in 0 to C - 1 = {width - 1}, or be ignore_index = {ignore_index}"
        raise DataError(say(name, wanted, _first(wrong), do))


def require_labels(name: str, values: NDArray[Any]) -> None:
    """Raise unless all entries are 0 to 1, or unknown: NaN or -1.

    Raises:
        DataError: with the first that is neither, and how many there are.
    """
    known = (values >= -_SLACK) & (values <= 1.0 + _SLACK)
    wrong = values[~known & (values == values) & (values != -1)]
    if wrong.size:
        do = "Write 0 for absent, 1 for present and NaN where nobody knows."
        raise DataError(say(name, "be 0 to 1, or NaN or -1 where unknown", _first(wrong), do))


def _first(wrong: NDArray[Any]) -> str:
    """Return the first of some values, and how many more there are."""
    more = f" and {wrong.size - 1:,} more" if wrong.size > 1 else ""
    return f"{wrong[0]:g}{more}"


def to_class_dim(class_dim: int) -> int:
    """Return an axis of classes: -1, or at least 1 since rows of a batch come first."""
    axis = to_integer("class_dim", class_dim)
    if axis != -1 and not axis >= 1:
        do = "Dense outputs (N, C, H, W) and (N, C, T) have 1, (N, T, C) has 2."
        raise UsageError(say("class_dim", "be -1 or at least 1", class_dim, do))
    return axis


def require_classes_for_index(kind: str, ignore_index: int) -> None:
    """Raise where an index of unknown classes is given for labels.

    Raises:
        UsageError: it is, and is not the default.
    """
    if kind == "multilabel" and ignore_index != IGNORE_INDEX:
        refuse_index(ignore_index)


def refuse_index(ignore_index: Any) -> Never:
    """Raise: labels have no index of what is unknown.

    Raises:
        UsageError: always.
    """
    do = "Write NaN or -1 where a label is unknown."
    raise UsageError(say("ignore_index", "be left out for labels", ignore_index, do))
