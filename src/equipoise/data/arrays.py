"""A torch data set over an array or memory map and its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_finite, say
from equipoise.artifacts import UNKNOWN, Labels
from equipoise.errors import MissingExtraError, ShapeError

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
        features: (N, ...) array or memory map; floats are kept, integers become float32.
        labels: (N,) classes or (N, L) labels of the same rows.

    Item i is (features, target): the target is an int64 class, or (L,) float32 with NaN where the
    label is unknown.

    Example:
        >>> labels = Labels.from_array([[1, 0], [0, -1]], kind="multilabel")
        >>> x, target = ArrayDataset(np.zeros((2, 3), dtype=np.float32), labels)[1]
        >>> x.shape, target
        (torch.Size([3]), tensor([0., nan]))
    """

    def __init__(self, features: NDArray[Any], labels: Labels) -> None:
        if features.shape[0] != len(labels):
            raise ShapeError(
                say("features", f"have one row per label = {len(labels)}", features.shape[0])
            )
        if features.dtype.kind == "f" and not isinstance(features, np.memmap):
            require_finite("features", features, "Fill or drop missing values first.")
        self.features = features
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
