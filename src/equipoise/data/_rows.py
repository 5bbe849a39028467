"""What all data sets share: a length, items of input and target, and labels as targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.words import say
from equipoise.artifacts import UNKNOWN, Labels
from equipoise.errors import MissingExtraError, ShapeError

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
