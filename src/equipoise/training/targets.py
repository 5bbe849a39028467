"""Labels as training targets, and row ids where a table has none."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._core.targets import require_classes, require_labels
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import Kind


def require_targets(target: Tensor, kind: Kind, width: int, ignore_index: int) -> None:
    """Raise unless a batch holds targets of this kind and width; waits for the device.

    Raises:
        DataError: a class outside 0 to C - 1 that is not ``ignore_index``, or an entry of labels
            outside 0 to 1 that is neither NaN nor -1.
    """
    if target.dtype == torch.bool:
        return
    values = target.detach().cpu().double().numpy()
    if kind == "multilabel" or target.is_floating_point():
        require_labels("target", values)
    else:
        require_classes("target", values, width, ignore_index)


def divisor(loss: nn.Module, target: Tensor) -> Tensor:
    """Return what the mean of a loss divides by; rows where the loss does not say."""
    ask = getattr(loss, "divisor", None)
    rows: Tensor = ask(target) if callable(ask) else torch.tensor(len(target))
    return rows


def mark_unknown(target: Tensor) -> Tensor:
    """Return targets with entries below 0 as NaN; class indices as they are."""
    return torch.where(target < 0, torch.nan, target) if target.is_floating_point() else target


def to_target(labels: Labels, dtype: torch.dtype) -> Tensor:
    """Return (N,) int64 classes, or (N, L) floats with NaN where unknown."""
    if labels.kind == "multiclass":
        return torch.from_numpy(np.ascontiguousarray(labels.values))
    hot = torch.as_tensor(labels.values, dtype=dtype)
    return torch.where(hot < 0, torch.full_like(hot, math.nan), hot)
