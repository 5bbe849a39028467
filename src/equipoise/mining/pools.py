"""Pools: rows with known labels, far more than memory may hold, read a batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_finite
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import as_text
from equipoise._core.words import say
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import Kind
from equipoise.errors import DataError, ShapeError, UsageError

_BATCH_BYTES = 16 * 2**20
_MOST_ROWS = 65_536


def batch_rows_for(row_bytes: int) -> int:
    """Return how many rows make a batch of 16 MiB, between 1 and 65,536."""
    return max(1, min(_MOST_ROWS, _BATCH_BYTES // max(row_bytes, 1)))


class Pool(ABC):
    """Rows of one binary label, or of classes of which one is the background.

    Positives are rows with the label, or of any class but the background; negatives are the rest.
    Unknown rows are neither.

    Args:
        values: (N,) integers: 0 or 1, -1 unknown; or classes. Kept in memory, one entry per row.
        kind: "multilabel" for one binary label, or "multiclass".
        names: The label, or all classes.
        background: The class whose rows are the negatives.
        batch_rows: Rows that are read and scored at once.

    Raises:
        DataError: several labels.
        UsageError: a background that is no class.
    """

    def __init__(
        self,
        values: NDArray[Any],
        kind: Kind,
        names: tuple[str, ...],
        *,
        background: int = 0,
        batch_rows: int,
    ) -> None:
        if kind == "multilabel" and len(names) != 1:
            do = "Mine one label at a time, or classes with a background."
            raise DataError(say("labels", "be one label or classes", f"{len(names)} labels", do))
        if kind == "multiclass" and not 0 <= background < len(names):
            expected = f"be a class in [0, {len(names)})"
            raise UsageError(say("background", expected, background))
        if batch_rows < 1:
            raise UsageError(say("batch_rows", "be at least 1", batch_rows))
        self.values, self.kind, self.names = values, kind, names
        self.background = background if kind == "multiclass" else 0
        self.batch_rows = int(batch_rows)

    def __len__(self) -> int:
        return int(self.values.size)

    def __getitem__(self, rows: ArrayLike) -> PoolPart:
        """Return some rows, by positions, as a pool of its own that reads from this one."""
        return PoolPart(self, np.asarray(rows))

    @abstractmethod
    def batches(self, rows: Ints, size: int) -> Iterator[Any]:
        """Yield the inputs of some rows in their order, ``size`` at a time."""

    @abstractmethod
    def groups(self, rows: Ints) -> NDArray[Any] | None:
        """Return the group (image, patient) of some rows, or None where there are none."""

    @abstractmethod
    def ids(self, rows: Ints) -> NDArray[Any]:
        """Return the ids of some rows; their positions where they have none."""

    has_ids = False

    def picture(self, row: int) -> NDArray[Any] | None:  # noqa: ARG002
        """Return a row as an image, (H, W) or (H, W, C), or None where it is none."""
        return None

    def read(self, rows: ArrayLike) -> NDArray[Any]:
        """Return the inputs of some rows as one array."""
        index = np.asarray(rows, dtype=np.int64)
        parts = [np.asarray(x) for x in self.batches(index, self.batch_rows)]
        return np.concatenate(parts) if parts else np.zeros((0, 1))

    def is_negative(self, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Return which rows of a range are negatives."""
        return np.asarray(self.values[start:stop] == self.background)

    def positives(self) -> Ints:
        """Return the positions of the positives."""
        known = self.values >= 0
        return np.flatnonzero(known & (self.values != self.background))

    @property
    def n_negative(self) -> int:
        """Number of negatives."""
        return int(np.count_nonzero(self.values == self.background))

    def truth(self, rows: ArrayLike) -> NDArray[np.int8]:
        """Return 1 for positives and 0 for negatives among some known rows."""
        return np.asarray(self.values[np.asarray(rows)] != self.background, dtype=np.int8)

    def labels(self, rows: ArrayLike) -> Labels:
        """Return some rows as labels with ids, for scores and splits."""
        index = np.asarray(rows, dtype=np.int64)
        values = self.values[index].astype(np.int64)
        groups = self.groups(index)
        return Labels.from_array(
            values, kind=self.kind, names=self.names, ids=self.ids(index), groups=groups
        )

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name labels and their meaning; inputs only where a pool says so."""
        about = np.asarray([self.kind, *self.names, str(self.background)])
        return fingerprint_array(self.values, about)


class PoolPart(Pool):
    """Some rows of another pool."""

    def __init__(self, whole: Pool, rows: NDArray[Any]) -> None:
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(whole)):
            expected = f"be positions in [0, {len(whole)})"
            raise DataError(say("rows", expected, f"{rows.min()} to {rows.max()}"))
        super().__init__(
            whole.values[rows],
            whole.kind,
            whole.names,
            background=whole.background,
            batch_rows=whole.batch_rows,
        )
        self.whole, self.rows, self.has_ids = whole, rows, whole.has_ids

    def batches(self, rows: Ints, size: int) -> Iterator[Any]:
        """Read from the whole."""
        return self.whole.batches(self.rows[rows], size)

    def groups(self, rows: Ints) -> NDArray[Any] | None:
        """Ask the whole."""
        return self.whole.groups(self.rows[rows])

    def ids(self, rows: Ints) -> NDArray[Any]:
        """Ask the whole: without ids, positions there."""
        return self.whole.ids(self.rows[rows])

    def picture(self, row: int) -> NDArray[Any] | None:
        """Ask the whole."""
        return self.whole.picture(int(self.rows[row]))

    @property
    def fingerprint(self) -> str:
        """That of the whole and of which rows of it these are."""
        return fingerprint_array(self.rows, np.asarray([self.whole.fingerprint]))


class ArrayPool(Pool):
    """A pool over an array or a memory map.

    Use for features in memory, or in an .npy of any size: a memory map is read in batches. Prefer
    :class:`ParquetPool` for tables on disk, :class:`DatasetPool` for images and the like.

    Args:
        features: (N, ...) numbers, an array, a memory map, or the path of an .npy file.
        labels: Of the same rows: one binary label, or classes; ids and groups are used.
        background: For classes: the class whose rows are the negatives.
        batch_rows: Rows that are read and scored at once; None takes 16 MiB of them.

    Raises:
        ShapeError: not one row per label.
        DataError: features that are not numbers, or NaN or infinite (not checked in memory maps),
            or several labels.
        UsageError: a background that is no class.

    Example:
        >>> labels = Labels.from_array([0, 1, 0, -1], kind="multilabel", names=["ship"])
        >>> pool = ArrayPool(np.arange(8.0).reshape(4, 2), labels)
        >>> len(pool), pool.n_negative, pool.positives().tolist(), pool.read([2]).tolist()
        (4, 2, [1], [[4.0, 5.0]])
    """

    def __init__(
        self,
        features: NDArray[Any] | ArrayLike | str | Path,
        labels: Labels,
        *,
        background: int = 0,
        batch_rows: int | None = None,
    ) -> None:
        array = _opened(features) if isinstance(features, (str, Path)) else np.asanyarray(features)
        if array.ndim == 0 or len(array) != len(labels):
            expected = f"have one row per label = {len(labels)}"
            raise ShapeError(say("features", expected, f"shape {array.shape}"))
        if array.dtype.kind not in "fiub":
            raise DataError(say("features", "be numbers", f"dtype {array.dtype}"))
        if array.dtype.kind == "f" and not isinstance(array, np.memmap):
            require_finite("features", array, "Fill or drop missing values first.")
        row_bytes = array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        values = labels.values if labels.kind == "multiclass" else labels.values[:, 0]
        super().__init__(
            values,
            labels.kind,
            labels.names,
            background=background,
            batch_rows=batch_rows or batch_rows_for(row_bytes),
        )
        self.features, self._labels = array, labels
        self.has_ids = labels.ids is not None

    def batches(self, rows: Ints, size: int) -> Iterator[NDArray[Any]]:
        """Yield copies of rows; rows that lie side by side are read in one piece."""
        for start in range(0, rows.size, size):
            part = rows[start : start + size]
            yield np.array(self.features[_piece(part)])

    def groups(self, rows: Ints) -> NDArray[Any] | None:
        """Return those of the labels."""
        return None if self._labels.groups is None else self._labels.groups[rows]

    def ids(self, rows: Ints) -> NDArray[Any]:
        """Return those of the labels, or positions."""
        return as_text(rows) if self._labels.ids is None else self._labels.ids[rows]

    def picture(self, row: int) -> NDArray[Any] | None:
        """Return the row where its shape is that of an image: (H, W), (C, H, W) or (H, W, C)."""
        return as_picture(np.asarray(self.features[row]))


def as_picture(row: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array as (H, W) or (H, W, 3), or None where its shape is not that of an image."""
    if row.ndim == 3 and row.shape[0] in (1, 3):
        row = np.moveaxis(row, 0, -1)
    if row.ndim == 3 and row.shape[-1] == 1:
        row = row[..., 0]
    is_image = row.ndim == 2 or (row.ndim == 3 and row.shape[-1] == 3)
    return row if is_image and min(row.shape[:2]) > 1 else None


def _piece(rows: Ints) -> Ints | slice:
    if rows.size and rows[-1] - rows[0] == rows.size - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _opened(path: str | Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        found = "nothing there" if isinstance(error, FileNotFoundError) else str(error)
        raise DataError(say(str(path), "be an .npy file of numbers", found)) from error
    if not isinstance(array, np.ndarray):
        do = "Of an .npz hand over an array: np.load(path)[name]."
        raise DataError(say(str(path), "be an .npy file of numbers", "an .npz", do))
    return array
