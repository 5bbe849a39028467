"""Pairs of labels: how often two occur together, and how much more often than by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from equipoise._core.arrays import Ints
from equipoise.artifacts.entries import Entries
from equipoise.artifacts.labels import UNKNOWN, Labels

_CHUNK = 65_536  # float32 sums of ones are exact up to 2^24 rows
# A dense product does so many multiplications in the time of one pair of a sparse one.
_DENSE = 50


def pack_rows(positive: NDArray[np.bool_]) -> NDArray[np.void]:
    """Return (N,) opaque keys, equal where rows of a (N, L) mask are equal."""
    packed = np.ascontiguousarray(np.packbits(positive, axis=1))
    return packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]


def _gram(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.int64]:
    total = np.zeros((left.shape[1], right.shape[1]), dtype=np.int64)
    for start in range(0, left.shape[0], _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = left[rows].astype(np.float32).T @ right[rows].astype(np.float32)
        total += part.astype(np.int64)
    return total


def present_table(entries: Entries) -> csr_array:
    """Return the present entries as an (N, L) SciPy table of ones, int64."""
    found = entries.present
    ones = np.ones(found.columns.size, dtype=np.int64)
    shape = (found.n_rows, found.width)
    return csr_array((ones, found.columns, found.starts), shape=shape)


def cooccurring(labels: Labels) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of labels that occur together: left, right and in how many rows.

    Both orders of a pair and each label with itself, by left and then right. It takes as long as
    rows have pairs of labels; a table of L x L is not made unless rows hold many labels each.

    Example:
        >>> labels = Labels.from_array([[1, 1], [1, 0], [0, 1]], kind="multilabel")
        >>> [side.tolist() for side in cooccurring(labels)]
        [[0, 0, 1, 1], [0, 1, 0, 1], [2, 1, 1, 2]]
    """
    entries = labels.entries
    pairs = int(np.square(entries.per_row()).sum())
    if _DENSE * pairs > len(labels) * entries.width**2:
        both = cooccurrence(labels)
        left, right = np.nonzero(both)
        return left, right, both[left, right]
    table = present_table(entries)
    found = (table.T @ table).tocsr()
    found.sort_indices()
    left = np.repeat(np.arange(entries.width), np.diff(found.indptr))
    return left, found.indices.astype(np.int64), found.data


def cooccurrence(labels: Labels) -> NDArray[np.int64]:
    """Count the rows in which two labels are both present.

    Use when deciding whether oversampling a rare label also oversamples a common one.

    Args:
        labels: Of either kind; classes never co-occur.

    Returns:
        (L, L) int64, symmetric, with the positives of each label on the diagonal. Unknown entries
        count as not present.

    Example:
        >>> cooccurrence(Labels.from_array([[1, 1], [1, 0], [0, 1]], kind="multilabel")).tolist()
        [[2, 1], [1, 2]]
    """
    positive = labels.one_hot() == 1
    return _gram(positive, positive)


def lift(labels: Labels) -> NDArray[np.float64]:
    r"""Divide how often two labels occur together by how often they would if independent.

    Use when counts mislead because one label is common. 1 is independence.

    .. math:: \mathrm{lift}_{jk} = n_{jk} m_{jk} / (n_{j \mid k}\, n_{k \mid j})

    with all counts over the :math:`m_{jk}` rows in which both labels are known.

    Args:
        labels: Of either kind.

    Returns:
        (L, L) float64, symmetric; NaN where a label has no positives among those rows.

    Example:
        >>> lift(Labels.from_array([[1, 1], [1, 0], [0, 1], [0, 0]], kind="multilabel")).tolist()
        [[2.0, 1.0], [1.0, 2.0]]
    """
    values = labels.one_hot()
    positive, known = values == 1, values != UNKNOWN
    both, rows = _gram(positive, positive), _gram(known, known)
    single = _gram(positive, known)  # positives of j among rows in which k is known
    expected = single.astype(float) * single.T
    ratio = np.full(both.shape, np.nan)
    np.divide(both * rows.astype(float), expected, out=ratio, where=expected > 0)
    return ratio
