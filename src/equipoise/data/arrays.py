"""A torch data set over an array or memory map and its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from equipoise._core.checks import require_finite
from equipoise._core.messages import say
from equipoise._core.reading import reading_file
from equipoise.artifacts import Labels
from equipoise.data._rows import Rows, pack, unpack
from equipoise.errors import DataError, ShapeError


class ArrayDataset(Rows):
    """Rows of an array with their labels as training targets.

    Args:
        features: (N, ...) array or memory map of numbers. A memory map is read only where rows
            are asked for, and goes to worker processes as its path.
        labels: (N,) classes or (N, L) labels of the same rows; without them item i is (row, i).
        keep_dtype: Keep any dtype. By default float32 and float64 are kept, and all else becomes
            float32, row by row.

    Item i is (features, target): a copy of the row; the target is an int64 class, or (L,) float32
    with NaN where the label is unknown.

    Raises:
        ShapeError: not one row of features per label.
        DataError: features that are not numbers, or not finite (not checked in memory maps, where
            a NaN shows as a loss that is not finite).

    Example:
        >>> labels = Labels.from_array([[1, 0], [0, -1]], kind="multilabel")
        >>> x, target = ArrayDataset(np.zeros((2, 3), dtype=np.float32), labels)[1]
        >>> x.shape, target
        (torch.Size([3]), tensor([0., nan]))
    """

    def __init__(
        self,
        features: NDArray[Any] | ArrayLike,
        labels: Labels | None = None,
        *,
        keep_dtype: bool = False,
    ) -> None:
        array = features if isinstance(features, np.ndarray) else np.asarray(features)
        if array.ndim == 0 or (labels is not None and len(array) != len(labels)):
            rows = "row" if labels is None else f"row per label = {len(labels)}"
            raise ShapeError(say("features", f"have one {rows}", f"shape {array.shape}"))
        if array.dtype.kind not in "fiub":
            raise DataError(say("features", "be numbers", f"dtype {array.dtype}"))
        if keep_dtype and array.dtype.itemsize > 8:
            raise DataError(say("features", "have a dtype that torch has", f"{array.dtype}"))
        if array.dtype.kind == "f" and not isinstance(array, np.memmap):
            require_finite("features", array, "Fill or drop missing values first.")
        self.features = array
        self.keep_dtype = keep_dtype
        super().__init__(len(array), labels, "features")

    @classmethod
    def from_file(
        cls, path: str | Path, labels: Labels | None = None, *, keep_dtype: bool = False
    ) -> ArrayDataset:
        """Map an .npy file into memory; it is read row by row, and never as a pickle.

        Args:
            path: A file that ``np.save`` wrote.
            labels: As in the class, and so is ``keep_dtype``.

        Raises:
            DataError: as the class, and a missing file, an .npz, or an array of objects.
        """
        file = Path(path)
        if file.suffix.lower() != ".npy":
            do = "Of an .npz hand over an array: np.load(path)[name]."
            raise DataError(say(str(path), "be an .npy file", f"'{file.suffix}'", do))
        with reading_file(path, "be an array without pickles"):
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        return cls(array, labels, keep_dtype=keep_dtype)

    def _input(self, index: int) -> Tensor:
        row = np.asarray(self.features[index])
        dtype = row.dtype.newbyteorder("=")
        if not self.keep_dtype and dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float32)
        return torch.from_numpy(np.array(row, dtype=dtype))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "features": pack(self.features)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, features=unpack(state["features"]))
