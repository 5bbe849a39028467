"""The positives of a label ranked among its negatives: all that ranking metrics need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.checks import to_array
from equipoise.metrics._columns import as_columns, known_column, map_columns
from equipoise.metrics.sweep import halfway

# Above this share of positives one merge of two sorted lists beats a search for each positive.
DENSE = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Distinct scores of the positives, from high to low, and the negatives around them.

    A few numbers per positive, however many negatives there are. A cut that ends between two of
    these scores only adds negatives, so the best cut of any F-beta is one of them.

    Args:
        score: (K,) distinct scores of positives, descending.
        positives: (K,) int64, positives with that score; of weighted rows float64, here and below.
        above: (K,) int64, negatives with a higher score.
        tied: (K,) int64, negatives with the same score.
        lower: (K,) the next lower score of any row; the score itself where none is lower.
        n_negative: Negatives in all.

    Example:
        >>> ranks = rank_positives([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> ranks.above.tolist(), round(ranks.average_precision, 4), ranks.roc_auc
        ([0, 1], 0.8333, 0.75)
    """

    score: NDArray[Any]
    positives: NDArray[Any]
    above: NDArray[Any]
    tied: NDArray[Any]
    lower: NDArray[Any]
    n_negative: float

    @classmethod
    def from_sorted(cls, pos: NDArray[Any], rows: NDArray[Any]) -> Ranks:
        """Make ranks from the scores of positives and of all rows, both ascending."""
        if not pos.size:
            none = np.zeros(0, dtype=np.int64)
            return cls(pos, none, none, none, pos, int(rows.size))
        first = np.flatnonzero(np.append(True, pos[1:] != pos[:-1]))
        score, counts = pos[first], np.diff(np.append(first, pos.size))
        below = _count_below(score, rows)
        upto = below + counts
        more = np.flatnonzero(rows[np.minimum(upto, rows.size - 1)] == score)
        more = more[upto[more] < rows.size]
        upto[more] = np.searchsorted(rows, score[more], side="right")
        lower = rows[np.maximum(below - 1, 0)]
        above = rows.size - upto - (pos.size - first - counts)
        tied = upto - below - counts
        n_negative = int(rows.size - pos.size)
        return cls(score[::-1], counts[::-1], above[::-1], tied[::-1], lower[::-1], n_negative)

    @classmethod
    def weighted(cls, score: Floats, positive: NDArray[np.bool_], weight: Floats) -> Ranks:
        """Make ranks of rows in any order, (N,) each, that are counted by their weights."""
        order = np.argsort(-score, kind="stable")
        falling, side, weight = score[order], positive[order], weight[order]
        ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        held = [np.append(0.0, np.cumsum(weight * part)[ends]) for part in (side, ~side)]
        at = np.flatnonzero(np.diff(np.cumsum(side)[ends], prepend=0) > 0)
        of_positives, of_negatives = (np.diff(part)[at] for part in held)
        lower = falling[np.minimum(ends[at] + 1, falling.size - 1)]
        before = held[1][:-1][at]
        total = float(held[1][-1])
        return cls(falling[ends[at]], of_positives, before, of_negatives, lower, total)

    @property
    def n_positive(self) -> float:
        """Positives in all, or their weights."""
        return self.positives.sum().item()  # type: ignore[no-any-return]

    @property
    def tp(self) -> NDArray[Any]:
        """Positives at or above each score, (K,)."""
        return np.asarray(np.cumsum(self.positives))

    @property
    def fp(self) -> NDArray[Any]:
        """Negatives at or above each score, (K,)."""
        return np.asarray(self.above + self.tied)

    @property
    def average_precision(self) -> float:
        """Precision at each positive, tied scores as one group; NaN without positives."""
        total = self.n_positive
        if total == 0:
            return float("nan")
        tp = self.tp
        return float((self.positives * (tp / (tp + self.fp))).sum() / total)

    @property
    def roc_auc(self) -> float:
        """Share of pairs in the right order, ties counted half; NaN if one side is missing."""
        pairs = self.n_positive * self.n_negative
        if pairs == 0:
            return float("nan")
        wrong = (self.positives * (self.above + 0.5 * self.tied)).sum()
        return float((pairs - wrong) / pairs)

    def f_beta(self, beta: float = 1.0) -> Floats:
        """F-beta of a cut just below each score, (K,)."""
        square, tp = beta * beta, self.tp
        return np.asarray((1 + square) * tp / (square * self.n_positive + tp + self.fp))

    def best_f_beta(self, beta: float = 1.0) -> tuple[float, float]:
        """Return the largest F-beta and its threshold; the strictest cut wins a tie."""
        if self.n_positive == 0:
            return float("nan"), float("inf")
        values = self.f_beta(beta)
        best = int(np.argmax(values))
        low, high = float(self.lower[best]), float(self.score[best])
        return float(values[best]), high if low == high else halfway(low, high)

    def cells(self, scores: NDArray[Any]) -> Ints:
        """Return where each score lies: 2k + 1 at the k-th score, 2k just above it, (N,).

        Example:
            >>> ranks = rank_positives([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
            >>> ranks.cells(np.array([0.9, 0.8, 0.7, 0.1])).tolist()
            [1, 2, 3, 4]
        """
        ascending = np.ascontiguousarray(self.score[::-1])
        if not ascending.size:
            return np.zeros(scores.size, dtype=np.int64)
        left = np.searchsorted(ascending, scores)
        equal = ascending[np.minimum(left, ascending.size - 1)] == scores
        return np.asarray(2 * (ascending.size - left) - equal, dtype=np.int64)

    @property
    def cell_sizes(self) -> NDArray[Any]:
        """Negatives in each of the 2K + 1 cells of :meth:`cells`."""
        out = np.zeros(2 * self.score.size + 1, dtype=self.tied.dtype)
        out[1::2] = self.tied
        out[::2] = np.diff(np.append(self.above, self.n_negative), prepend=0)
        out[2::2] -= self.tied
        return np.maximum(out, 0)  # of weights, differences of sums may fall below


def _count_below(score: NDArray[Any], rows: NDArray[Any]) -> Ints:
    """Return how many of ``rows`` lie below each score, both ascending and ``score`` distinct."""
    if score.size < DENSE * rows.size:
        return np.asarray(np.searchsorted(rows, score), dtype=np.int64)
    order = np.argsort(np.concatenate([score, rows]), kind="stable")
    return np.flatnonzero(order < score.size) - np.arange(score.size)


def rank_positives(y_true: ArrayLike, scores: ArrayLike, weight: Floats | None = None) -> Ranks:
    """Rank the positives of one label among its negatives: two sorts, no argsort.

    Args:
        y_true: (N,), 0, 1 or -1 (unknown, left out).
        scores: (N,), any increasing scale; float32 is sorted as float32.
        weight: (N,) float64 > 0, by which rows are counted, or None.

    Raises:
        DataError: truth outside {0, 1, -1}, or scores that are NaN or infinite.
        ShapeError: more than one label, or the two shapes differ.

    Example:
        >>> rank_positives([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]).above.tolist()
        [0, 1]
    """
    truth = to_array("y_true", y_true, ndim=1)
    if weight is not None:
        table, values = as_columns(truth, scores)
        positive, score, rows = known_column(table, values, 0)
        return Ranks.weighted(score, positive, weight[rows])
    return map_columns(truth, scores, Ranks.from_sorted)[0]


def rank_labels(y_true: ArrayLike, scores: ArrayLike) -> list[Ranks]:
    """Rank the positives of each label among its negatives, as :func:`rank_positives` does of one.

    Args:
        y_true: (N, L), 0, 1 or -1 (unknown, left out); (N,) is one label.
        scores: Same shape; any increasing scale; float32 is sorted as float32.

    Returns:
        One :class:`Ranks` per label.

    Raises:
        DataError: truth outside {0, 1, -1}, or scores that are NaN or infinite.
        ShapeError: the two shapes differ.
    """
    return map_columns(y_true, scores, Ranks.from_sorted)
