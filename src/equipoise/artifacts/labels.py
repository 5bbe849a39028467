"""Labels: what is known about each row, with names, ids and groups."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_shape, to_array
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import as_text, hashable_ids
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts._io import read_column, read_table, reading, write_table
from equipoise.errors import DataError, DataWarning, ShapeError

Kind = Literal["multiclass", "multilabel"]
KINDS: tuple[Kind, ...] = ("multiclass", "multilabel")
UNKNOWN = -1
MAX_UNNAMED = 100_000
_SCHEMA, _VERSION = "equipoise.Labels", 1


def to_ids(name: str, values: ArrayLike | None, n: int, *, unique: bool) -> NDArray[np.str_] | None:
    """Return row ids or groups as text, (n,) str: 7 is "7", and "007" stays as it is."""
    if values is None:
        return None
    array = to_array(name, values, ndim=1)
    require_shape(name, array, (n,), "Give one entry per row.")
    missing = array.dtype.kind == "O" and any(v is None or v != v for v in array.tolist())
    # Beyond 2^53 a float no longer tells neighbours apart.
    whole = array.dtype.kind == "f" and bool(
        np.isfinite(array).all() and (array % 1 == 0).all() and (np.abs(array) < 2**53).all()
    )
    if missing or (array.dtype.kind == "f" and not whole):
        do = "Give every row an integer or a text."
        got = "missing values or fractions"
        if array.dtype.kind == "f" and np.isfinite(array).all() and (array % 1 == 0).all():
            got = "floats beyond 2^53, which have lost digits"
        raise DataError(say(name, "be integers or texts", got, do))
    ids = as_text(array.astype(np.int64) if whole or array.dtype.kind == "b" else array)
    if unique:
        distinct, counts = np.unique(ids, return_counts=True)
        if distinct.size < n:
            twice = distinct[counts > 1][0]
            raise DataError(
                say(
                    name,
                    "be unique",
                    f"{n - distinct.size} duplicates (first: '{twice}')",
                    "Remove duplicate rows, or give repeated rows a shared group instead.",
                )
            )
    return ids


def pick_rows(rows: ArrayLike | slice) -> NDArray[Any] | slice:
    """Return positions, a mask or a slice as an index that keeps the row axis."""
    if isinstance(rows, slice):
        return rows
    index = np.atleast_1d(np.asarray(rows))
    return index.astype(np.int64) if index.size == 0 else index


def _class_values(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind == "f" and not np.all((np.abs(values) < 2**53) & (values % 1 == 0)):
        raise DataError(
            say(
                "values",
                "be class indices 0 to C - 1",
                "fractions or NaN",
                "Multi-class labels have no unknown entries: leave those rows out.",
            )
        )
    if values.dtype.kind not in "fiub":
        raise DataError(
            say(
                "values",
                "be class indices",
                f"dtype {values.dtype}",
                "Use labels.read_labels for names.",
            )
        )
    classes = values.astype(np.int64)
    if classes.size and classes.min() < 0:
        raise DataError(
            say("values", "be class indices >= 0", int(classes.min()), "Leave unknown rows out.")
        )
    return classes


def _multi_hot_values(values: NDArray[Any]) -> NDArray[np.int8]:
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), UNKNOWN, values)
    if values.dtype.kind not in "fiub":
        do = "Use labels.read_labels for texts."
        raise DataError(say("values", "be 0, 1 or -1 (unknown)", f"dtype {values.dtype}", do))
    wrong = ~np.isin(values, (0, 1, UNKNOWN))
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            say(
                "values",
                "be 0, 1 or -1 (unknown)",
                f"{values[row, column]!s} in row {row}, column {column}",
                'Class indices in one column are kind="multiclass".',
            )
        )
    return values.astype(np.int8)


def _say_one_sided(hot: NDArray[np.int8]) -> None:
    """Warn of 1 and -1 without any 0: mostly a coding whose -1 means absent."""
    # A handful of rows may hold no absent label by chance.
    if len(hot) < 10:
        return
    if (hot == 1).any() and (hot == UNKNOWN).any() and not (hot == 0).any():
        warnings.warn(
            "`values` hold 1 and -1 and no 0. -1 is read as unknown, so that no label is absent "
            "anywhere: write 0 for absent.",
            DataWarning,
            stacklevel=3,
        )


def _check_unnamed(classes: NDArray[Any], width: int) -> None:
    if width < 2:
        do = "Give `names` of all classes if others occur elsewhere; yes-or-no is multilabel."
        raise DataError(say("values", "hold at least two classes", "only class 0", do))
    if width > MAX_UNNAMED:
        do = "Number the classes 0 to C - 1, or give `names`."
        expected = f"be class indices below {MAX_UNNAMED} where no names are given"
        raise DataError(say("values", expected, int(classes.max()), do))


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What is known about each of N rows.

    Args:
        values: (N,) int64 class indices, or (N, L) int8 with 1 present, 0 absent, -1 unknown.
        kind: "multiclass" (exactly one class per row) or "multilabel" (any number). Binary is
            "multilabel" with one label.
        names: One name per class or label.
        ids: (N,) unique str row ids, or None. :meth:`from_array` makes text of integers.
        groups: (N,) str, rows that belong together (a patient, a video), or None.

    Raises:
        DataError: values outside the allowed set, duplicate ids or names.
        ShapeError: shapes that do not belong together.

    Example:
        >>> labels = Labels.from_array([[1, 0], [1, 1], [0, -1]], kind="multilabel")
        >>> labels.counts.tolist(), labels.known.tolist()
        ([2, 1], [3, 2])
    """

    values: NDArray[Any]
    kind: Kind
    names: tuple[str, ...]
    ids: NDArray[np.str_] | None = None
    groups: NDArray[np.str_] | None = None

    @classmethod
    def from_array(
        cls,
        values: ArrayLike,
        *,
        kind: Kind,
        names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Labels:
        """Check and wrap an array; (N,) values of kind "multilabel" become one binary label."""
        one_of("kind", kind, KINDS)
        array = to_array("values", values, ndim=1 if kind == "multiclass" else (1, 2))
        if array.shape[0] == 0:
            raise DataError(say("values", "have at least one row", "none", "Check the filter."))
        checked: NDArray[Any]
        if kind == "multiclass":
            checked = _class_values(array)
            width = int(checked.max()) + 1
        else:
            checked = _multi_hot_values(array.reshape(array.shape[0], -1))
            _say_one_sided(checked)
            width = checked.shape[1]
        if names is None:
            if kind == "multiclass":
                _check_unnamed(checked, width)
            names = [str(i) for i in range(width)]
        n = checked.shape[0]
        return cls(
            checked,
            kind,
            tuple(str(name) for name in names),
            to_ids("ids", ids, n, unique=True),
            to_ids("groups", groups, n, unique=False),
        )

    def __post_init__(self) -> None:
        for side in ("ids", "groups"):
            given = getattr(self, side)
            if given is not None and given.dtype.kind != "U":
                object.__setattr__(self, side, as_text(given))
        if len(set(self.names)) < len(self.names):
            twice = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            do = "Give every class or label its own name."
            raise DataError(say("names", "be unique", f"{twice!r} twice", do))
        width = self.values.shape[1] if self.kind == "multilabel" else len(self.names)
        if len(self.names) != width:
            do = "Give one name per column of `values`."
            expected = f"have one entry per label = {width}"
            raise ShapeError(say("names", expected, len(self.names), do))
        if self.kind == "multiclass":
            if len(self.names) < 2:
                got = f"only {list(self.names)}"
                do = hint("Yes-or-no labels are {kind=multilabel}.")
                raise DataError(say("values", "hold at least two classes", got, do))
            if self.values.size and int(self.values.max()) >= width:
                expected = f"be below the number of names = {width}"
                do = "Name all classes, in the order of their index."
                raise DataError(say("values", expected, self.values.max(), do))

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, rows: ArrayLike | slice) -> Labels:
        """Return the labels of some rows, by position."""
        index = pick_rows(rows)
        return Labels(
            self.values[index],
            self.kind,
            self.names,
            None if self.ids is None else self.ids[index],
            None if self.groups is None else self.groups[index],
        )

    def in_order(self, names: Sequence[str]) -> Labels:
        """Return the same labels with classes or columns in the order of ``names``.

        Raises:
            DataError: the names are not the same set.

        Example:
            >>> labels = Labels.from_array([0, 1, 1], kind="multiclass", names=["b", "a"])
            >>> labels.in_order(["a", "b"]).values.tolist()
            [1, 0, 0]
        """
        wanted = tuple(names)
        if wanted == self.names:
            return self
        if set(wanted) != set(self.names) or len(wanted) != len(self.names):
            do = "Names bind: give the same names on both sides."
            raise DataError(say("labels", f"be named {list(wanted)}", list(self.names), do))
        order = [self.names.index(name) for name in wanted]
        if self.kind == "multiclass":
            values = np.argsort(order)[self.values]
        else:
            values = self.values[:, order]
        return Labels(values, self.kind, wanted, self.ids, self.groups)

    @property
    def num_classes(self) -> int:
        """Number of classes or labels."""
        return len(self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each class, or positives of each label, (C,) int64."""
        if self.kind == "multiclass":
            return np.bincount(self.values, minlength=self.num_classes).astype(np.int64)
        return np.asarray((self.values == 1).sum(axis=0), dtype=np.int64)

    @property
    def known(self) -> NDArray[np.int64]:
        """Rows whose entry is known, per class or label, (C,) int64."""
        if self.kind == "multiclass":
            return np.full(self.num_classes, len(self), dtype=np.int64)
        return np.asarray((self.values != UNKNOWN).sum(axis=0), dtype=np.int64)

    @property
    def prevalence(self) -> NDArray[np.float64]:
        """Share of positives among known rows, (C,) float64; NaN where nothing is known."""
        known = self.known
        share = np.full(self.num_classes, np.nan)
        np.divide(self.counts, known, out=share, where=known > 0)
        return share

    def one_hot(self) -> NDArray[np.int8]:
        """Return (N, C) int8: multi-hot as it is, classes as one column each."""
        if self.kind == "multilabel":
            return self.values
        hot = np.zeros((len(self), self.num_classes), dtype=np.int8)
        hot[np.arange(len(self)), self.values] = 1
        return hot

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name values, names and ids."""
        parts: list[NDArray[Any]] = [self.values, np.asarray(self.names)]
        if self.ids is not None:
            parts.append(hashable_ids(self.ids))
        return fingerprint_array(*parts)

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file: one column per label (or one of class names), id and group."""
        import polars as pl

        if self.kind == "multiclass":
            columns: dict[str, Any] = {"label": np.asarray(self.names)[self.values]}
        else:
            columns = {f"label:{n}": self.values[:, i] for i, n in enumerate(self.names)}
        for key, extra in (("id", self.ids), ("group", self.groups)):
            if extra is not None:
                columns[key] = extra
        meta = {"kind": self.kind, "names": self.names}
        return write_table(path, _SCHEMA, _VERSION, pl.DataFrame(columns), meta)

    @classmethod
    def load(cls, path: str | Path) -> Labels:
        """Read what :meth:`save` wrote."""
        frame, meta = read_table(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            names, kind = meta["names"], meta["kind"]
            if kind == "multiclass":
                index = {name: i for i, name in enumerate(names)}
                values = np.asarray([index[v] for v in read_column(frame, "label").tolist()])
            else:
                columns = [read_column(frame, f"label:{n}") for n in names]
                values = np.stack(columns, axis=1).astype(np.int8)
            ids, groups = (
                read_column(frame, key) if key in frame.columns else None for key in ("id", "group")
            )
            return cls.from_array(values, kind=kind, names=names, ids=ids, groups=groups)
