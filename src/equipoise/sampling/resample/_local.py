"""Local imbalance: how many neighbours of a row disagree with it, label by label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise.artifacts.labels import UNKNOWN

MAJORITY, SAFE, BORDERLINE, RARE, OUTLIER = range(5)
_BLOCK = 16_384


class Local(NamedTuple):
    """Of the rows that hold the rarer value of some label.

    Args:
        weight: (Q,) of each as a seed.
        types: (N, L) int8 of all rows: MAJORITY, SAFE, BORDERLINE, RARE or OUTLIER.
    """

    weight: Floats
    types: NDArray[np.int8]


def minority_entries(values: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return (N, L) whether an entry holds the rarer of 0 and 1 in its column (1 in a tie)."""
    ones, zeros = (values == 1).sum(axis=0), (values == 0).sum(axis=0)
    return np.asarray(values == np.where(ones <= zeros, 1, 0).astype(np.int8))


def _disagreement(values: NDArray[np.int8], rows: Ints, near: Ints) -> Floats:
    """Return (Q, L) share of the neighbours whose label is known that hold the other value."""
    share = np.zeros((rows.size, values.shape[1]))
    for start in range(0, rows.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        around = values[near[part]]
        known = (around != UNKNOWN).sum(axis=1)
        other = (around == 1 - values[rows[part]][:, None, :]).sum(axis=1)
        np.divide(other, known, out=share[part], where=known > 0)
    return share


def _types(minority: NDArray[np.bool_], share: Floats, rows: Ints, near: Ints) -> NDArray[np.int8]:
    types = np.full(minority.shape, MAJORITY, dtype=np.int8)
    grade = np.select(
        [share < 0.3, share < 0.7, share < 1.0], [SAFE, BORDERLINE, RARE], OUTLIER
    ).astype(np.int8)
    types[rows] = np.where(minority[rows], grade, MAJORITY)
    place, column = np.nonzero(types[rows] == RARE)
    while place.size:  # a rare entry beside a safe or borderline one is borderline itself
        around = types[near[place], column[:, None]]
        up = ((around == SAFE) | (around == BORDERLINE)).any(axis=1)
        if not up.any():
            break
        types[rows[place[up]], column[up]] = BORDERLINE
        place, column = place[~up], column[~up]
    return types


def local_imbalance(
    values: NDArray[np.int8], minority: NDArray[np.bool_], rows: Ints, near: Ints
) -> Local:
    """Weigh and grade rows by how their neighbours' labels differ.

    Args:
        values: (N, L) in 1, 0, -1.
        minority: (N, L) which entries hold the rarer value.
        rows: (Q,) rows with such an entry.
        near: (Q, k) their neighbours.
    """
    share = _disagreement(values, rows, near)
    counts = np.where(minority[rows] & (share < 1.0), share, 0.0)
    total = counts.sum(axis=0)
    scaled = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    return Local(scaled.sum(axis=1), _types(minority, share, rows, near))
