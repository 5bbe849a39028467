"""A torch data set over an array or memory map and its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_finite, say
from equipoise.artifacts import UNKNOWN, Labels
from equipoise.errors import DataError, MissingExtraError, ShapeError

try:
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.data") from error

__all__ = ["ArrayDataset"]


class ArrayDataset(Dataset[tuple[Tensor, Tensor]]):
    """Rows of an array with their labels as training targets.

    Args:
        features: (N, ...) array or memory map of numbers; float32 and float64 are kept, all else
            becomes float32, row by row. A memory map is read only where rows are asked for.
        labels: (N,) classes or (N, L) labels of the same rows.

    Item i is (features, target): the target is an int64 class, or (L,) float32 with NaN where the
    label is unknown.

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

    def __init__(self, features: NDArray[Any] | ArrayLike, labels: Labels) -> None:
        array = features if isinstance(features, np.ndarray) else np.asarray(features)
        if array.shape[:1] != (len(labels),):
            raise ShapeError(
                say("features", f"have one row per label = {len(labels)}", f"shape {array.shape}")
            )
        if array.dtype.kind not in "fiub":
            raise DataError(say("features", "be numbers", f"dtype {array.dtype}"))
        if array.dtype.kind == "f" and not isinstance(array, np.memmap):
            require_finite("features", array, "Fill or drop missing values first.")
        self.features = array
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = np.asarray(self.features[index])
        dtype = row.dtype if row.dtype in (np.float32, np.float64) else np.float32
        x = torch.from_numpy(np.array(row, dtype=dtype))
        value = self.labels.values[index]
        if self.labels.kind == "multiclass":
            return x, torch.tensor(int(value))
        target = torch.from_numpy(value.astype(np.float32))
        return x, torch.where(target == UNKNOWN, torch.nan, target)
