"""Columns of one label each: which entries are present, absent and unknown."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.identity import loose_key
from equipoise._core.messages import Message, hint, say
from equipoise.artifacts.labels import UNKNOWN
from equipoise.errors import DataError, DataWarning
from equipoise.io.coding import DEFAULT, LabelCoding, entry_text

if TYPE_CHECKING:
    import polars as pl

_LISTED = 5


def binary_column(column: pl.Series, what: str, coding: LabelCoding = DEFAULT) -> NDArray[np.int8]:
    """Return 1, 0 and -1 (unknown) of one label's column; see :func:`binary_columns`."""
    return binary_columns([column], [what], coding)[:, 0]


def binary_columns(
    columns: Sequence[pl.Series], what: Sequence[str], coding: LabelCoding = DEFAULT
) -> NDArray[np.int8]:
    """Return (N, L) 1, 0 and -1 (unknown) of columns that hold one label each.

    Raises:
        DataError: an entry outside the coding; or -1 in columns without any 0, where nobody has
            said whether -1 is absent or unknown.
    """
    made: list[NDArray[np.int8]] = []
    words: dict[str, int] = {}
    seen = {1: 0, 0: 0}
    undeclared = 0
    for column, name in zip(columns, what, strict=True):
        codes, texts = _coded(column, name, coding)
        if not coding.fits(texts):
            got = sorted(coding.recognised(texts))
            do = hint("Declare them: {positive=}, {negative=}.")
            raise DataError(say(name, "hold words of one pair, such as yes and no", got, do))
        words |= coding.recognised(texts)
        for value in seen:
            seen[value] += int((codes == value).sum())
        if coding.takes_minus_one_for_unknown:
            undeclared += sum(n for text, n in texts.items() if loose_key(text) == "-1")
        made.append(codes)
    if undeclared and not seen[0]:
        raise DataError(
            say(
                what[0] if len(what) == 1 else "labels",
                "hold a 0 (absent) where -1 is to mean unknown",
                f"1 and -1 alone ({undeclared} times -1)",
                hint("Say what -1 means: {negative=-1} if absent, {unknown=-1} if nobody knows."),
            )
        )
    if words:
        yes, no = ([repr(w) for w, v in sorted(words.items()) if v == side] for side in (1, 0))
        said = [f"{', '.join(side)} as {word}" for side, word in ((yes, "present"), (no, "absent"))
                if side]  # fmt: skip
        message = f"`{', '.join(what[:_LISTED])}`: {' and '.join(said)}."
        warnings.warn(message, DataWarning, stacklevel=2)
    return np.stack(made, axis=1)


def _coded(
    column: pl.Series, what: str, coding: LabelCoding
) -> tuple[NDArray[np.int8], dict[str, int]]:
    """Return the codes of a column, and how often each of its trimmed entries occurs."""
    import polars as pl

    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    column = column.alias("entry")  # its own name may be that of the counts
    counted = column.value_counts(name="rows")
    code: dict[Any, int] = {}
    texts: dict[str, int] = {}
    outside: list[Any] = []
    for value, n in zip(counted["entry"].to_list(), counted["rows"].to_list(), strict=True):
        text = entry_text(value)
        texts[text] = texts.get(text, 0) + n
        found = coding.code(text)
        if found is None:
            outside.append(value)
        else:
            code[value] = found
    if outside:
        # Counts come in any order: the first such row is named, whichever that is.
        row = int(column.is_in(pl.Series(outside, dtype=column.dtype).implode()).arg_max() or 0)
        raise DataError(_outside(column, what, row, coding))
    empty = code.pop(None, UNKNOWN)
    old = pl.Series(list(code), dtype=column.dtype)
    new = pl.Series(list(code.values()), dtype=pl.Int8)
    coded = column.replace_strict(old, new, default=empty, return_dtype=pl.Int8)
    return np.asarray(coded.fill_null(empty).to_numpy(), dtype=np.int8), texts


def _outside(column: pl.Series, what: str, row: int, coding: LabelCoding) -> Message:
    some = {entry_text(v) for v in column.drop_nulls().unique().head(_LISTED + 1).to_list()}
    do = hint("One column of class names is {label=}, not {labels=}.")
    if coding.is_binary or coding.unknown is not None:
        expected = "hold the declared entries"
        do = hint("Declare it too: {positive=}, {negative=} or {unknown=}.")
    else:
        expected = "hold 0, 1, -1 or empty (unknown)"
        if {loose_key(t) for t in some} <= {"0", "255", ""}:
            do = hint("A mask is read with {positive=255} and {negative=0}.")
        elif len(some) <= _LISTED:
            codes = hint("If they are codes, declare them: {positive=}, {negative=}, {unknown=}. ")
            do = Message(codes, do)
    return say(what, expected, f"{column.to_list()[row]!r:.80} in row {row}", do)
