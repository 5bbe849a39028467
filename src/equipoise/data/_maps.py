"""Memory maps that travel to worker processes as a path, not as their contents."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _MapInFile:
    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    fortran: bool


def pack(array: NDArray[Any]) -> NDArray[Any] | _MapInFile:
    """Return where a memory map lies; arrays, and views of part of a map, as they are."""
    # Views of a part keep the map's offset, not their own.
    if not (isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)):
        return array
    if array.filename is None:
        return array
    fortran = not array.flags.c_contiguous
    return _MapInFile(str(array.filename), array.dtype, array.shape, array.offset, fortran)


def unpack(packed: NDArray[Any] | _MapInFile) -> NDArray[Any]:
    """Open what :func:`pack` returned, read-only."""
    if not isinstance(packed, _MapInFile):
        return packed
    return np.memmap(
        packed.path,
        dtype=packed.dtype,
        mode="r",
        offset=packed.offset,
        shape=packed.shape,
        order="F" if packed.fortran else "C",
    )
