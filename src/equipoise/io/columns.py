"""Columns of labels: classes, delimited labels, or one binary label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.identity import class_order, loose_key
from equipoise._core.messages import Argument, Message, closest, hint, say
from equipoise.artifacts.labels import UNKNOWN, Kind
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.io.binary import binary_column
from equipoise.io.coding import DEFAULT, NONE_WORDS, LabelCoding, entry_text

if TYPE_CHECKING:
    import polars as pl

_OTHER_MARKS = (",", ";")
MISSING_WORDS = frozenset(("nan", "na", "n/a", "null", "none", "?", "unknown", "missing"))
"""Class names, in lower case, that mostly say that nobody knows the class."""
_LISTED = 5
_MANY = 50
"""Rows from which a column with another value in most of them is not taken for classes."""


def alike(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names that differ only by outer spaces or in how a number is written.

    Example:
        >>> alike(["01", "1", "b", "p5 ", "p5"])
        [('01', '1'), ('p5 ', 'p5')]
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(loose_key(name), []).append(name)
    return [tuple(same) for same in found.values() if len(same) > 1]


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=2)


def _say_alike(what: str, names: Sequence[str]) -> None:
    same = alike(names)
    if same:
        shown = "; ".join(" and ".join(map(repr, pair)) for pair in same[:_LISTED])
        _warn(
            f"`{what}` holds names that differ only by spaces or as numbers ({shown}); they are "
            "read as different. Write them alike if they are the same."
        )


def class_column(
    values: Sequence[Any], what: str, names: Sequence[str] | None, *, declared: bool = False
) -> tuple[NDArray[np.int64], list[str]]:
    """Return class indices and names of a column of class names or whole numbers.

    Entries that look like several labels are said, unless it was ``declared`` that they are none.
    """
    position: dict[Any, str] = {value: "" if value is None else str(value) for value in set(values)}
    missing = [row for row, value in enumerate(values) if not position[value].strip()]
    if missing:
        raise DataError(
            say(
                what,
                "have one class in each row",
                f"{len(missing)} empty entries (first: row {missing[0]})",
                hint('Leave those rows out; if empty means "no label", pass {kind=multilabel}.'),
            )
        )
    distinct = class_order(position.values())
    if names is None and len(distinct) < 2:
        raise DataError(
            say(
                what,
                "hold at least two classes",
                f"only '{distinct[0]}'",
                hint("Give {names=} to list the classes, or check that this is the label column."),
            )
        )
    if names is None and not declared and len(values) >= _MANY and 2 * len(distinct) > len(values):
        got = f"{len(distinct):,} different values in {len(values):,} rows"
        do = hint("Name the column of the label; if these are classes, pass {kind=multiclass}.")
        raise DataError(say(what, "hold classes that come again", got, do))
    known = distinct if names is None else list(names)
    index = {name: i for i, name in enumerate(known)}
    # Numbers are places only where no name can be meant: names first, and never a mix.
    if all(n.isdecimal() for n in distinct) and not any(n.isdecimal() for n in known):
        index = {str(i): i for i in range(len(known))}
    for name in distinct:
        if name not in index:
            raise DataError(say(what, "hold only names", repr(name), _nearest(name, known)))
    if names is None:
        _say_alike(what, known)
        _say_missing(what, known, [position[value] for value in values])
        if not declared:
            _say_joined(what, known)
    place = {value: index[name] for value, name in position.items()}
    return np.asarray([place[v] for v in values], dtype=np.int64), known


def _say_missing(what: str, known: Sequence[str], texts: Sequence[str]) -> None:
    """Say which class is called as if nobody knew it."""
    for name in known:
        if name.strip().casefold() in MISSING_WORDS:
            n = sum(text == name for text in texts)
            _warn(
                f"`{what}` holds {name!r} in {n} of {len(texts)} rows, which is read as a class of "
                "its own. Leave those rows out if it means that nobody knows the class."
            )


def _say_joined(what: str, known: Sequence[str]) -> None:
    """Say which classes look like several labels in one entry."""
    listed = [n for n in known if n.strip()[:1] == "[" and n.strip()[-1:] == "]"]
    marked = listed
    for mark in (*_OTHER_MARKS, "|"):
        pieces = {n: [p.strip() for p in n.split(mark) if p.strip()] for n in known if mark in n}
        parts = [p for own in pieces.values() for p in dict.fromkeys(own)]
        alone = set(known) - set(pieces)
        again = {p for p in parts if p in alone or parts.count(p) > 1}
        marked = marked + [n for n, own in pieces.items() if len(own) > 1 and again & set(own)]
    if marked:
        _warn(
            f"`{what}` holds {marked[0]!r}"
            + (f" and {len(marked) - 1} more entries" if len(marked) > 1 else "")
            + " that look like several labels; each is read as one class. If they are several "
            'labels, say which mark separates them, delimiter="...", and kind="multilabel".'
        )


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return the hint of an unknown name: the one that it is but for spaces or digits, if any."""
    same = next((k for k in known if loose_key(k) == loose_key(name)), None)
    if same is None or same == name:
        return closest(name, known)
    return f"It differs from {same!r} only by spaces or as a number: write them alike."


def _check_delimiter(what: str, texts: Sequence[str], delimiter: str, kind: Kind | None) -> None:
    """Raise where another mark than the delimiter separates labels that occur on their own."""
    for mark in _OTHER_MARKS:
        if mark == delimiter:
            continue
        single = {t.strip() for t in texts if mark not in t}
        joined = [t for t in texts if mark in t]
        pieces = [{p.strip() for p in t.split(mark) if p.strip()} for t in joined]
        for text, own in zip(joined, pieces, strict=True):
            if len(own) > 1 and own <= single:
                do = f"Say {{delimiter={mark}}} if these are several labels"
                do = hint(
                    f"{do}; if it is one class, {{kind=multiclass}}." if kind is None else f"{do}."
                )
                raise DataError(say(what, f"separate labels by '{delimiter}'", repr(text), do))


def _delimited(
    values: Sequence[str | None],
    what: str,
    delimiter: str,
    names: Sequence[str] | None,
    coding: LabelCoding,
) -> tuple[NDArray[np.int8], list[str]]:
    """Return multi-hot values and names of a column such as "A|D"; empty means no label."""
    distinct = dict.fromkeys(values)
    texts = [(v or "").strip() for v in distinct]
    unknown = [coding.is_unknown(text) for text in texts]
    rows = [
        [p for part in text.split(delimiter) if (p := part.strip()) and not coding.is_none(p)]
        for text in texts
    ]
    rows = [[] if hidden else row for row, hidden in zip(rows, unknown, strict=True)]
    found = class_order({part for row in rows for part in row})
    known = found if names is None else list(names)
    if not known:
        raise DataError(say(what, "hold at least one label", "only empty entries"))
    index = {name: i for i, name in enumerate(known)}
    for part in found:
        if part not in index:
            raise DataError(say(what, "hold only names", repr(part), _nearest(part, known)))
    if names is None:
        _say_alike(what, known)
        if coding.empty_token is None:
            _say_none(what, rows)
    hot = np.zeros((len(rows), len(known)), dtype=np.int8)
    for i, row in enumerate(rows):
        hot[i, [index[part] for part in row]] = 1
    hot[unknown] = UNKNOWN
    position = {value: i for i, value in enumerate(distinct)}
    return hot[[position[v] for v in values]], known


def _say_none(what: str, rows: Sequence[Sequence[str]]) -> None:
    """Say which label never stands beside another and is called as if it were none."""
    together = {part for row in rows if len(set(row)) > 1 for part in row}
    for name in sorted({part for row in rows for part in row} - together):
        if name.casefold() in NONE_WORDS:
            _warn(
                Message(
                    Argument(what, quoted=True),
                    f" holds {name!r}, which never stands beside another label and is read as a "
                    "label of its own. Say ",
                    Argument("empty_token", name),
                    " if it means that there is none.",
                )
            )


def label_column(
    column: pl.Series,
    delimiter: str,
    kind: Kind | None,
    names: Sequence[str] | None,
    coding: LabelCoding = DEFAULT,
) -> tuple[NDArray[Any], Kind, list[str]]:
    """Read one column: classes, delimited labels, or one binary label."""
    import polars as pl

    what = f"column {column.name}"
    if column.dtype.is_float() and (column.drop_nans().drop_nulls() % 1 == 0).all():
        column = column.fill_nan(None)
        beyond = column.abs() >= 2**53
        if beyond.any():
            got = f"{column[int(beyond.arg_max() or 0)]:g}, a float that has lost digits"
            do = "Save the column as text or whole numbers."
            raise DataError(say(what, "hold class names or whole numbers", got, do))
        column = column.cast(pl.Int64)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    column = _without_nan(column, what)
    if not (column.dtype.is_integer() or column.dtype in (pl.String, pl.Boolean)):
        raise DataError(
            say(what, "hold class names, whole numbers or 0 and 1", f"type {column.dtype}")
        )
    text = column.dtype == pl.String
    distinct = [v for v in column.unique().to_list() if v is not None and str(v).strip()]
    several = text and any(delimiter in v for v in distinct)
    if text and kind is None and several:
        kind = "multilabel"
    if coding.is_binary and (several or coding.empty_token or kind == "multiclass"):
        expected = "go with columns of one label each"
        raise UsageError(say("positive and negative", expected, what, "Leave them out."))
    single = coding.is_binary or _is_binary(distinct, kind, names, coding, several)
    if single:
        one = list(names) if names is not None else [column.name]
        return binary_column(column, what, coding)[:, None], "multilabel", one
    if text and kind != "multiclass" and not several:
        _check_delimiter(what, sorted(distinct), delimiter, kind)
    if kind == "multilabel":
        # Of numbers, labels are texts as well: 3 beside 3|7 of the same column.
        values = column.to_list() if text else column.cast(pl.String).to_list()
        hot, known = _delimited(values, what, delimiter, names, coding)
        return hot, "multilabel", known
    if coding != DEFAULT:
        do = 'Rows whose class nobody knows are left out; no label is for kind="multilabel".'
        raise UsageError(say("unknown and empty_token", "go with labels", f"classes in {what}", do))
    plain = column.cast(pl.Int64) if column.dtype == pl.Boolean else column
    classes, known = class_column(plain.to_list(), what, names, declared=kind == "multiclass")
    return classes, "multiclass", known


def _without_nan(column: pl.Series, what: str) -> pl.Series:
    """Return a text column with the "nan" of a column of numbers as empty entries, and say so."""
    import polars as pl

    if column.dtype != pl.String:
        return column
    distinct = [v for v in column.unique().to_list() if v is not None]
    nan = [v for v in distinct if v.strip().casefold() == "nan"]
    if not nan or not all(_is_number(v.strip()) for v in distinct if v.strip()):
        return column
    _warn(f"`{what}` holds {nan[0]!r} among numbers, which is read as an empty entry.")
    return pl.Series(column.name, [None if v in nan else v for v in column.to_list()], pl.String)


def _is_binary(
    distinct: Sequence[Any],
    kind: Kind | None,
    names: Sequence[str] | None,
    coding: LabelCoding,
    several: bool,
) -> bool:
    """Whether the entries of one column are those of one label: 0 and 1, true and false.

    With ``kind="multilabel"`` numbers and words of yes and no always are; without it 0 and 1 are
    where each is written in one way: 1 and 1.0 side by side are two classes.
    """
    if several or kind == "multiclass" or (names is not None and len(names) != 1):
        return False
    texts = [entry_text(v) for v in distinct]
    keys = [loose_key(t).casefold() for t in texts]
    if kind == "multilabel":
        numbers = all(_is_number(key) for key in keys)
        return bool(keys) and (numbers or coding.fits(texts))
    once = len(set(keys)) == len(keys)
    return once and ({"0", "1"} <= set(keys) <= {"0", "1", "-1"} or set(keys) == {"true", "false"})


def _is_number(key: str) -> bool:
    try:
        float(key)
    except ValueError:
        return False
    return True
