"""One sort of the scores of a label gives every operating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise.metrics._columns import as_columns, known_column


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """All operating points of one label, from strict to lax; tied scores are one point.

    Args:
        score: (K,) distinct scores, float64, descending.
        tp: (K,) int64, positives at or above each score; of weighted rows float64, their weights.
        fp: (K,) the same of negatives.

    Example:
        >>> points = Sweep.from_sorted(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]))
        >>> points.f_beta().round(3).tolist(), round(points.average_precision, 3)
        ([0.667, 0.8], 0.833)
    """

    score: Floats
    tp: NDArray[Any]
    fp: NDArray[Any]

    @classmethod
    def from_sorted(
        cls, score: Floats, positive: NDArray[np.bool_], weight: Floats | None = None
    ) -> Sweep:
        """Make a sweep from (N,) scores in descending order and which of them are positive.

        With a ``weight`` of each, (N,), rows are counted by it.
        """
        if score.size == 0:
            empty = np.zeros(0, dtype=np.int64)
            return cls(score, empty, empty)
        last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
        if weight is not None:
            sides = (np.where(positive == yes, weight, 0.0) for yes in (True, False))
            tp, fp = (np.cumsum(side)[last] for side in sides)
            return cls(score[last], tp, fp)
        tp = np.cumsum(positive, dtype=np.int64)[last]
        return cls(score[last], tp, last + 1 - tp)

    @property
    def n_positive(self) -> float:
        """Positives in all, or their weights."""
        return self.tp[-1].item() if self.tp.size else 0

    @property
    def n_negative(self) -> float:
        """Negatives in all, or their weights."""
        return self.fp[-1].item() if self.fp.size else 0

    @property
    def average_precision(self) -> float:
        """Sum over operating points of precision times the step in recall; NaN if undefined."""
        if self.n_positive == 0:
            return float("nan")
        steps = np.diff(self.tp, prepend=0)
        precision = self.tp / (self.tp + self.fp)
        return float(np.dot(steps, precision) / self.n_positive)

    @property
    def roc_auc(self) -> float:
        """Share of pairs in the right order, ties counted half; NaN if one side is missing."""
        if self.n_positive == 0 or self.n_negative == 0:
            return float("nan")
        pos, neg = np.diff(self.tp, prepend=0), np.diff(self.fp, prepend=0)
        below = self.n_negative - self.fp
        pairs = float(np.dot(pos, below + 0.5 * neg))
        return pairs / (self.n_positive * self.n_negative)

    def f_beta(self, beta: float = 1.0) -> Floats:
        """F-beta at each operating point, (K,)."""
        square = beta * beta
        denominator = square * self.n_positive + self.tp + self.fp
        return np.asarray((1 + square) * self.tp / denominator)

    def cut_below(self, index: int) -> float:
        """Return a threshold between distinct scores that flags points 0..index at or above it.

        Index -1 flags nothing: the next number above the highest score. The last index flags all:
        the lowest score itself.

        Example:
            >>> points = Sweep.from_sorted(np.array([0.9, 0.5]), np.array([True, False]))
            >>> points.cut_below(0), points.cut_below(1)
            (0.7, 0.5)
        """
        if index < 0:
            return float(np.nextafter(self.score[0], np.inf)) if self.score.size else np.inf
        if index + 1 >= self.score.size:
            return float(self.score[index])
        return halfway(float(self.score[index + 1]), float(self.score[index]))

    def best_f_beta(self, beta: float = 1.0) -> tuple[float, float]:
        """Return the largest F-beta and its threshold; the strictest cut wins a tie."""
        if self.n_positive == 0:
            return float("nan"), float("inf")
        values = self.f_beta(beta)
        index = int(np.argmax(values))
        return float(values[index]), self.cut_below(index)


def halfway(low: float, high: float) -> float:
    """Return the middle of low < high, above low; ``high`` where no number lies between."""
    middle = 0.5 * low + 0.5 * high
    return middle if low < middle <= high else high


def sweep(y_true: ArrayLike, scores: ArrayLike) -> Sweep | list[Sweep]:
    """Sort once and return all operating points.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        scores: Same shape; any increasing scale.

    Returns:
        One :class:`Sweep` for 1-d input, a list of L otherwise.

    Raises:
        DataError: truth outside {0, 1, -1}, or scores that are NaN or infinite.
        ShapeError: the two shapes differ.

    Example:
        >>> points = sweep([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1])
        >>> points.tp.tolist(), points.fp.tolist()
        ([1, 2, 2], [0, 1, 2])
    """
    truth, values = as_columns(y_true, scores)
    out = []
    for column in range(truth.shape[1]):
        positive, score, _ = known_column(truth, values, column)
        order = np.argsort(-score, kind="stable")
        out.append(Sweep.from_sorted(score[order], positive[order]))
    return out[0] if np.ndim(y_true) == 1 else out
