"""Damaged files: whatever a library does on one becomes one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._core.messages import say
from equipoise.errors import DataError, EquipoiseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAMAGED = (TypeError, ValueError, AttributeError, IndexError, KeyError, OSError, ArithmeticError,
           MemoryError, RecursionError)  # fmt: skip
"""What fields of another type, size or depth than those that were written make of a reader."""


def reason_of(error: BaseException, most: int = 160) -> str:
    """Return what an error says as one short line, or its type where it says nothing."""
    lines = [line for line in str(error).split("\n") if line.strip()]
    # Polars reports under its first line what it was about to do.
    said = " ".join(lines[0].split()) if lines else ""
    if isinstance(error, KeyError):
        return f"none called {said[:most]}"
    if isinstance(error, MemoryError):
        return f"more than fits into memory ({said})" if said else "more than fits into memory"
    return said[:most] or type(error).__name__


@contextmanager
def reading_file(path: str | Path, wanted: str, do: str = "") -> Iterator[None]:
    """Turn what a library raises on a damaged file into one line; hold its calls and no others.

    Args:
        path: The file.
        wanted: What it must be, as in "be a Parquet file".
        do: The next step.

    Example:
        >>> with reading_file("x.npy", "be a NumPy file", "Save it again."):
        ...     raise EOFError("No data left in file")
        Traceback (most recent call last):
        ...
        equipoise.errors.DataError: `x.npy` must be a NumPy file, got No data left in file. Save it again.
    """  # noqa: E501
    try:
        yield
    except EquipoiseError:
        raise
    except FileNotFoundError as error:
        raise DataError(say(str(path), wanted, "nothing there", "Check the path.")) from error
    except Exception as error:
        raise DataError(say(str(path), wanted, reason_of(error).rstrip("."), do)) from error
    except BaseException as error:
        # Polars panics on some damaged files, which is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(say(str(path), wanted, reason_of(error).rstrip("."), do)) from error


def load_arrays(path: str | Path, wanted: str, do: str = "") -> NDArray[Any] | dict[str, Any]:
    """Return the array of an .npy file, or those of an .npz by name; never what was pickled."""
    import numpy as np

    # NumPy leaves a damaged archive open that it has opened itself.
    with reading_file(path, wanted, do), Path(path).open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
        except ValueError as error:
            if "pickle" not in str(error) or "Object arrays" in str(error):
                raise
            # NumPy takes whatever it does not know for pickled, and says how to read that.
            raise DataError(say(str(path), wanted, "another kind of file", do)) from error
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
