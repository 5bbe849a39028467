"""One epoch of any sampler: the rows it yields, one by one or in batches, up to a limit."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import BatchSampler

Rows = NDArray[np.int64]
_CHUNK, _SHOWN = 8_192, 3
_END = object()


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What one pass over a sampler yielded.

    Args:
        rows: Row indices in order, batches flattened, whether or not such rows exist.
        sizes: (B,) rows in each batch; None where single rows are yielded.
        items: Rows or batches yielded.
        odd: The first things yielded that are no rows.
        odd_count: How many there were.
        ended: Whether the sampler stopped by itself, or at the limit.
    """

    rows: Rows
    sizes: Rows | None
    items: int
    odd: tuple[str, ...]
    odd_count: int
    ended: bool

    def inside(self, n: int) -> NDArray[np.bool_]:
        """Return which rows lie in 0 to n - 1."""
        return np.asarray((self.rows >= 0) & (self.rows < n))

    def starts_like(self, other: Draws) -> bool:
        """Whether both begin with the same rows, as far as the shorter one was followed."""
        if self.ended and other.ended:
            return np.array_equal(self.rows, other.rows)
        size = min(self.rows.size, other.rows.size)
        return np.array_equal(self.rows[:size], other.rows[:size])


def _index(value: Any) -> int | None:
    """Return a row index, or None for what is none (a truth value, a text, a fraction)."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _parts(item: Any, pairs: bool) -> list[Any] | None:
    """Return the members of a batch, or None for a single row; a pair is (row, copy)."""
    if isinstance(item, tuple) and len(item) == 2 and pairs:
        return None
    if isinstance(item, (str, bytes, dict)) or getattr(item, "ndim", 1) == 0:
        return None
    return list(item) if isinstance(item, Iterable) else None


class _Collector:
    def __init__(self, pairs: bool) -> None:
        self.pairs = pairs
        self.rows: list[Rows] = []
        self.sizes: list[int] = []
        self.odd: list[str] = []
        self.odd_count = 0
        self.batched = False

    def add(self, chunk: list[Any]) -> int:
        """Take a chunk of items and return how many rows it held."""
        if isinstance(chunk[0], (int, np.integer)) and not isinstance(chunk[0], bool):
            try:
                whole = np.asarray(chunk)
            except (ValueError, TypeError, OverflowError):
                whole = np.empty((0, 0))
            if whole.ndim == 1 and whole.dtype.kind in "iu":
                self.rows.append(whole.astype(np.int64))
                return int(whole.size)
        flat = [row for item in chunk for row in self._rows(item)]
        self.rows.append(np.asarray(flat, dtype=np.int64))
        return len(flat)

    def _rows(self, item: Any) -> list[int]:
        parts = _parts(item, self.pairs)
        if parts is not None:
            self.batched = True
        elif isinstance(item, tuple):
            item = item[0]
        found = []
        for value in [item] if parts is None else parts:
            row = _index(value)
            if row is None or not -(2**63) <= row < 2**63:
                self.odd_count += 1
                self.odd += [repr(value)[:40]] if len(self.odd) < _SHOWN else []
            else:
                found.append(row)
        if parts is not None:
            self.sizes.append(len(found))
        return found


def take(sampler: Any, limit: int, most_items: int | None = None) -> Draws:
    """Draw from ``sampler`` until it ends or ``limit`` rows (or ``most_items`` items) have come.

    Example:
        >>> take([[0, 1], [2]], 10).sizes.tolist(), take(range(5), 3).ended
        ([2, 1], False)
    """
    flow = iter(sampler)
    held = _Collector(pairs=not isinstance(sampler, BatchSampler))
    items = rows = 0
    ended = False
    most = limit if most_items is None else min(most_items, limit)
    while items < most and rows < limit:
        chunk = list(islice(flow, min(_CHUNK, most - items)))
        if not chunk:
            ended = True
            break
        items += len(chunk)
        rows += held.add(chunk)
    return Draws(
        rows=np.concatenate(held.rows) if held.rows else np.empty(0, dtype=np.int64),
        sizes=np.asarray(held.sizes, dtype=np.int64) if held.batched else None,
        items=items,
        odd=tuple(held.odd),
        odd_count=held.odd_count,
        ended=ended or next(flow, _END) is _END,
    )
