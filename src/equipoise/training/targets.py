"""Labels as training targets, and row ids where a table has none."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.artifacts import Labels

__all__ = ["to_target", "with_ids"]


def to_target(labels: Labels, dtype: torch.dtype) -> Tensor:
    """Return (N,) int64 classes, or (N, L) floats with NaN where unknown."""
    if labels.kind == "multiclass":
        return torch.from_numpy(np.ascontiguousarray(labels.values))
    hot = torch.as_tensor(labels.values, dtype=dtype)
    return torch.where(hot < 0, torch.full_like(hot, math.nan), hot)


def with_ids(labels: Labels, rows: NDArray[np.int64]) -> Labels:
    """Return the labels of some rows; positions serve as ids where there are none."""
    part = labels[rows]
    if part.ids is not None:
        return part
    return Labels.from_array(
        part.values, kind=part.kind, names=part.names, ids=rows, groups=part.groups
    )
