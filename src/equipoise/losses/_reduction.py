"""Reductions: over rows (classes) or over rows and labels, leading axes kept."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from equipoise._core.words import one_of
from equipoise.losses._checks import is_mapped

Reduction = Literal["none", "mean", "sum", "batchmean"]
REDUCTIONS: tuple[Reduction, ...] = ("none", "mean", "sum", "batchmean")


def reduce_rows(
    values: Tensor,
    known: Tensor | None,
    reduction: Reduction,
    *,
    dtype: torch.dtype,
    divisor: Tensor | None = None,
) -> Tensor:
    """Reduce (..., N) over the rows that are ``known``; None means all.

    "mean" divides by their number, or by ``divisor`` (...) where given; "batchmean" always by
    their number. Over no rows both are 0.
    """
    one_of("reduction", reduction, REDUCTIONS)
    if known is not None:
        values = torch.where(known, values, 0.0)
    if reduction == "none":
        return values.to(dtype)
    total = values.sum(-1)
    if reduction == "sum":
        return total.to(dtype)
    if reduction == "mean" and divisor is not None:
        return (total / divisor.clamp_min(torch.finfo(divisor.dtype).tiny)).to(dtype)
    # A tensor: dividing by a number differs in the last bit from dividing by a count.
    rows = torch.full_like(total, values.shape[-1]) if known is None else known.sum(-1)
    return (total / rows.clamp_min(1)).to(dtype)


def reduce_entries(
    values: Tensor, known: Tensor | None, reduction: Reduction, *, dtype: torch.dtype
) -> Tensor:
    """Reduce (..., N, L), 0 where unknown, over N and L; ``known`` None means all known.

    "mean" divides by the number of known entries, "batchmean" by
    the number of rows that have one; both are 0 where there are none.
    """
    one_of("reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return values.to(dtype)
    # In one order of memory, so that a slice sums to the same bits alone and in a stack.
    total = values.contiguous().sum((-2, -1))
    if reduction == "sum":
        return total.to(dtype)
    if known is None:
        rows, width = values.shape[-2:]
        count = rows * width if reduction == "mean" else rows
        # A tensor: dividing by a number differs in the last bit from dividing by a count.
        return (total / torch.full_like(total, max(count, 1))).to(dtype)
    counted = _count(known) if reduction == "mean" else known.any(-1).sum(-1)
    return (total / counted.clamp_min(1)).to(dtype)


def _count(known: Tensor) -> Tensor:
    """Return how many entries are True, over the last two axes."""
    if torch.compiler.is_compiling() or known.device.type != "cpu" or is_mapped(known):
        return known.sum((-2, -1))
    # NumPy counts booleans ten times as fast.
    return torch.from_numpy(np.asarray(np.count_nonzero(known.numpy(), axis=(-2, -1))))


def reduce_units(
    values: Tensor, counted: Tensor, reduction: Reduction, *, dtype: torch.dtype
) -> Tensor:
    """Reduce one value per row (..., N) or per label (..., L); units not ``counted`` are 0.

    "mean" and "batchmean" divide by the number of counted units and are 0 where there are none.
    """
    one_of("reduction", reduction, REDUCTIONS)
    kept = torch.where(counted, values, 0.0)
    if reduction == "none":
        return kept.to(dtype)
    total = kept.sum(-1)
    if reduction != "sum":
        total = total / counted.sum(-1).clamp_min(1)
    return total.to(dtype)
