"""Checks of arguments that answer in one form: name, expected, got, next step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.messages import say
from equipoise.errors import DataError, ShapeError, UsageError


def to_array(name: str, value: ArrayLike, *, ndim: int | tuple[int, ...]) -> NDArray[Any]:
    """Return ``value`` as an array of ``ndim`` dimensions; ragged input is an error."""
    dims = (ndim,) if isinstance(ndim, int) else ndim
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            say(name, "be a rectangular array", "rows of different length", "Pad or fix the rows.")
        ) from error
    except (TypeError, RuntimeError) as error:
        got = f"{type(value).__name__} ({error})"
        do = "Hand over NumPy arrays, for a tensor: tensor.detach().cpu().numpy()."
        raise DataError(say(name, "be an array that NumPy reads", got, do)) from error
    if array.ndim not in dims:
        expected = " or ".join(str(d) for d in dims)
        do = "Rows come first, then one column per class or label."
        raise ShapeError(say(name, f"have {expected} dimension(s)", f"shape {array.shape}", do))
    return array


def require_shape(name: str, array: NDArray[Any], shape: tuple[int | None, ...], why: str) -> None:
    """Raise unless ``array`` has ``shape``; None stands for any length."""
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise ShapeError(say(name, f"have shape {wanted}", array.shape, why))


def require_finite(name: str, array: NDArray[Any], do: str) -> None:
    """Raise if a value is NaN or infinite, and say how many and where the first one is."""
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        place = f"row {where[0]}" + (f", column {where[1]}" if len(where) > 1 else "")
        raise DataError(
            say(name, "be finite", f"{int(bad.sum())} NaN or infinite values (first: {place})", do)
        )


def to_floats(name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers as float64; texts and objects are an error."""
    if array.dtype.kind not in "fiub":
        do = "Read columns of numbers, and leave ids and names apart."
        raise DataError(say(name, "be numbers", f"dtype {array.dtype}", do))
    return array.astype(np.float64)


def to_fraction(name: str, value: float, *, inclusive: bool = False) -> float:
    """Return ``value`` if it lies in (0, 1), or in [0, 1] with ``inclusive``."""
    number = float(value)
    inside = 0.0 <= number <= 1.0 if inclusive else 0.0 < number < 1.0
    if not inside:
        raise UsageError(say(name, f"lie in {'[0, 1]' if inclusive else '(0, 1)'}", value))
    return number


def to_positive(name: str, value: float, *, zero: bool = False) -> float:
    """Return ``value`` if it is finite and above zero (or zero with ``zero``)."""
    number = float(value)
    if not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise UsageError(say(name, "be >= 0" if zero else "be > 0", value))
    return number


def require_within(name: str, value: float, interval: str, do: str = "", *, why: str = "") -> None:
    """Raise unless a number lies in an interval such as "[0, 1)"; NaN lies in none.

    Losses look themselves: what torch compiles cannot read text.

    Args:
        name: Of the argument.
        value: Its value.
        interval: With round brackets where an end is left out.
        do: The next step.
        why: More about what is expected, for example ", a share of rows".

    Example:
        >>> require_within("momentum", 1.0, "[0, 1)")
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `momentum` must lie in [0, 1), got 1.0.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        raise UsageError(say(name, f"lie in {interval}{why}", value, do))


def require_least(name: str, value: float, least: int, do: str = "") -> None:
    """Raise unless a number is at least ``least``."""
    if not value >= least:
        raise UsageError(say(name, f"be at least {least}", value, do))
