"""Entries: the present and unknown cells of a table of labels; absent ones are not stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.messages import say
from equipoise.errors import DataError, ShapeError

PRESENT = 1
UNKNOWN = -1
"""What stands for an entry that nobody knows."""
# Cells that are made dense at a time where a whole table would not fit.
BLOCK = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The cells of an (N, L) table that are not 0, row by row (compressed sparse rows).

    What is worked out from them costs what there are of them, however wide the table.

    Args:
        starts: (N + 1,) int64; the cells of row i lie from ``starts[i]`` to ``starts[i + 1]``.
        columns: (M,) int64 label of each cell, rising within a row.
        values: (M,) int8, 1 present or -1 unknown.
        width: L.

    Example:
        >>> found = Entries.of_dense(np.array([[1, 0, -1], [0, 0, 0], [0, 1, 0]], dtype=np.int8))
        >>> found.starts.tolist(), found.columns.tolist(), found.values.tolist()
        ([0, 2, 2, 3], [0, 2, 1], [1, -1, 1])
        >>> found.counts(), found.counts(UNKNOWN), found.per_row()
        (array([1, 1, 0]), array([0, 0, 1]), array([1, 0, 1]))
    """

    starts: Ints
    columns: Ints
    values: NDArray[np.int8]
    width: int

    @classmethod
    def of_dense(cls, values: NDArray[np.int8]) -> Entries:
        """Gather the cells of an (N, L) array in {0, 1, -1}."""
        rows, columns = np.nonzero(values)
        starts = np.append(0, np.cumsum(np.bincount(rows, minlength=values.shape[0])))
        return cls(starts.astype(np.int64), columns, values[rows, columns], values.shape[1])

    @classmethod
    def of_sparse(cls, matrix: Any) -> Entries:
        """Check and gather a SciPy sparse matrix or array of any format, NaN as unknown.

        Raises:
            ShapeError: not two dimensions.
            DataError: cells that are not 0, 1 or -1; so are duplicates that add up to more.
        """
        if len(matrix.shape) != 2:
            do = "Rows come first, then one column per label."
            raise ShapeError(say("values", "have 2 dimensions", f"shape {matrix.shape}", do))
        rows = matrix.tocsr()
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        data = rows.data
        if data.dtype.kind not in "fiub":
            do = "Store 1 for present and -1 for unknown; what is not stored is absent."
            raise DataError(say("values", "be 0, 1 or -1 (unknown)", f"dtype {data.dtype}", do))
        if data.dtype.kind == "f":
            data = np.where(np.isnan(data), UNKNOWN, data)
        starts, columns = rows.indptr.astype(np.int64), rows.indices.astype(np.int64)
        wrong = np.flatnonzero((data != PRESENT) & (data != UNKNOWN) & (data != 0))
        if wrong.size:
            at = int(wrong[0])
            row = int(np.searchsorted(starts, at, side="right")) - 1
            got = f"{data[at]!s} in row {row}, column {columns[at]}"
            do = "Store 1 for present and -1 for unknown, each cell once."
            raise DataError(say("values", "be 0, 1 or -1 (unknown)", got, do))
        stored = cls(starts, columns, data.astype(np.int8), int(rows.shape[1]))
        return stored.where(stored.values != 0)

    @classmethod
    def of_lists(
        cls, lists: Sequence[Any], names: Sequence[str] | None, width: int | None
    ) -> tuple[Entries, int]:
        """Gather rows that list the labels they have, and say how many labels there are.

        Raises:
            DataError: what is no label, or a label twice in one row.
        """
        lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        starts = np.append(0, np.cumsum(lengths))
        flat = list(chain.from_iterable(lists))
        if names is not None and any(isinstance(entry, str) for entry in flat):
            place = {name: i for i, name in enumerate(names)}
            columns = np.array([place.get(entry, -1) for entry in flat], dtype=np.int64)
            expected, do = "hold only names", "Names bind: check the spelling."
        else:
            given = np.asarray(flat) if flat else np.zeros(0, dtype=np.int64)
            if given.dtype.kind not in "iu":
                got = f"{flat[0]!r}" if flat else "nothing"
                do = "Give label indices 0 to L - 1, or the texts in `names`."
                raise DataError(say("rows", "list label indices", got, do))
            columns = given.astype(np.int64)
            expected, do = "list label indices >= 0", "An unknown entry goes into `unknown`."
        if width is None:
            width = len(names) if names is not None else int(columns.max(initial=-1)) + 1
        over = np.flatnonzero(columns >= width)
        wrong = np.flatnonzero(columns < 0)
        if wrong.size or over.size:
            at = int(wrong[0] if wrong.size else over[0])
            if not wrong.size:
                expected = f"list label indices below the number of labels = {width}"
                do = "Raise it, or check that labels are counted from 0."
            row = int(np.searchsorted(starts, at, side="right")) - 1
            raise DataError(say("rows", expected, f"{flat[at]!r} in row {row}", do))
        rows = np.repeat(np.arange(lengths.size), lengths)
        order = np.lexsort((columns, rows))
        columns = columns[order]
        again = np.flatnonzero((np.diff(columns) == 0) & (np.diff(rows) == 0))
        if again.size:
            at = int(again[0])
            got = f"label {columns[at]} twice in row {rows[at]}"
            raise DataError(say("rows", "list each label once", got, "Leave repeats out."))
        return cls(starts, columns, np.ones(columns.size, dtype=np.int8), width), width

    @classmethod
    def of_blocks(cls, blocks: Sequence[Entries]) -> Entries:
        """Join tables of equal width, one below the other."""
        sizes = np.concatenate([np.diff(block.starts) for block in blocks])
        columns, values = (
            np.concatenate([getattr(block, side) for block in blocks])
            for side in ("columns", "values")
        )
        return cls(np.append(0, np.cumsum(sizes)), columns, values, blocks[0].width)

    @property
    def n_rows(self) -> int:
        """N."""
        return self.starts.size - 1

    @property
    def rows(self) -> Ints:
        """(M,) row of each cell."""
        return np.repeat(np.arange(self.n_rows), np.diff(self.starts))

    def counts(self, value: int = PRESENT) -> Ints:
        """Return the present (or unknown) cells of each label, (L,) int64."""
        chosen = self.columns[self.values == value]
        return np.bincount(chosen, minlength=self.width).astype(np.int64)

    def per_row(self, value: int = PRESENT) -> Ints:
        """Return the present (or unknown) cells of each row, (N,) int64."""
        before = np.append(0, np.cumsum(self.values == value))
        return np.asarray(np.diff(before[self.starts]), dtype=np.int64)

    def where(self, kept: NDArray[np.bool_]) -> Entries:
        """Return the cells that are kept, of an (M,) mask."""
        if kept.all():
            return self
        before = np.append(0, np.cumsum(kept))
        return Entries(before[self.starts], self.columns[kept], self.values[kept], self.width)

    @property
    def present(self) -> Entries:
        """The cells that are present."""
        return self.where(self.values == PRESENT)

    def take(self, rows: Any) -> Entries:
        """Return some rows, by positions, a mask or a slice."""
        index = np.arange(self.n_rows)[rows]
        lengths = np.diff(self.starts)[index]
        starts = np.append(0, np.cumsum(lengths))
        # Each cell's place: where its row began before, and how far it stands within the row.
        cells = np.arange(starts[-1]) + np.repeat(self.starts[index] - starts[:-1], lengths)
        return Entries(starts, self.columns[cells], self.values[cells], self.width)

    def in_order(self, order: NDArray[np.integer]) -> Entries:
        """Return the table whose column j is column ``order[j]`` of this one."""
        place = np.empty(self.width, dtype=np.int64)
        place[order] = np.arange(self.width)
        columns = place[self.columns]
        sort = np.lexsort((columns, self.rows))
        return Entries(self.starts, columns[sort], self.values[sort], self.width)

    def by_label(self) -> Entries:
        """Return the table turned over, (L, N): a row for each label."""
        order = np.argsort(self.columns, kind="stable")
        counts = np.bincount(self.columns, minlength=self.width)
        starts = np.append(0, np.cumsum(counts)).astype(np.int64)
        return Entries(starts, self.rows[order], self.values[order], self.n_rows)

    def dense(self, start: int = 0, stop: int | None = None) -> NDArray[np.int8]:
        """Return rows ``start`` to ``stop`` as (n, L) int8."""
        stop = self.n_rows if stop is None else min(stop, self.n_rows)
        table = np.zeros((stop - start, self.width), dtype=np.int8)
        cells = slice(self.starts[start], self.starts[stop])
        rows = np.repeat(np.arange(stop - start), np.diff(self.starts[start : stop + 1]))
        table[rows, self.columns[cells]] = self.values[cells]
        return table

    def blocks(self) -> Iterator[NDArray[np.int8]]:
        """Yield the whole table as int8, a block of rows at a time."""
        step = max(1, BLOCK // max(self.width, 1))
        for start in range(0, self.n_rows, step):
            yield self.dense(start, start + step)

    def row_codes(self) -> Ints:
        """Return (N,) codes from 0 that are equal where rows are equal.

        Example:
            >>> table = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.int8)
            >>> Entries.of_dense(table).row_codes().tolist()
            [0, 1, 0]
        """
        cells = np.stack([self.columns, self.values.astype(np.int64)], axis=1).tobytes()
        ends = (16 * self.starts).tolist()
        seen: dict[bytes, int] = {}
        return np.array(
            [seen.setdefault(cells[a:b], len(seen)) for a, b in pairwise(ends)],
            dtype=np.int64,
        )
