"""The mistake book: which negatives a model believed in, in which round, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_shape
from equipoise._core.identity import as_text
from equipoise.artifacts._io import read_column, read_table, reading, write_table

Event = Literal["hard", "skipped"]
_SCHEMA, _VERSION = "equipoise.MistakeBook", 1


@dataclass(frozen=True, slots=True, eq=False)
class MistakeBook:
    """One entry per round and negative that was hard in it, or above the ceiling.

    Args:
        rows: (n,) int64 positions in the pool.
        ids: (n,) row ids; positions where the pool has none.
        rounds: (n,) int64, the round whose model was wrong.
        scores: (n,) float64, the calibrated probability that it gave: the higher, the worse.
        events: (n,) "hard" or "skipped" (above the ceiling, and so not added).
        members: (n,) bool: the model had been trained on the row already.
        times: (n,) int64, in how many rounds the row has been hard by then, this one included.
        inclusion: (n,) float64, with which probability a row like it is in the training set of the
            next round.

    Entries stand by round, then score down, then row. It is saved as Parquet: row, id, round,
    score, event, member, times_selected, inclusion.

    Raises:
        ShapeError: lengths that differ.

    Example:
        >>> book = MistakeBook(
        ...     np.array([5, 5]), np.array([5, 5]), np.array([0, 1]), np.array([0.9, 0.6]),
        ...     np.array(["hard", "hard"]), np.array([False, True]), np.array([1, 2]), np.ones(2),
        ... )
        >>> len(book), book.by_row()["times_selected"].to_list()
        (2, [2])
    """

    rows: Ints
    ids: NDArray[Any]
    rounds: Ints
    scores: NDArray[np.float64]
    events: NDArray[np.str_]
    members: NDArray[np.bool_]
    times: Ints
    inclusion: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", as_text(self.ids))
        for field in fields(self):
            require_shape(
                field.name, getattr(self, field.name), (self.rows.size,), "One per entry."
            )

    def __len__(self) -> int:
        return int(self.rows.size)

    @classmethod
    def join(cls, parts: Sequence[MistakeBook]) -> MistakeBook:
        """Return the entries of several books, one after the other; of none an empty book."""
        if not parts:
            whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
            text, yes = np.zeros(0, dtype="U7"), np.zeros(0, dtype=bool)
            return cls(whole, whole, whole, real, text, yes, whole, real)
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def to_frame(self) -> Any:
        """Return the entries as a polars data frame, as they are saved."""
        import polars as pl

        return pl.DataFrame(
            {
                "row": self.rows,
                "id": self.ids,
                "round": self.rounds,
                "score": self.scores,
                "event": self.events,
                "member": self.members,
                "times_selected": self.times,
                "inclusion": self.inclusion,
            }
        )

    def by_row(self) -> Any:
        """Return a polars data frame with one line per row, those most worth a look first.

        Columns: row, id, first_round, times_selected, times_skipped, score (the first: it was given
        before the row's label could be learned by heart), last_score. The order: how often it was
        hard or skipped, then the first score, both down.
        """
        import polars as pl

        hard, skipped = pl.col("event") == "hard", pl.col("event") == "skipped"
        lines = self.to_frame().group_by("row", maintain_order=True).agg(
            pl.col("id").first(),
            pl.col("round").first().alias("first_round"),
            hard.sum().cast(pl.Int64).alias("times_selected"),
            skipped.sum().cast(pl.Int64).alias("times_skipped"),
            pl.col("score").first(),
            pl.col("score").last().alias("last_score"),
        )  # fmt: skip
        total = pl.col("times_selected") + pl.col("times_skipped")
        return lines.sort(total, "score", "row", descending=[True, True, False])

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file."""
        return write_table(path, _SCHEMA, _VERSION, self.to_frame(), {})

    @classmethod
    def load(cls, path: str | Path) -> MistakeBook:
        """Read what :meth:`save` wrote."""
        frame, _ = read_table(path, _SCHEMA, _VERSION)
        names = ("row", "id", "round", "score", "event", "member", "times_selected", "inclusion")
        with reading(path, _SCHEMA):
            found = [read_column(frame, name) for name in names]
            return cls(found[0], found[1], found[2], found[3], found[4].astype(str), *found[5:])
