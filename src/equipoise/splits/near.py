"""Nearly the same images: pairs of perceptual hashes that differ in a few bits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_shape
from equipoise._core.words import say
from equipoise.errors import DataError, UsageError

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
