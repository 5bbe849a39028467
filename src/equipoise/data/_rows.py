"""What all data sets share: length, items and targets, and memory maps that travel as a path."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import say
from equipoise.artifacts import UNKNOWN, Labels
from equipoise.errors import MissingExtraError, ShapeError


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


try:
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.data") from error


def to_target_row(labels: Labels, index: int) -> Tensor:
    """Return one row's target: an int64 class, or (L,) float32 with NaN where unknown."""
    value = labels.values[index]
    if labels.kind == "multiclass":
        return torch.tensor(int(value))
    target = torch.from_numpy(value.astype(np.float32))
    return torch.where(target == UNKNOWN, torch.nan, target)


class Rows(Dataset[tuple[Any, Tensor]]):
    """Inputs with labels; item i is (input, target), or (input, i) without labels."""

    def __init__(self, size: int, labels: Labels | None, name: str) -> None:
        if labels is not None and len(labels) != size:
            expected = f"have one row per label = {len(labels)}"
            raise ShapeError(say(name, expected, f"{size} rows"))
        self._size = size
        self.labels = labels

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        index = range(len(self))[index]
        target = torch.tensor(index) if self.labels is None else to_target_row(self.labels, index)
        return self._input(index), target

    def _input(self, index: int) -> Any:
        raise NotImplementedError
