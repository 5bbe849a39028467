"""Reading counts from arrays, mappings, labels and dataframes, for the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_finite, require_shape, to_array, to_floats
from equipoise._core.messages import hint, say
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, ShapeError, UsageError

Counts = ArrayLike | Mapping[str, float] | Labels | Any
"""Array, mapping name -> count, `Labels`, or a pandas or polars Series or one-row frame."""


def _from_frame(name: str, value: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Return the numbers and names of a Series or one-row frame; other values pass through."""
    import narwhals as nw

    data = nw.from_native(value, allow_series=True, eager_only=True, pass_through=True)
    if isinstance(data, nw.DataFrame):
        if data.shape[0] != 1:
            raise ShapeError(
                say(name, "be a frame of one row, one column per class", f"{data.shape[0]} rows")
            )
        return np.asarray(data.row(0)), tuple(data.columns)
    if isinstance(data, nw.Series):
        index = nw.maybe_get_index(data)
        names = None if index is None else tuple(str(entry) for entry in index)
        return data.to_numpy(), names
    return value, None


def read_counts(name: str, counts: Counts) -> tuple[Floats, tuple[str, ...]]:
    """Return counts (C,) float64 and one name per class."""
    raw: Any = counts
    names: tuple[str, ...] | None = None
    if isinstance(counts, Labels):
        raw, names = counts.counts, counts.names
    elif isinstance(counts, Mapping):
        raw, names = list(counts.values()), tuple(str(key) for key in counts)
    elif not isinstance(counts, (np.ndarray, list, tuple)):
        raw, names = _from_frame(name, counts)
    array = to_array(name, raw, ndim=1)
    if array.dtype.kind not in "fiu":
        raise DataError(say(name, "be numbers", f"dtype {array.dtype}", "Pass one count a class."))
    values = np.asarray(array, dtype=np.float64)
    require_finite(name, values, "Count the rows of each class.")
    if values.size == 0 or values.min() < 0:
        got = "none" if values.size == 0 else f"{values.min():g}"
        raise DataError(say(name, "be counts >= 0, at least one", got))
    return values, names or tuple(str(i) for i in range(values.size))


def refuse_zeros(name: str, zero: NDArray[np.bool_], names: tuple[str, ...], what: str) -> None:
    """Raise if an entry is zero, and name the first ones."""
    if zero.any():
        listed = ", ".join(repr(names[i]) for i in np.flatnonzero(zero)[:5])
        raise DataError(
            say(
                name,
                f"be above 0 for every {what}",
                f"0 for {int(zero.sum())} of {zero.size} ({listed})",
                hint('Pass {zero_counts=ignore} to leave them out, "smooth" to add one to each.'),
            )
        )


def positives_and_known(
    n_positive: Counts, n_known: ArrayLike | None
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return positives and known rows per label, both (L,), and one name per label."""
    positive, names = read_counts("n_positive", n_positive)
    if n_known is None:
        if not isinstance(n_positive, Labels):
            raise UsageError(
                say("n_known", "be given", None, "Pass the number of known rows, one or per label.")
            )
        n_known = n_positive.known
    known = to_floats("n_known", to_array("n_known", n_known, ndim=(0, 1)))
    if known.ndim:
        require_shape("n_known", known, positive.shape, "One number of known rows per label.")
    known = np.broadcast_to(known, positive.shape)
    require_finite("n_known", known, "Count the rows whose label is known.")
    if (positive > known).any():
        i = int(np.argmax(positive > known))
        raise DataError(
            say("n_positive", "be at most `n_known`", f"{positive[i]:g} of {known[i]:g}")
        )
    return positive, known, names
