"""Checks of arguments that answer in one form: name, expected, got, next step."""

from __future__ import annotations

import operator
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


def to_number(name: str, value: Any) -> float:
    """Return a number as a float; texts, None, and arrays of more than one are an error.

    Example:
        >>> to_number("gamma", np.float32(2.0))
        2.0
        >>> to_number("gamma", "2")
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `gamma` must be a number, got '2'.
    """
    if isinstance(value, float):  # what torch compiles gets no further
        return float(value)
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise UsageError(say(name, "be a number", _shown(value)))


def to_integer(name: str, value: Any) -> int:
    """Return a whole number; others, texts and None are an error.

    Example:
        >>> to_integer("ignore_index", 1.5)
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `ignore_index` must be a whole number, got 1.5.
    """
    if isinstance(value, int):
        return int(value)
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(say(name, "be a whole number", _shown(value))) from None


def _shown(value: Any) -> str:
    """Return a value in one line, texts in quotes."""
    return _shortly(repr(value) if isinstance(value, (str, bytes)) else value)


def require_type(name: str, value: object, kind: type | tuple[type, ...], do: str = "") -> None:
    """Raise for a value of another type: arguments that changed places, a name for the thing.

    Example:
        >>> require_type("seed", "a", int, "Give a number.")
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `seed` must be of type int, got str. Give a number.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = f"be of type {' or '.join(k.__name__ for k in kinds)}"
        raise UsageError(say(name, expected, type(value).__name__, do))


def to_fraction(name: str, value: float, *, inclusive: bool = False) -> float:
    """Return ``value`` if it lies in (0, 1), or in [0, 1] with ``inclusive``."""
    number = to_number(name, value)
    inside = 0.0 <= number <= 1.0 if inclusive else 0.0 < number < 1.0
    if not inside:
        raise UsageError(say(name, f"lie in {'[0, 1]' if inclusive else '(0, 1)'}", value))
    return number


def to_positive(name: str, value: float, *, zero: bool = False) -> float:
    """Return ``value`` if it is finite and above zero (or zero with ``zero``)."""
    number = to_number(name, value)
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
    number = to_number(name, value)
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise UsageError(say(name, f"lie in {interval}{why}", value, do))


def to_whole(name: str, value: Any, low: int = 0, high: int = 2**53, *, expected: str = "") -> int:
    """Return a whole number of somebody else's file, as a number or a text, within limits.

    Beyond 2^53 a float no longer tells neighbours apart, and beyond 2^63 no array holds it.

    Example:
        >>> to_whole("support", "50"), to_whole("support", 50.0)
        (50, 50)
        >>> to_whole("support", 1e300)
        Traceback (most recent call last):
        ...
        equipoise.errors.DataError: `support` must be a whole number in [0, 2^53], got 1e+300.
    """
    number: int | None = None
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    digits = isinstance(value, str) and value.strip().lstrip("+-").isdecimal() and len(value) < 20
    if whole or digits or (isinstance(value, float) and value.is_integer()):
        number = int(value)
    if number is None or not low <= number <= high:
        end = "2^53" if high == 2**53 else f"{high}"
        came = repr(value) if isinstance(value, str) else value
        wanted = expected or f"be a whole number in [{low}, {end}]"
        raise DataError(say(name, wanted, _shortly(came)))
    return number


def _shortly(value: Any) -> str:
    """Return a value as text: an integer of thousands of digits has none in Python."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a number of some {round(value.bit_length() * 0.30103)} digits"
    return str(value)


def require_plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of numbers or texts; objects, records, dates and complex are an error."""
    if array.dtype.kind not in "biufUS":
        do = "Save numbers, or texts as they are."
        raise DataError(say(name, "hold numbers or texts", f"dtype {array.dtype}", do))
    return array


def require_least(name: str, value: float, least: int, do: str = "") -> None:
    """Raise unless a number is at least ``least``."""
    if not to_number(name, value) >= least:
        raise UsageError(say(name, f"be at least {least}", value, do))
