"""The training set of each round, and with which probability each of its rows came into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise.artifacts._io import read_column, read_table, reading, write_table
from equipoise.mining.options import Weighting

Origin = Literal["positive", "initial", "hard", "easy"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
_SCHEMA, _VERSION = "equipoise.MinedRows", 1


class History:
    """What earlier rounds did to the chances of every negative.

    A negative that was hard in some round, or would have been had it not been in the training set
    already, is in it with certainty. Any other came in only if one of the random draws took it:
    the first, or one of easy negatives, for which it did not stand where it was above the ceiling.

    Args:
        first: Share of all negatives that the first draw took, in [0, 1].

    Example:
        >>> history = History(0.1)
        >>> history.add(hard=[7], skipped=[9], easy_rate=0.5)
        >>> history.inclusion(np.array([7, 8, 9])).round(3).tolist()
        [1.0, 0.55, 0.1]

    References:
        Horvitz and Thompson, JASA 1952, for what the inverse of these is good for.
    """

    def __init__(self, first: float) -> None:
        self.first = first
        self._rounds: list[tuple[Ints, Ints, float]] = []

    def add(
        self, hard: Sequence[int] | Ints, skipped: Sequence[int] | Ints, easy_rate: float
    ) -> None:
        """Take note of a round.

        Args:
            hard: Rows that were hard, those of the training set included.
            skipped: Rows above the ceiling, likewise.
            easy_rate: Share of the other rows outside the training set that was drawn, in [0, 1].
        """
        rows = (np.unique(np.asarray(part, dtype=np.int64)) for part in (hard, skipped))
        self._rounds.append((*rows, easy_rate))  # type: ignore[arg-type]

    def copy(self) -> History:
        """Return the same history, to go on with apart."""
        other = History(self.first)
        other._rounds = list(self._rounds)
        return other

    def inclusion(self, rows: Ints) -> Floats:
        """Return with which probability each of some negatives is in the training set by now."""
        # Logarithms: of a pool of many millions a draw takes so few that 1 - (1 - p) loses digits.
        with np.errstate(divide="ignore"):  # a draw that took all
            missed = np.full(rows.size, np.log1p(-self.first))
            sure = np.zeros(rows.size, dtype=bool)
            for hard, skipped, rate in self._rounds:
                missed[~_among(rows, skipped)] += np.log1p(-rate)
                sure |= _among(rows, hard)
        return np.where(sure, 1.0, -np.expm1(missed))


def _among(rows: Ints, ordered: Ints) -> NDArray[np.bool_]:
    if not ordered.size:
        return np.zeros(rows.size, dtype=bool)
    at = np.minimum(np.searchsorted(ordered, rows), ordered.size - 1)
    return np.asarray(ordered[at] == rows)


@dataclass(frozen=True, slots=True, eq=False)
class MinedRows:
    """The rows that a round trains on.

    Args:
        rows: (n,) int64 positions in the pool: positives, then negatives as they came.
        origin: (n,) "positive", "initial", "hard" or "easy".
        since: (n,) int64, the round that first trained on it.
        inclusion: (n,) float64 in (0, 1], with which probability a row like it is in this set; 1
            for positives and for negatives that were hard.

    Example:
        >>> origin = np.array(["positive", "initial"])
        >>> rows = MinedRows(np.array([4, 1]), origin, np.zeros(2, int), np.array([1, 0.25]))
        >>> rows.weights("inverse").tolist(), rows.counts
        ([0.4, 1.6], {'positive': 1, 'initial': 1, 'hard': 0, 'easy': 0})
    """

    rows: Ints
    origin: NDArray[np.str_]
    since: Ints
    inclusion: Floats

    def __len__(self) -> int:
        return int(self.rows.size)

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each origin."""
        return {name: int((self.origin == name).sum()) for name in ORIGINS}

    def weights(self, weighting: Weighting) -> Floats:
        """Return (n,) float64 weights with mean 1: one over the inclusion probability, or ones."""
        if weighting == "none":
            return np.ones(len(self))
        inverse = 1.0 / self.inclusion
        return np.asarray(inverse / inverse.mean())

    def grown(self, hard: Ints, easy: Ints, since: int, history: History) -> MinedRows:
        """Return the set of the next round: these rows and new ones, with new probabilities."""
        rows = np.concatenate([self.rows, hard, easy])
        new = np.repeat(np.array(["hard", "easy"]), [hard.size, easy.size])
        origin = np.concatenate([self.origin, new])
        born = np.concatenate([self.since, np.full(hard.size + easy.size, since)])
        inclusion = np.where(origin == "positive", 1.0, history.inclusion(rows))
        return MinedRows(rows, origin, born, inclusion)

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file: row, origin, since, inclusion."""
        import polars as pl

        frame = pl.DataFrame(
            {
                "row": self.rows,
                "origin": self.origin,
                "since": self.since,
                "inclusion": self.inclusion,
            }
        )
        return write_table(path, _SCHEMA, _VERSION, frame, {})

    @classmethod
    def load(cls, path: str | Path) -> MinedRows:
        """Read what :meth:`save` wrote."""
        frame, _ = read_table(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            rows, since, inclusion = (read_column(frame, n) for n in ("row", "since", "inclusion"))
            return cls(rows, read_column(frame, "origin").astype(str), since, inclusion)
