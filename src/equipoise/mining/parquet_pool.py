"""A pool over Parquet files: feature columns are read a batch at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_finite
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import as_text, loose_key
from equipoise._core.words import say
from equipoise.errors import DataError
from equipoise.io.binary import binary_column
from equipoise.io.coding import DEFAULT, LabelCoding, entry_text
from equipoise.io.columns import class_column
from equipoise.io.tables import require_columns
from equipoise.mining.pools import Pool, batch_rows_for

if TYPE_CHECKING:
    import polars as pl


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
    require_columns(empty, "features", chosen)
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
