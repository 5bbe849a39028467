"""Labels from files, folders, data frames and arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_plain
from equipoise._core.identity import as_text
from equipoise._core.messages import Argument, Message, closest, hint, listed, one_of, say
from equipoise._core.reading import load_arrays, reading_file
from equipoise.artifacts.labels import KINDS, Kind, Labels
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.io.binary import binary_columns
from equipoise.io.coding import DEFAULT, LabelCoding, Tokens
from equipoise.io.columns import class_column, label_column
from equipoise.io.tables import is_table_path, read_table, require_columns, to_table

if TYPE_CHECKING:
    import polars as pl


def _side_column(frame: pl.DataFrame, argument: str, name: str | None) -> NDArray[Any] | None:
    """Return the ids or groups of a table as text; empty entries are an error."""
    import polars as pl

    if name is None:
        return None
    require_columns(frame, argument, [name])
    column = frame[name]
    if column.dtype.is_float():
        column = column.fill_nan(None)
    empty = column.is_null()
    if column.dtype == pl.String:
        empty |= (column.str.strip_chars() == "").fill_null(value=True)
    if empty.any():
        what = f"{empty.sum()} empty entries (first: row {empty.arg_max()})"
        raise DataError(say(f"column {name}", "be filled in every row", what, "Fill them in."))
    whole = column.dtype.is_float() and bool((column % 1 == 0).all())
    # `to_ids` makes text of whole numbers; of 128 bits, NumPy has none.
    if (whole or column.dtype.is_integer()) and not str(column.dtype).endswith("128"):
        return column.to_numpy()
    return as_text(column.to_list())


def _weights(frame: pl.DataFrame, name: str | None) -> NDArray[np.float64] | None:
    """Return the row weights of a table; entries that are no numbers above 0 are an error."""
    import polars as pl

    if name is None:
        return None
    require_columns(frame, "weight_column", [name])
    column = frame[name]
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    numbers = column.cast(pl.Float64, strict=False)
    wrong = ~(numbers.is_finite() & (numbers > 0)).fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        got = f"{wrong.sum()} others (first: {column[row]!r} in row {row})"
        do = "Leave rows out that stand for nothing; fill empty ones in."
        raise DataError(say(f"column {name}", "hold weights, numbers above 0", got, do))
    return numbers.to_numpy()


class OtherLabelArguments(TypedDict, total=False):
    """The keywords of :class:`LabelArguments` but the first."""

    labels: Sequence[str] | None
    delimiter: str
    kind: Kind | None
    id_column: str | None
    group_column: str | None
    weight_column: str | None
    names: Sequence[str] | None
    positive: Tokens
    negative: Tokens
    unknown: Tokens
    empty_token: Tokens
    coding: LabelCoding
    """The four before it, as one."""


class LabelArguments(OtherLabelArguments, total=False):
    """Keywords of every reader that say where labels stand in a table; see :func:`read_labels`."""

    label: str | None


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """The same as one record, with the codings joined: see :meth:`of`.

    Example:
        >>> LabelColumns.of(labels=["A", "B"], id_column="row").named
        ['A', 'B', 'row']
    """

    label: str | None = None
    labels: Sequence[str] | None = None
    delimiter: str = "|"
    kind: Kind | None = None
    id_column: str | None = None
    group_column: str | None = None
    weight_column: str | None = None
    names: Sequence[str] | None = None
    coding: LabelCoding = DEFAULT

    @classmethod
    def of(
        cls,
        positive: Tokens = None,
        negative: Tokens = None,
        unknown: Tokens = None,
        empty_token: Tokens = None,
        **where: Any,
    ) -> LabelColumns:
        """Return the record of keywords as :class:`LabelArguments` has them."""
        unknown_keys = sorted(set(where) - {f.name for f in fields(cls)})
        if unknown_keys:
            near = closest(unknown_keys[0], LabelArguments.__annotations__)
            raise TypeError(f"unexpected keyword argument `{unknown_keys[0]}`. {near}")
        if "coding" not in where:
            where["coding"] = LabelCoding.of(positive, negative, unknown, empty_token)
        return cls(**where)

    @property
    def named(self) -> list[str]:
        """All columns that are named."""
        sides = [self.id_column, self.group_column, self.weight_column]
        some = [self.label, *(self.labels or ()), *sides]
        return [c for c in some if c is not None]

    def require_in(self, frame: pl.DataFrame) -> None:
        """Raise unless every column that is named is one of a table."""
        for argument, names in (
            ("label", [self.label]),
            ("labels", self.labels or ()),
            ("id_column", [self.id_column]),
            ("group_column", [self.group_column]),
            ("weight_column", [self.weight_column]),
        ):
            require_columns(frame, argument, [name for name in names if name is not None])

    def read(self, frame: pl.DataFrame) -> Labels:
        """Return the labels of a table."""
        if (self.label is None) == (self.labels is None):
            raise UsageError(
                say(
                    "label and labels",
                    "be given, exactly one of the two",
                    "neither" if self.label is None else "both",
                    Message(
                        Argument("label"),
                        " names one column (classes, or 'A|D'); ",
                        Argument("labels"),
                        f" one column per label. Columns: {', '.join(frame.columns[:20])}.",
                    ),
                )
            )
        ids = _side_column(frame, "id_column", self.id_column)
        extra = {
            "ids": ids,
            "groups": _side_column(frame, "group_column", self.group_column),
            "weights": _weights(frame, self.weight_column),
        }
        if self.label is not None:
            require_columns(frame, "label", [self.label])
            values, kind, known = label_column(
                frame[self.label], self.delimiter, self.kind, self.names, self.coding
            )
            return Labels.from_array(values, kind=kind, names=known, **extra)
        columns = list(self.labels or ())
        require_columns(frame, "labels", columns, once=True)
        if self.kind == "multiclass" or not columns:
            raise UsageError(
                say(
                    "labels",
                    hint("be columns of {kind=multilabel}"),
                    f"kind={self.kind!r}, {columns}",
                )
            )
        if self.coding.empty_token is not None:
            do = hint("An empty entry of a column means what {negative=} or {unknown=} says.")
            expected = hint("go with {label=}, one column")
            raise UsageError(say("empty_token", expected, f"columns {columns}", do))
        called = [f"column {c}" for c in columns]
        hot = binary_columns([frame[c] for c in columns], called, self.coding)
        names = self.names or columns
        return Labels.from_array(hot, kind="multilabel", names=names, **extra)


def _is_text(name: str) -> bool:
    """Whether the bytes of a file's name are text, which no file system asks for."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


# Beside images, files of other names are captions, licences or what a system left there.
# fmt: off
_IMAGES = frozenset({
    "avif", "bmp", "dcm", "dib", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "jpeg",
    "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tga", "tif", "tiff", "webp",
})
# fmt: on


def files_below(root: Path, folders: Sequence[Path] | None = None) -> list[str]:
    """Return the files below a folder as relative paths, sorted, without hidden ones.

    Where some are called as images are, those with another ending are left out with a warning.

    Args:
        root: The folder; ids of its rows are relative to it.
        folders: Those in it that hold rows; None takes all that is below it.
    """
    below = [p for folder in folders or (root,) for p in folder.rglob("*")]
    found = [p.relative_to(root) for p in sorted(below) if p.is_file()]
    files = [p for p in found if not any(part.startswith(".") for part in p.parts)]
    images = [p for p in files if p.suffix[1:].lower() in _IMAGES]
    if images:
        kept = [p for p in files if not p.suffix or p.suffix[1:].lower() in _IMAGES]
        if left := [str(p) for p in files if p not in set(kept)]:
            warnings.warn(
                f"left out of {root}: {len(left):,} of {len(files):,} files, which are not called "
                f"as images are: {listed(left, 3)}.",
                DataWarning,
                stacklevel=2,
            )
        files = kept
    return sorted(p.as_posix() for p in files)


def _from_folder(root: Path, names: Sequence[str] | None) -> Labels:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    known = [p.name for p in folders] if names is None else list(names)
    if len(known) < 2:
        found = f"only {known}" if known else "none"
        raise DataError(
            say(str(root), "hold one folder per class, at least two", found, "Check the path.")
        )
    values: list[int] = []
    ids: list[str] = []
    of_folder: dict[str, list[str]] = {}
    for file in files_below(root, folders):
        of_folder.setdefault(file.partition("/")[0], []).append(file)
    for folder in folders:
        if folder.name not in known:
            raise DataError(
                say(str(root), "hold only names", repr(folder.name), closest(folder.name, known))
            )
        files = of_folder.get(folder.name, [])
        odd = next((name for name in (folder.name, *files) if not _is_text(name)), None)
        if odd is not None:
            raise DataError(say(str(root), "hold names that are UTF-8", ascii(odd), "Rename it."))
        ids += files
        values += [known.index(folder.name)] * len(files)
    if not ids:
        raise DataError(say(str(root), "hold files in its class folders", "only empty folders"))
    return Labels.from_array(values, kind="multiclass", names=known, ids=ids)


def _from_values(
    values: ArrayLike, kind: Kind | None, names: Sequence[str] | None, coding: LabelCoding
) -> Labels:
    array = np.asarray(values)
    if array.size == 0:
        raise DataError(say("source", "have at least one row", f"shape {array.shape}"))
    if array.dtype.kind != "O":  # of lists and data frames, whose entries tell
        require_plain("source", array)
    if (array.ndim == 2 and kind != "multiclass") or (
        array.ndim == 1 and (kind == "multilabel" or coding.is_binary)
    ):
        hot = array.reshape(len(array), -1)
        return Labels.from_array(_read_hot(hot, names, coding), kind="multilabel", names=names)
    if array.ndim != 1:
        raise DataError(say("source", "be (N,) classes or (N, L) labels", f"shape {array.shape}"))
    if coding != DEFAULT:
        do = hint("Pass {kind=multilabel} if they are one label.")
        raise UsageError(say("positive, negative and unknown", "go with labels", "classes", do))
    if array.dtype.kind in "iu":
        return Labels.from_array(array, kind="multiclass", names=names)
    classes, known = class_column(array.tolist(), "source", names)
    return Labels.from_array(classes, kind="multiclass", names=known)


def _read_hot(
    hot: NDArray[Any], names: Sequence[str] | None, coding: LabelCoding
) -> NDArray[np.int8]:
    """Return 1, 0 and -1 of an array by the same rules as those of columns."""
    import polars as pl

    width = hot.shape[1]
    if hot.size == 0 or width == 0:
        return hot
    known = [str(i) for i in range(width)] if names is None else [str(n) for n in names]
    known += [str(i) for i in range(len(known), width)]
    columns = [
        pl.Series(str(i), hot[:, i].tolist() if hot.dtype.kind in "OUS" else hot[:, i].copy(),
                  strict=False)
        for i in range(width)
    ]  # fmt: skip
    return binary_columns(columns, [f"label {name}" for name in known[:width]], coding)


def _from_numpy_file(
    path: Path,
    key: str | None,
    kind: Kind | None,
    names: Sequence[str] | None,
    coding: LabelCoding,
) -> Labels:
    stored = load_arrays(path, "be a NumPy file without pickles")
    if isinstance(stored, np.ndarray):
        return _from_values(stored, kind, names, coding)
    key = key or next((k for k in ("labels", "label", "y") if k in stored), None)
    key = next(iter(stored)) if key is None and len(stored) == 1 else key
    if key is None or key not in stored:
        expected = hint("hold the array named by {label=}")
        raise DataError(say(str(path), expected, key, closest(str(key), stored)))
    found = _from_values(stored[key], kind, names, coding)
    extra = {k: stored.get(k) for k in ("ids", "groups", "weights")}
    return Labels.from_array(found.values, kind=found.kind, names=found.names, **extra)


def _is_saved(path: Path) -> bool:
    import polars as pl

    if path.suffix.lower() not in (".parquet", ".pq"):
        return False
    with reading_file(path, "be a Parquet file"):
        return "equipoise" in pl.read_parquet_metadata(path)


def read_labels(source: Any, **where: Unpack[LabelArguments]) -> Labels:
    """Read labels from a file, a folder, a data frame or an array.

    Use when the labels are not yet an array. What a source means:

    - a table (CSV, Parquet, any data frame) with ``labels=[...]``: one column per label with 1
      present, 0 absent, -1 or empty unknown; true and false, yes and no, y and n, t and f, present
      and absent are recognised and said; any other coding is declared;
    - a table with ``label="y"``: a text column that somewhere holds the delimiter is several
      labels per row (an empty entry is none); a column of 0 and 1 is one binary label; any other
      text or whole number is a class. ``kind`` overrides;
    - a Parquet file that ``Labels.save`` wrote: as it is, without further arguments;
    - a folder with one folder per class: classes by folder name, ids by relative path;
    - ``.npy``, ``.npz`` or an array: (N,) classes (0 to C - 1, or names), (N, L) labels. In an
      ``.npz``, ``label`` names the array; arrays ``ids``, ``groups`` and ``weights`` are
      taken along.

    Args:
        source: Path, data frame (pandas, polars, ...) or array.
        label: The one column (or array) that holds the labels.
        labels: The columns that hold one label each.
        delimiter: Between the labels of one entry.
        kind: "multiclass" or "multilabel", where the column alone does not say it.
        id_column: Column with a unique id per row.
        group_column: Column with the group of each row (a patient, a video).
        weight_column: Column with how many rows of the population each stands for, > 0: survey or
            exposure weights.
        names: All class or label names in order; a value outside is an error. For ``labels=``,
            new names of the columns. A column of whole numbers that are not among the names
            indexes them.
        positive: Entries that mean present, one text or number or several; then 1 means it only
            if it is among them. Trimmed, and numbers by value: 255 is 255.0.
        negative: Entries that mean absent, instead of 0.
        unknown: Entries that mean that nobody knows, instead of -1. In a column of several labels,
            whole entries.
        empty_token: In a column of several labels, words that mean "none of them", such as
            "No Finding".

    Returns:
        The labels. Ids, groups and names are text as it is written: 0000300, 01 and 1.0 stay what
        they are. Classes that are all plain whole numbers stand in numeric order.

    Raises:
        DataError: a missing file or column, values that are no labels, empty classes, duplicate
            ids, a single class; 1 and -1 without any 0, where -1 may be absent or unknown; labels
            that another mark than the delimiter separates.
        UsageError: neither or both of ``label`` and ``labels`` for a table, or a coding that does
            not go with the column.

    Warns:
        DataWarning: words read as present or absent, names that differ only by spaces or as
            numbers, a word such as "No Finding" read as a label.

    Example:
        >>> read_labels([[1, -1], [-1, 1]], negative=-1).values.tolist()
        [[1, 0], [0, 1]]
        >>> import polars as pl
        >>> table = pl.DataFrame({"finding": ["A|D", "", "D"]})
        >>> read_labels(table, label="finding").values.tolist()
        [[1, 1], [0, 0], [0, 1]]
    """
    columns = LabelColumns.of(**where)
    kind, names, coding = columns.kind, columns.names, columns.coding
    if kind is not None:
        one_of("kind", kind, KINDS)
    if isinstance(source, Labels):
        return source
    if isinstance(source, (np.ndarray, list, tuple)):
        return _from_values(source, kind, names, coding)
    if not isinstance(source, (str, Path)):
        return columns.read(to_table(source))
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, names)
    if path.is_file() and path.suffix.lower() in (".npy", ".npz"):
        return _from_numpy_file(path, columns.label, kind, names, coding)
    if path.exists() and not is_table_path(path):
        what = "be a table (.csv, .tsv, .parquet), .npy, .npz or a folder"
        raise DataError(say(str(path), what, f"'{path.suffix}'", "Convert it."))
    frame = read_table(path)
    if columns.label is None and columns.labels is None and _is_saved(path):
        return Labels.load(path)
    return columns.read(frame)
