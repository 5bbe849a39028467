"""Labels: what is known about each row, with names, ids and groups."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_shape, to_array, to_floats
from equipoise._core.fingerprint import Blocks, fingerprint_array
from equipoise._core.identity import as_text, hashable_ids
from equipoise._core.messages import hint, one_of, say
from equipoise._core.text import as_html, table
from equipoise.artifacts._io import read_column, read_table, reading, write_table
from equipoise.artifacts.entries import PRESENT, UNKNOWN as UNKNOWN, Entries
from equipoise.errors import DataError, DataWarning, ShapeError, UsageError

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["multiclass", "multilabel"]
KINDS: tuple[Kind, ...] = ("multiclass", "multilabel")
MAX_UNNAMED = 100_000
# Labels that a notebook shows.
_SHOWN = 10
# Bytes of an entry, where a cell of a dense table takes one.
_CELL = 17
# Version 1 has one column per label, version 2 lists the labels of each row.
_SCHEMA, _VERSION, _LISTED = "equipoise.Labels", 1, 2


def to_ids(name: str, values: ArrayLike | None, n: int, *, unique: bool) -> NDArray[np.str_] | None:
    """Return row ids or groups as text, (n,) str: 7 is "7", and "007" stays as it is."""
    if values is None:
        return None
    array = to_array(name, values, ndim=1)
    require_shape(name, array, (n,), "Give one entry per row.")
    mixed = array.dtype.kind == "O" and not {str}.issuperset(map(type, array.tolist()))
    missing = mixed and any(v is None or v != v for v in array.tolist())
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
    if unique and len(set(ids.tolist())) < n:
        distinct, counts = np.unique(ids, return_counts=True)
        got = f"{n - distinct.size} duplicates (first: '{distinct[counts > 1][0]}')"
        do = "Remove duplicate rows, or give repeated rows a shared group instead."
        raise DataError(say(name, "be unique", got, do))
    return ids


def to_weights(name: str, values: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    """Return row weights, (n,) float64 > 0; None where there are none."""
    if values is None:
        return None
    array = to_floats(name, to_array(name, values, ndim=1))
    require_shape(name, array, (n,), "Give one weight per row.")
    wrong = ~(np.isfinite(array) & (array > 0))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        got = f"{array[at]:g} in row {at}" + f" and {wrong.sum() - 1} more" * bool(wrong.sum() > 1)
        do = "Leave rows of zero weight out; fill empty weights in."
        raise DataError(say(name, "be finite and above 0", got, do))
    return array


def effective_size(weights: NDArray[np.float64]) -> float:
    """Return how many rows of equal weight say as much as these, (sum w)^2 / sum w^2; 0 of none.

    Example:
        >>> effective_size(np.array([1.0, 1.0, 1.0])), effective_size(np.array([9.0, 1.0]))
        (3.0, 1.2195121951219512)

    References:
        Kish (Survey Sampling 1965), section 11.2C.
    """
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


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
                "Use equipoise.read_labels for names.",
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
        do = "Use equipoise.read_labels for texts."
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


def _say_one_sided(hot: NDArray[np.int8] | Entries) -> None:
    """Warn of 1 and -1 without any 0: mostly a coding whose -1 means absent."""
    if isinstance(hot, Entries):
        n, cells = hot.n_rows, hot.values
        absent = cells.size < n * hot.width
    else:
        n, cells = len(hot), hot
        absent = bool((hot == 0).any())
    # A handful of rows may hold no absent label by chance.
    if n < 10:
        return
    if (cells == 1).any() and (cells == UNKNOWN).any() and not absent:
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

    Made by :meth:`from_array`, or by :meth:`from_lists` where each row lists its labels. Labels
    from a SciPy sparse table or from lists stay sparse: what there is of them is stored, and not
    N x L cells.

    Args:
        stored: (N,) int64 class indices, or (N, L) int8 with 1 present, 0 absent, -1 unknown, or
            the :class:`Entries` of such a table.
        kind: "multiclass" (exactly one class per row) or "multilabel" (any number). Binary is
            "multilabel" with one label.
        names: One name per class or label.
        ids: (N,) unique str row ids, or None. :meth:`from_array` makes text of integers.
        groups: (N,) str, rows that belong together (a patient, a video), or None.
        weights: (N,) float64 > 0, how many rows of the population a row stands for (survey or
            exposure weights), or None: every row counts the same. Only their ratios matter.
        made: Once they were asked for: of sparse labels the dense table, the fingerprint and the
            entries by label; of dense ones the entries where they take less memory than the table.

    Raises:
        DataError: values outside the allowed set, duplicate ids or names.
        ShapeError: shapes that do not belong together.

    Example:
        >>> labels = Labels.from_array([[1, 0], [1, 1], [0, -1]], kind="multilabel")
        >>> labels.counts.tolist(), labels.known.tolist()
        ([2, 1], [3, 2])
    """

    stored: NDArray[Any] | Entries
    kind: Kind
    names: tuple[str, ...]
    ids: NDArray[np.str_] | None = None
    groups: NDArray[np.str_] | None = None
    weights: NDArray[np.float64] | None = None
    made: dict[str, Any] = field(init=False, default_factory=dict, repr=False)

    @classmethod
    def from_array(
        cls,
        values: Any,
        *,
        kind: Kind,
        names: Sequence[str] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Labels:
        """Check and wrap an array; (N,) values of kind "multilabel" become one binary label.

        A SciPy sparse matrix or array, (N, L), is multi-label and stays sparse: 1 present, -1
        unknown, and what is not stored absent.

        Example:
            >>> from scipy.sparse import csr_array
            >>> table = csr_array([[1, 0, 0], [0, 1, -1]])
            >>> labels = Labels.from_array(table, kind="multilabel")
            >>> labels.is_sparse, labels.counts.tolist(), labels.known.tolist()
            (True, [1, 1, 0], [2, 2, 1])
        """
        one_of("kind", kind, KINDS)
        if hasattr(values, "tocsr"):
            if kind == "multiclass":
                do = hint("A table of labels is {kind=multilabel}.")
                got = f"a sparse table, shape {values.shape}"
                raise DataError(say("values", "be class indices, (N,)", got, do))
            return cls._of_entries(Entries.of_sparse(values), names, ids, groups, weights)
        lists = kind == "multilabel" and isinstance(values, (list, tuple))
        if lists and len({len(row) for row in values if hasattr(row, "__len__")}) > 1:
            where: str = "Rows that list the labels they have go to Labels.from_lists."
            got = "rows of different length"
            raise ShapeError(say("values", "be a rectangular array", got, where))
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
            to_weights("weights", weights, n),
        )

    @classmethod
    def from_lists(
        cls,
        rows: Sequence[Any],
        *,
        names: Sequence[str] | None = None,
        num_labels: int | None = None,
        unknown: Sequence[Any] | None = None,
        ids: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Labels:
        """Wrap rows that each list the labels they have; an empty list is a row without any.

        Use where there are many labels and few in a row: nothing is stored of those that are
        absent. A rectangular table of 0 and 1 goes to :meth:`from_array`.

        Args:
            rows: N sequences of label indices, 0 to L - 1, or of texts that are among ``names``.
            names: One name per label; of texts those that occur, sorted, if it is None.
            num_labels: L, where no names are given; None takes the largest index plus one.
            unknown: N sequences of the labels that are unknown in each row, or None: none is.
            ids: (N,) unique row ids, or None.
            groups: (N,) what rows belong together by, or None.
            weights: (N,) how many rows of the population each stands for, > 0, or None.

        Raises:
            DataError: no rows, what is no label, or a label twice in one row.
            ShapeError: as many lists of unknown labels as there are rows are not given.

        Example:
            >>> labels = Labels.from_lists([[0, 2], [], [2]], names=["A", "B", "C"])
            >>> labels.values.tolist(), labels.counts.tolist()
            ([[1, 0, 1], [0, 0, 0], [0, 0, 1]], [1, 0, 2])
        """
        lists = list(rows)
        if any(isinstance(row, str) or not hasattr(row, "__len__") for row in lists):
            odd = next(r for r in lists if isinstance(r, str) or not hasattr(r, "__len__"))
            do = "Write a row with one label as [label], a row without any as []."
            raise DataError(say("rows", "be lists of labels", repr(odd), do))
        if names is None and num_labels is None:
            every = [*lists, *(unknown or ())]
            if isinstance(next((v for row in every for v in row), None), str):
                names = sorted({v for row in every for v in row if isinstance(v, str)})
        width = None if names is None else len(names)
        if num_labels is not None and width not in (None, num_labels):
            do = "Leave one of the two out."
            raise ShapeError(say("num_labels", f"be the number of names = {width}", num_labels, do))
        width = num_labels if width is None else width
        called = None if names is None else [str(name) for name in names]
        nowhere = [()] * len(lists) if unknown is None else list(unknown)
        if len(nowhere) != len(lists):
            do = "Give one list per row, [] where nothing is unknown."
            expected = f"have one list per row = {len(lists)}"
            raise ShapeError(say("unknown", expected, len(nowhere), do))
        if width is None and unknown is not None:
            sizes = [Entries.of_lists(side, None, None)[1] for side in (lists, nowhere)]
            width = max(sizes)
        found, width = Entries.of_lists(lists, called, width)
        if unknown is not None:
            hidden, _ = Entries.of_lists(nowhere, called, width)
            found = _join(found, hidden)
        return cls._of_entries(found, called, ids, groups, weights)

    @classmethod
    def _of_entries(
        cls,
        entries: Entries,
        names: Sequence[str] | None,
        ids: ArrayLike | None,
        groups: ArrayLike | None,
        weights: ArrayLike | None,
    ) -> Labels:
        if entries.n_rows == 0:
            raise DataError(say("values", "have at least one row", "none", "Check the filter."))
        _say_one_sided(entries)
        called = range(entries.width) if names is None else names
        n = entries.n_rows
        return cls(
            entries,
            "multilabel",
            tuple(str(name) for name in called),
            to_ids("ids", ids, n, unique=True),
            to_ids("groups", groups, n, unique=False),
            to_weights("weights", weights, n),
        )

    def __post_init__(self) -> None:
        for side in ("ids", "groups"):
            given = getattr(self, side)
            if given is not None and given.dtype.kind != "U":
                object.__setattr__(self, side, as_text(given))
        if len(set(self.names)) < len(self.names):
            place = {name: i for i, name in reversed(list(enumerate(self.names)))}
            twice = next(n for i, n in enumerate(self.names) if place[n] < i)
            do = "Give every class or label its own name."
            raise DataError(say("names", "be unique", f"{twice!r} twice", do))
        width = len(self.names)
        if self.kind == "multilabel":
            held = self.stored
            width = held.width if isinstance(held, Entries) else held.shape[1]
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
        held = self.stored
        return held.n_rows if isinstance(held, Entries) else int(held.shape[0])

    def __getitem__(self, rows: ArrayLike | slice) -> Labels:
        """Return the labels of some rows, by position."""
        index = pick_rows(rows)
        held = self.stored
        return Labels(
            held.take(index) if isinstance(held, Entries) else held[index],
            self.kind,
            self.names,
            None if self.ids is None else self.ids[index],
            None if self.groups is None else self.groups[index],
            None if self.weights is None else self.weights[index],
        )

    def __str__(self) -> str:
        words = "classes" if self.kind == "multiclass" else "labels"
        held = f"{len(self):,} rows of {self.num_classes:,} {words}"
        unknown = int(self.entries.counts(UNKNOWN).sum()) if self.kind == "multilabel" else 0
        counts = self.counts
        parts = [f"{int(counts.sum()):,} positives", f"{counts.min():,} to {counts.max():,} each"]
        parts += [f"{unknown:,} unknown"] * bool(unknown)
        if self.weights is not None:
            parts.append(f"weighted, worth {effective_size(self.weights):,.0f} rows")
        return f"{held}: {', '.join(parts)}"

    def _repr_html_(self) -> str:
        counts, known = self.counts, self.known
        rarest = np.argsort(counts, kind="stable")[:_SHOWN]
        shares = self.prevalence
        rows = [
            [self.names[c], f"{counts[c]:,}", f"{known[c]:,}", f"{shares[c]:.2%}"] for c in rarest
        ]
        parts = [str(self), table(["rarest", "positives", "known", "share"], rows)]
        return as_html(parts)

    @property
    def is_sparse(self) -> bool:
        """Whether present and unknown entries alone are stored."""
        return isinstance(self.stored, Entries)

    @property
    def values(self) -> NDArray[Any]:
        """(N,) int64 class indices, or (N, L) int8 with 1 present, 0 absent, -1 unknown.

        Of sparse labels it is made when it is first asked for, and kept: N x L bytes. What costs
        as much as there are positives asks for ``entries`` instead.
        """
        if not isinstance(self.stored, Entries):
            return self.stored
        if "dense" not in self.made:
            self.made["dense"] = self.stored.dense()
        dense: NDArray[np.int8] = self.made["dense"]
        return dense

    @property
    def entries(self) -> Entries:
        """The present and unknown entries of each row; of classes, the one that is there."""
        if isinstance(self.stored, Entries):
            return self.stored
        if self.kind == "multilabel":
            if "entries" in self.made:
                kept: Entries = self.made["entries"]
                return kept
            found = Entries.of_dense(self.stored)
            if _CELL * found.columns.size <= self.stored.size:
                self.made["entries"] = found
            return found
        n = len(self)
        ones = np.ones(n, dtype=np.int8)
        return Entries(np.arange(n + 1), self.stored, ones, self.num_classes)

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
        place = {name: i for i, name in enumerate(self.names)}
        order = np.array([place[name] for name in wanted])
        held = self.stored
        values: NDArray[Any] | Entries
        if isinstance(held, Entries):
            values = held.in_order(order)
        elif self.kind == "multiclass":
            values = np.argsort(order)[held]
        else:
            values = held[:, order]
        return Labels(values, self.kind, wanted, self.ids, self.groups, self.weights)

    def narrow(self, start: int, stop: int) -> Labels:
        """Return some of several labels alone, those from ``start`` to ``stop``.

        Example:
            >>> labels = Labels.from_array([[1, 0, 1], [0, 1, -1]], kind="multilabel")
            >>> labels.narrow(1, 3).values.tolist()
            [[0, 1], [1, -1]]
        """
        held: NDArray[Any] | Entries
        if isinstance(self.stored, Entries):
            if "by_label" not in self.made:
                self.made["by_label"] = self.stored.by_label()
            held = self.made["by_label"].take(slice(start, stop)).by_label()
        else:
            held = self.stored[:, start:stop]
        names = self.names[start:stop]
        return Labels(held, self.kind, names, self.ids, self.groups, self.weights)

    @property
    def num_classes(self) -> int:
        """Number of classes or labels."""
        return len(self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each class, or positives of each label, (C,) int64."""
        if self.kind == "multiclass":
            return np.bincount(self.values, minlength=self.num_classes).astype(np.int64)
        if isinstance(self.stored, Entries):
            return self.stored.counts()
        return np.asarray((self.values == 1).sum(axis=0), dtype=np.int64)

    @property
    def known(self) -> NDArray[np.int64]:
        """Rows whose entry is known, per class or label, (C,) int64."""
        if self.kind == "multiclass":
            return np.full(self.num_classes, len(self), dtype=np.int64)
        if isinstance(self.stored, Entries):
            return len(self) - self.stored.counts(UNKNOWN)
        return np.asarray((self.values != UNKNOWN).sum(axis=0), dtype=np.int64)

    @property
    def prevalence(self) -> NDArray[np.float64]:
        """Share of positives among known rows, (C,) float64; NaN where nothing is known."""
        positive, known = self.weighed
        share = np.full(self.num_classes, np.nan)
        np.divide(positive, known, out=share, where=known > 0)
        return share

    @property
    def weighed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As ``counts`` and ``known``, rows counted by their weight over the mean weight, float64.

        Example:
            >>> labels = Labels.from_array([1, 0, 0], kind="multilabel", weights=[4.0, 1.0, 1.0])
            >>> [part.tolist() for part in labels.weighed], labels.counts.tolist()
            ([[2.0], [3.0]], [1])
        """
        if self.weights is None:
            return self.counts.astype(np.float64), self.known.astype(np.float64)
        weight = self.weights / self.weights.mean()
        if self.kind == "multiclass":
            counts: NDArray[Any] = np.bincount(self.values, weight, minlength=self.num_classes)
            return counts, np.full(self.num_classes, float(len(self)))
        held = self.entries
        positive, unknown = (
            np.bincount(held.columns[at], weight[held.rows[at]], minlength=self.num_classes)
            for at in (held.values == PRESENT, held.values == UNKNOWN)
        )
        # What is left of a sum of parts is no exact zero.
        known = np.where(self.known > 0, np.maximum(len(self) - unknown, positive), 0.0)
        return np.asarray(positive, dtype=np.float64), known

    @property
    def effective_counts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How many rows of equal weight say as much as the positives, and as the known others.

        (C,) float64 each; their numbers where there are no weights.
        """
        if self.weights is None:
            return self.counts.astype(np.float64), (self.known - self.counts).astype(np.float64)
        columns = list(self.columns())
        sides = ([effective_size(self.weights[c == side]) for c in columns] for side in (1, 0))
        first, second = (np.array(side) for side in sides)
        return first, second

    def columns(self) -> Iterator[NDArray[np.int8]]:
        """Yield what is known of each label, (N,) int8 each; sparse ones never all at once.

        Example:
            >>> labels = Labels.from_array([[1, 0], [1, -1]], kind="multilabel")
            >>> [column.tolist() for column in labels.columns()]
            [[1, 1], [0, -1]]
        """
        if isinstance(self.stored, Entries):
            for block in self.stored.by_label().blocks():
                yield from block
        else:
            yield from self.one_hot().T

    def one_hot(self) -> NDArray[np.int8]:
        """Return (N, C) int8: multi-hot as it is, classes as one column each."""
        if self.kind == "multilabel":
            return self.values
        hot = np.zeros((len(self), self.num_classes), dtype=np.int8)
        hot[np.arange(len(self)), self.values] = 1
        return hot

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name values, names and ids; the same for sparse and dense labels."""
        if "fingerprint" in self.made:
            return str(self.made["fingerprint"])
        held: NDArray[Any] | Blocks
        if isinstance(self.stored, Entries):
            shape = (len(self), self.num_classes)
            held = Blocks(np.dtype(np.int8), shape, self.stored.blocks())
        else:
            held = self.stored
        parts: list[NDArray[Any] | Blocks] = [held, np.asarray(self.names)]
        if self.ids is not None:
            parts.append(hashable_ids(self.ids))
        if self.weights is not None:
            parts.append(self.weights)
        found = fingerprint_array(*parts)
        if self.is_sparse:  # hashed as if they were dense, so once is enough
            self.made["fingerprint"] = found
        return found

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file: a column per label (or one of class names), id, group and weight.

        Of sparse labels two columns of lists instead, the positions of the present and of the
        unknown labels of each row; the names stand in the file's header.
        """
        import polars as pl

        columns: dict[str, Any]
        if isinstance(self.stored, Entries):
            columns = {
                "present": _as_lists(self.stored, PRESENT),
                "unknown": _as_lists(self.stored, UNKNOWN),
            }
        elif self.kind == "multiclass":
            columns = {"label": np.asarray(self.names)[self.values]}
        else:
            columns = {f"label:{n}": self.values[:, i] for i, n in enumerate(self.names)}
        for key, extra in (("id", self.ids), ("group", self.groups), ("weight", self.weights)):
            if extra is not None:
                columns[key] = extra
        meta = {"kind": self.kind, "names": self.names}
        version = _LISTED if self.is_sparse else _VERSION
        return write_table(path, _SCHEMA, version, pl.DataFrame(columns), meta)

    @classmethod
    def load(cls, path: str | Path) -> Labels:
        """Read what :meth:`save` wrote."""
        frame, meta = read_table(path, _SCHEMA, _LISTED, (_VERSION,))
        with reading(path, _SCHEMA):
            names, kind = meta["names"], meta["kind"]
            ids, groups, weights = (
                read_column(frame, key) if key in frame.columns else None
                for key in ("id", "group", "weight")
            )
            if meta["version"] == _LISTED:
                lists = [_of_lists(frame[side], len(names)) for side in ("present", "unknown")]
                return cls._of_entries(_join(*lists), names, ids, groups, weights)
            if kind == "multiclass":
                index = {name: i for i, name in enumerate(names)}
                values = np.asarray([index[v] for v in read_column(frame, "label").tolist()])
            else:
                columns = [read_column(frame, f"label:{n}") for n in names]
                values = np.stack(columns, axis=1).astype(np.int8)
            extra = {"ids": ids, "groups": groups, "weights": weights}
            return cls.from_array(values, kind=kind, names=names, **extra)


def _join(present: Entries, unknown: Entries) -> Entries:
    """Return present and unknown entries of the same rows together; none may be both."""
    rows = np.concatenate([present.rows, unknown.rows])
    columns = np.concatenate([present.columns, unknown.columns])
    values = np.repeat(np.array([PRESENT, UNKNOWN], dtype=np.int8),
                       [present.columns.size, unknown.columns.size])  # fmt: skip
    order = np.lexsort((columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    both = np.flatnonzero((np.diff(rows) == 0) & (np.diff(columns) == 0))
    if both.size:
        at = int(both[0])
        got = f"label {columns[at]} of row {rows[at]} in both"
        do = "Leave it out of one of the two."
        raise DataError(say("unknown", "list other labels than `rows`", got, do))
    return Entries(present.starts + unknown.starts, columns, values, present.width)


def _as_lists(entries: Entries, value: int) -> pl.Series:
    """Return the columns of one kind of entry as a column of lists."""
    import polars as pl

    chosen = entries.where(entries.values == value)
    rows = pl.DataFrame({"row": chosen.rows, "label": chosen.columns})
    lists = rows.group_by("row", maintain_order=True).agg("label")
    every = pl.DataFrame({"row": np.arange(entries.n_rows)}).join(
        lists, on="row", how="left", maintain_order="left"
    )
    empty = pl.Series([[]], dtype=pl.List(pl.Int64))
    return every["label"].fill_null(empty)


def _of_lists(column: pl.Series, width: int) -> Entries:
    """Return the entries, all present, that :func:`_as_lists` made a column of."""
    lengths = column.list.len().to_numpy().astype(np.int64)
    columns = column.explode().drop_nulls().to_numpy().astype(np.int64)
    if (
        columns.size != lengths.sum()
        or columns.min(initial=0) < 0
        or columns.max(initial=-1) >= width
    ):
        raise ValueError(f"positions of labels outside 0 to {width - 1}")
    starts = np.append(0, np.cumsum(lengths))
    return Entries(starts, columns, np.ones(columns.size, dtype=np.int8), width)


def require_labels(name: str, labels: object) -> None:
    """Raise a UsageError unless an argument holds Labels, as an array does not."""
    if not isinstance(labels, Labels):
        do = 'Make them first: Labels.from_array(y, kind="multilabel") or kind="multiclass".'
        raise UsageError(say(name, "be Labels", type(labels).__name__, do))


def with_ids(labels: Labels, rows: NDArray[np.int64]) -> Labels:
    """Return the labels of some rows; positions serve as ids where there are none."""
    part = labels[rows]
    if part.ids is not None:
        return part
    extra = {"groups": part.groups, "weights": part.weights}
    return Labels.from_array(part.values, kind=part.kind, names=part.names, ids=rows, **extra)
