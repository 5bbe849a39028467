"""Copies: rows of the same content, or images nearly the same, which belong into one part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from equipoise._core.checks import require_shape
from equipoise._core.codes import CODES
from equipoise._core.identity import text_codes
from equipoise._core.messages import say
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels, to_ids
from equipoise.errors import DataError, UsageError
from equipoise.splits.leakage import row_hashes

_BANDS = 4
_MOST = 2_000_000


def near_pairs(hashes: NDArray[np.uint64], *, max_distance: int = 3) -> NDArray[np.int64]:
    """Return the pairs of rows whose 64-bit hashes differ in at most so many bits.

    Two hashes that differ in three bits or fewer agree in one of four bands of 16 bits, so only
    rows that share a band are compared.

    Args:
        hashes: (N,) uint64, for example of :func:`equipoise.data.image_hashes`. A hash of 0 (a
            flat image) is never near to anything.
        max_distance: Bits, 0 to 3.

    Returns:
        (P, 2) int64, first row below second, sorted.

    Raises:
        UsageError: a distance outside 0 to 3.
        DataError: so many images of one kind that pairs would fill the memory.

    Example:
        >>> near_pairs(np.array([255, 2**60 - 2**30, 254], dtype=np.uint64)).tolist()
        [[0, 2]]
    """
    require_shape("hashes", hashes, (None,), "One hash per row.")
    if not 0 <= max_distance < _BANDS:
        raise UsageError(say("max_distance", f"lie in 0 to {_BANDS - 1}", max_distance))
    codes = np.asarray(hashes, dtype=np.uint64)
    rows = np.flatnonzero(codes)
    found = [np.empty((0, 2), dtype=np.int64)]
    total = 0
    for band in range(_BANDS):
        key = (codes[rows] >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = rows[np.argsort(key, kind="stable")]
        sorted_key = np.sort(key, kind="stable")
        starts = np.flatnonzero(np.r_[True, sorted_key[1:] != sorted_key[:-1], True])
        for first, last in pairwise(starts.tolist()):
            pairs = _within(codes, order[first:last], max_distance)
            total += len(pairs)
            if total > _MOST:
                got = f"over {_MOST:,} pairs"
                do = "Remove images that are blank or the same first."
                raise DataError(say("hashes", "be of different images", got, do))
            found.append(pairs)
    joined = np.concatenate(found)
    return np.unique(np.sort(joined, axis=1), axis=0)


def _within(codes: NDArray[np.uint64], rows: NDArray[np.int64], distance: int) -> NDArray[np.int64]:
    found = []
    for i in range(len(rows) - 1):
        apart = np.bitwise_count(codes[rows[i + 1 :]] ^ codes[rows[i]])
        near = rows[i + 1 :][apart <= distance]
        if near.size:
            found.append(np.stack([np.full(near.size, rows[i]), near], axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


_ROWS_AT_ONCE = 65_536
# Equal rows are copies where chance would make less than this share of them.
_CHANCE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Rows that have the content of another row, and what keeps them together.

    Args:
        units: (N,) int64 codes from 0: rows of one code belong into one part, as their content or
            their group is the same, or that of a row in between; None where no row is a copy.
        n_rows: Rows whose content occurs more than once.
        n_contents: Different contents among them.
    """

    units: NDArray[np.int64] | None
    n_rows: int
    n_contents: int

    def to_dict(self) -> dict[str, int]:
        """Return what goes into the proof of a split."""
        return {"rows": self.n_rows, "contents": self.n_contents}


def feature_contents(features: ArrayLike) -> NDArray[np.uint64] | None:
    """Return (N,) hashes of rows of numbers, or None where equal rows do not tell of copies.

    Rows of a few whole-number codes are equal by chance: four yes-or-no answers have 16 contents.
    So equal rows count as copies only where columns that were drawn on their own would make less
    than 1 % of the pairs of equal rows that there are. A column of measurements is judged by the
    different contents alone, as copies repeat its values. One single column is never evidence, nor
    is a constant one.

    Args:
        features: (N, ...) numbers, in memory or as a memory map.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> measured = rng.normal(size=(50, 3))
        >>> feature_contents(np.concatenate([measured, measured])) is None
        False
        >>> feature_contents(rng.integers(0, 2, (100, 4))) is None
        True
    """
    array = np.asanyarray(features)
    n = array.shape[0]
    if array.ndim < 2 or n < 2 or array[0].size < 2 or array.dtype.kind not in "fiub":
        return None
    parts = range(0, n, _ROWS_AT_ONCE)
    hashes = np.concatenate([row_hashes(array[i : i + _ROWS_AT_ONCE]) for i in parts])
    _, first, sizes = np.unique(hashes, return_index=True, return_counts=True)
    found = _pairs(sizes)
    if not found:
        return hashes
    expected = n * (n - 1) / 2
    flat = array.reshape(n, -1)
    one = np.sort(first)
    for j in range(flat.shape[1]):
        column = np.asarray(flat[:, j])
        whole = column.dtype.kind in "iub" or bool((column == np.floor(column)).all())
        expected *= _match(column if whole else column[one])
        if expected <= _CHANCE * found:
            return hashes
    return None


def _pairs(sizes: NDArray[np.int64]) -> float:
    return float((sizes.astype(np.float64) * (sizes - 1)).sum() / 2)


def _match(column: NDArray[Any]) -> float:
    """Return the share of pairs of rows that have the same value."""
    if column.size < 2:
        return 1.0
    sizes = np.unique(column, return_counts=True)[1]
    return _pairs(sizes) / (column.size * (column.size - 1) / 2)


def find_copies(contents: ArrayLike | None, groups: ArrayLike | None = None) -> Copies | None:
    """Return what keeps rows of equal content, and groups, together; None if nothing is known.

    Args:
        contents: (N,) hashes of what each row holds, for example of :func:`feature_contents` or of
            files; None where it is not known.
        groups: (N,) rows that belong together anyhow, or None.

    Example:
        >>> found = find_copies([7, 8, 7, 9, 6], groups=["a", "b", "b", "c", "d"])
        >>> found.units.tolist(), found.n_rows, found.n_contents
        ([0, 0, 0, 1, 2], 2, 1)
    """
    if contents is None:
        return None
    hashes = np.asarray(contents)
    require_shape("contents", hashes, (None,), "One hash per row.")
    codes, sizes = np.unique(hashes, return_inverse=True, return_counts=True)[1:]
    codes = codes.reshape(-1)
    repeated = sizes > 1
    if not repeated.any():
        return Copies(None, 0, 0)
    n, width = hashes.size, sizes.size
    rows, ends = [np.arange(n)], [n + codes]
    given = to_ids("groups", groups, n, unique=False)
    if given is not None:
        own = text_codes(given)
        rows.append(np.arange(n))
        ends.append(n + width + own)
        width += int(own.max()) + 1
    left, right = np.concatenate(rows), np.concatenate(ends)
    graph = coo_array((np.ones(left.size, dtype=np.int8), (left, right)), shape=(n + width,) * 2)
    joined = connected_components(graph, directed=False)[1][:n]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    units = np.argsort(np.argsort(first))[inverse.reshape(-1)]  # by first row
    return Copies(units.astype(np.int64), int(sizes[repeated].sum()), int(repeated.sum()))


def copies_finding(copies: Mapping[str, int], labels: Labels) -> Finding:
    """Say that rows were copies and were kept together; ``copies`` stands in a split's proof."""
    rows, contents = copies["rows"], copies["contents"]
    return Finding(
        "EQ208",
        *CODES["EQ208"],
        f"{rows:,} of {len(labels):,} rows ({rows / len(labels):.1%}) have the same content as "
        f"another row, {contents:,} contents in all. Copies are kept in one part or fold, so no "
        "score is memory; the rows are worth less than their number says.",
        {"rows": rows, "contents": contents, "share": rows / len(labels)},
        (
            "If they are repeated by accident, remove them before counting anything.",
            "If they balance the classes, repeat training rows only, or use a sampler.",
        ),
    )
