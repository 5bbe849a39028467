"""Pools: rows with known labels, far more than memory may hold, read a batch at a time."""

from __future__ import annotations

import glob
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_finite, require_least
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import as_text, loose_key
from equipoise._core.messages import say
from equipoise._core.reading import reading_file
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import Kind
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.io.binary import binary_column
from equipoise.io.coding import DEFAULT, LabelCoding, entry_text
from equipoise.io.columns import class_column
from equipoise.io.tables import require_columns

if TYPE_CHECKING:
    import polars as pl


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
        require_least("batch_rows", batch_rows, 1)
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
    with reading_file(path, "be an .npy file of numbers"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        do = "Of an .npz hand over an array: np.load(path)[name]."
        raise DataError(say(str(path), "be an .npy file of numbers", "an .npz", do))
    return array


class ParquetPool(Pool):
    """A pool over the rows of Parquet files, one behind the other.

    Use for tables that do not fit into memory: what stays there is one small integer per row, its
    label. Prefer :class:`ArrayPool` for an .npy, which reads single rows faster.

    Args:
        paths: A file, a pattern as ``"part-*.parquet"``, or several; patterns are sorted.
        label: Column of the label: 0 and 1 (empty or -1: unknown) is one binary label, other
            values are classes.
        features: Columns of features, in order; None takes all that are not named otherwise.
        id_column: Column of row ids.
        group_column: Column of groups, such as the image.
        names: All classes in order, so that files agree; None takes those that occur, sorted.
        coding: What the entries of one binary label stand for, where 1 and 0 is not it.
        background: Name of the class whose rows are the negatives; None takes the first.
        batch_rows: Rows that are read and scored at once; None takes 16 MiB of them.

    Raises:
        DataError: no such file or column, features that are not numbers, missing or infinite
            values (when they are read), or labels of one class alone.

    Example:
        >>> import polars as pl, tempfile
        >>> place = tempfile.TemporaryDirectory()
        >>> frame = pl.DataFrame({"y": [0, 1, 0], "a": [0.5, 1.5, 2.5], "b": [1, 2, 3]})
        >>> frame.write_parquet(f"{place.name}/p.parquet")
        >>> pool = ParquetPool(f"{place.name}/p.parquet", label="y")
        >>> len(pool), pool.n_negative, pool.read([2, 0]).tolist()
        (3, 2, [[2.5, 3.0], [0.5, 1.0]])
        >>> place.cleanup()
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        label: str,
        features: Sequence[str] | None = None,
        id_column: str | None = None,
        group_column: str | None = None,
        names: Sequence[str] | None = None,
        coding: LabelCoding = DEFAULT,
        background: str | None = None,
        batch_rows: int | None = None,
    ) -> None:
        self.paths = _files(paths)
        self._id, self._group, self.has_ids = id_column, group_column, id_column is not None
        named = [c for c in (label, id_column, group_column) if c is not None]
        self.columns = _feature_columns(self.paths[0], named, features)
        found = [_scan(path).select(label).collect()[label] for path in self.paths]
        self._starts = np.cumsum([0, *(len(part) for part in found)])
        values, known = _codes(found, label, names, coding)
        kind: Any = "multilabel" if known is None else "multiclass"
        classes = (label,) if known is None else known
        if background is not None and background not in classes:
            raise DataError(say("background", f"be one of {list(classes)}", repr(background)))
        super().__init__(
            values,
            kind,
            classes,
            background=0 if background is None else classes.index(background),
            batch_rows=batch_rows or batch_rows_for(4 * len(self.columns)),
        )

    def batches(self, rows: Ints, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield (n, F) float32; a batch reads what lies between its first and its last row."""
        for start in range(0, rows.size, size):
            frame = self._take(rows[start : start + size], list(self.columns))
            with np.errstate(over="ignore"):
                wide = np.ascontiguousarray(frame.to_numpy(), dtype=np.float32)
            require_finite("features", wide, "Fill or drop missing values first.")
            yield wide

    def groups(self, rows: Ints) -> NDArray[Any] | None:
        """Read the groups of some rows."""
        return None if self._group is None else self._side(rows, self._group)

    def ids(self, rows: Ints) -> NDArray[Any]:
        """Read the ids of some rows; positions where there is no column."""
        return as_text(rows) if self._id is None else self._side(rows, self._id)

    def _side(self, rows: Ints, name: str) -> NDArray[Any]:
        parts = [
            self._take(rows[i : i + self.batch_rows], [name])[name]
            for i in range(0, rows.size, self.batch_rows)
        ]
        values = [as_text(part.to_list()) for part in parts]
        return np.concatenate(values) if values else np.zeros(0, dtype=np.str_)

    def _take(self, rows: Ints, columns: list[str]) -> pl.DataFrame:
        import polars as pl

        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        ends = np.searchsorted(ordered, self._starts[1:])
        parts, begin = [], 0
        for path, offset, end in zip(self.paths, self._starts, ends, strict=False):
            for piece in _runs(ordered[begin:end], self.batch_rows):
                low, high = int(piece[0]), int(piece[-1])
                window = _scan(path).select(columns).slice(low - int(offset), high - low + 1)
                frame = window.collect()
                parts.append(frame if frame.height == piece.size else frame[piece - low])
            begin = int(end)
        joined = (
            pl.concat(parts) if parts else _scan(self.paths[0]).select(columns).head(0).collect()
        )
        back = np.empty(rows.size, dtype=np.int64)
        back[order] = np.arange(rows.size)
        return joined if bool((order == np.arange(rows.size)).all()) else joined[back]

    @property
    def fingerprint(self) -> str:
        """That of the labels, the columns, and size and name of each file."""
        about = [*self.columns, *(f"{p.name} {p.stat().st_size}" for p in self.paths)]
        return fingerprint_array(np.asarray([super().fingerprint, *about]))


def _runs(rows: Ints, gap: int) -> list[Ints]:
    """Cut sorted rows where so many lie between two that reading on would waste more."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > gap) + 1) if rows.size else []


def _feature_columns(
    path: Path, named: Sequence[str], features: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the columns of features of a file, checked."""
    import polars as pl

    empty = _scan(path).head(0).collect()
    require_columns(empty, "columns", named)
    chosen = [c for c in empty.columns if c not in named] if features is None else list(features)
    require_columns(empty, "features", chosen, once=True)
    types = {c: empty[c].dtype for c in chosen}
    other = [c for c, t in types.items() if not (t.is_numeric() or t == pl.Boolean)]
    if other or not chosen:
        got = f"{other[0]} ({types[other[0]]})" if other else "no column"
        raise DataError(say("features", "be numeric columns, at least one", got))
    return tuple(chosen)


def _scan(path: Path) -> pl.LazyFrame:
    import polars as pl

    try:
        frame = pl.scan_parquet(path)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        found = "nothing there" if not path.exists() else str(error).split("\n")[0]
        raise DataError(say(str(path), "be a Parquet file", found)) from error
    return frame


def _files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: list[Path] = []
    for name in map(str, given):
        is_pattern = any(mark in name for mark in "*?[")
        # Patterns may be absolute, which Path.glob refuses.
        found += [Path(p) for p in sorted(glob.glob(name))] if is_pattern else [Path(name)]  # noqa: PTH207
    if not found:
        raise DataError(say("paths", "name Parquet files", given or "none"))
    return found


def _codes(
    parts: list[Any], label: str, names: Sequence[str] | None, coding: LabelCoding
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return labels as small integers, and the classes, or None for one binary label."""
    import polars as pl

    if len({part.dtype for part in parts}) > 1:  # numbers in one file, text in another
        parts = [part.cast(pl.String) for part in parts]
    what, whole = f"column {label}", pl.concat(parts)
    if whole.dtype.is_float():
        whole = whole.fill_nan(None)
    values = [v for v in whole.unique().to_list() if v is not None]
    keys = {loose_key(entry_text(v)) for v in values}
    zero_one = keys <= {"0", "1", "-1"} or whole.dtype == pl.Boolean
    if names is None and (coding.is_binary or zero_one):
        return binary_column(whole, what, coding), None
    if whole.null_count():
        raise DataError(say(what, "have a class in every row", "empty entries"))
    # Each distinct value is looked at once, not each row.
    codes, known = class_column(values, what, names)
    small = np.int8 if len(known) < 128 else np.int32
    old, new = pl.Series(values, dtype=whole.dtype), pl.Series(codes, dtype=pl.Int32)
    coded = whole.replace_strict(old, new, return_dtype=pl.Int32).to_numpy()
    return coded.astype(small), tuple(known)
