"""Reductions: over rows (classes) or over rows and labels, leading axes kept."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from equipoise._core.checks import one_of

__all__ = ["Reduction", "reduce_entries", "reduce_rows"]

Reduction = Literal["none", "mean", "sum"]
REDUCTIONS: tuple[Reduction, ...] = ("none", "mean", "sum")


def reduce_rows(
    values: Tensor, reduction: Reduction, *, dtype: torch.dtype, divisor: Tensor | None = None
) -> Tensor:
    """Reduce (..., N) over N.

    "mean" divides by N, or by ``divisor`` (...) where given; over no rows it is 0.
    """
    one_of("reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return values.to(dtype)
    total = values.sum(-1)
    if reduction == "mean":
        if divisor is None:
            total = total / max(values.shape[-1], 1)
        else:
            total = total / divisor.clamp_min(torch.finfo(divisor.dtype).tiny)
    return total.to(dtype)


def reduce_entries(
    values: Tensor, known: Tensor, reduction: Reduction, *, dtype: torch.dtype
) -> Tensor:
    """Reduce (..., N, L) over N and L, unknown entries left out.

    "none" writes 0 where unknown; "mean" divides by the number of known entries and is 0 where
    there are none.
    """
    one_of("reduction", reduction, REDUCTIONS)
    kept = torch.where(known, values, 0.0)
    if reduction == "none":
        return kept.to(dtype)
    total = kept.sum((-2, -1))
    if reduction == "mean":
        total = total / known.sum((-2, -1)).clamp_min(1)
    return total.to(dtype)
