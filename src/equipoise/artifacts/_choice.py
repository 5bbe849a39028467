"""Decisions that look at a whole row, a whole batch or a cost matrix instead of one threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.words import say
from equipoise.artifacts.labels import Kind
from equipoise.errors import DataError

_FORMS = {"top_k": "multilabel", "budget": "multilabel", "costs": "multiclass"}


def check_choice(choice: Mapping[str, Any] | None, kind: Kind, width: int) -> None:
    """Raise unless ``choice`` is None or one of the closed set, for this kind and width."""
    if choice is None:
        return
    do = "Make the rule again with tune(scores)."
    form = choice.get("form")
    if _FORMS.get(str(form)) != kind:
        allowed = " or ".join(repr(f) for f, k in _FORMS.items() if k == kind)
        raise DataError(say("choice.form", f"be {allowed} for {kind}", repr(form), do))
    if form == "top_k" and not (isinstance(choice["k"], int) and 1 <= choice["k"] <= width):
        raise DataError(say("choice.k", f"lie in 1..{width}", repr(choice["k"]), do))
    if form == "budget" and not 0 < float(choice["flags_per_row"]) <= width:
        got = choice["flags_per_row"]
        raise DataError(say("choice.flags_per_row", f"lie in (0, {width}]", got, do))
    if form == "costs":
        costs = np.asarray(choice["costs"], dtype=np.float64)
        if costs.shape != (width, width) or not np.isfinite(costs).all():
            expected = f"be a finite {width} x {width} matrix"
            raise DataError(say("choice.costs", expected, f"shape {costs.shape}", do))


def choose(values: Floats, choice: Mapping[str, Any]) -> NDArray[Any]:
    """Return flags (N, L) int8, or classes (N,) int64 for a cost matrix.

    "top_k" flags the k labels of each row with the highest log-odds, the first label where they
    are equal. "budget" flags the cells of the batch with the highest log-odds, never more than
    ``flags_per_row`` times the rows: cells tied at the border are all left out. "costs" takes the
    class with the least expected cost, ``costs[truth][decision]``.

    Example:
        >>> z = np.array([[2.0, 1.0], [0.0, -1.0]])
        >>> choose(z, {"form": "top_k", "k": 1}).tolist()
        [[1, 0], [1, 0]]
        >>> choose(z, {"form": "budget", "flags_per_row": 1.0}).tolist()
        [[1, 1], [0, 0]]
    """
    if choice["form"] == "costs":
        expected = np.exp(values) @ np.asarray(choice["costs"], dtype=np.float64)
        return np.asarray(np.argmin(expected, axis=1), dtype=np.int64)
    flags = np.zeros(values.shape, dtype=np.int8)
    if choice["form"] == "top_k":
        first = np.argsort(-values, axis=1, kind="stable")[:, : int(choice["k"])]
        np.put_along_axis(flags, first, 1, axis=1)
        return flags
    allowed = int(np.floor(float(choice["flags_per_row"]) * values.shape[0] + 1e-9))
    if allowed >= values.size:
        return np.ones_like(flags)
    place = values.size - allowed - 1
    border = np.partition(values, place, axis=None)[place]
    return np.asarray(values > border, dtype=np.int8)
