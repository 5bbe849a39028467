"""Identity is text: what names a row, a group or a class is never taken for a number."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_SHORT = 40  # digits that are written out
_WHOLE = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)


def as_text(values: ArrayLike) -> NDArray[np.str_]:
    """Return values as the text that names them; integers lose nothing, text stays as it is.

    Example:
        >>> as_text([300, 5]).tolist(), as_text(["0000300", "1e5"]).tolist()
        (['300', '5'], ['0000300', '1e5'])
    """
    array = np.asarray(values)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind == "S":
        return array.astype(np.str_)
    if array.dtype.kind in "iu" and array.size:
        width = max(len(str(array.min())), len(str(array.max())))
        return array.reshape(-1).astype(f"U{width}")
    return np.asarray([str(v) for v in array.reshape(-1).tolist()], dtype=np.str_)


def loose_key(text: str) -> str:
    """Return what two spellings of one thing probably share: no outer spaces, numbers by value.

    Equal keys are no proof that two texts name the same thing; they are a reason to ask.

    Example:
        >>> [loose_key(t) for t in ("p5 ", "5.0", "0005", "1e5", "a")]
        ['p5', '5', '5', '100000', 'a']
    """
    if (
        text.isascii()
        and text.isalnum()
        and (text[0] > "9" or (text.isdecimal() and text[0] > "0"))
    ):
        return text if len(text) <= _SHORT or text[0] > "9" else _loose(text)
    return _loose(text)


def _loose(text: str) -> str:
    bare = unicodedata.normalize("NFC", text).strip()
    if not _NUMBER.fullmatch(bare):
        return bare
    number = Decimal(bare)
    # Decimal keeps every digit of a long id, where a float would join neighbours.
    if number == 0:
        return "0"
    sign, digits, exponent = number.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    power = int(exponent) + len(written) - len(written.rstrip("0"))
    written = written.rstrip("0")
    if 0 <= power <= _SHORT:
        return "-" * sign + written + "0" * power
    return f"{'-' * sign}{written}e{power}"


def loose_keys(values: ArrayLike) -> NDArray[np.str_]:
    """Return :func:`loose_key` of every value, (N,)."""
    return np.asarray([loose_key(str(v)) for v in as_text(values).tolist()], dtype=np.str_)


def class_order(texts: Any) -> list[str]:
    """Return distinct class names in order: by value where all are plain whole numbers.

    "01" is no plain whole number: beside "1" it is another class, and the order is that of text.

    Example:
        >>> class_order({"10", "9", "1"}), class_order({"01", "1", "b"})
        (['1', '9', '10'], ['01', '1', 'b'])
    """
    names = sorted({str(t) for t in texts})
    # int() refuses numbers of thousands of digits, which are names like others.
    return sorted(names, key=Decimal) if all(_WHOLE.fullmatch(n) for n in names) else names


def text_codes(values: ArrayLike) -> NDArray[np.int64]:
    """Return (N,) codes from 0 of the distinct texts, whole numbers in order of their value.

    Example:
        >>> text_codes(["10", "9", "10"]).tolist()
        [1, 0, 1]
    """
    codes = np.unique(hashable_ids(as_text(values)), return_inverse=True)[1]
    return np.asarray(codes.reshape(-1), dtype=np.int64)


def loose_match(left: ArrayLike, right: ArrayLike) -> tuple[int, tuple[str, str]] | None:
    """Return how many names of one side the other may hold in another spelling, and a pair.

    None where a name is shared as it is written, or none would be after trimming and as numbers.

    Example:
        >>> loose_match(["0005", "6"], ["5.0", "x"])
        (1, ('0005', '5.0'))
        >>> loose_match(["5"], ["5", "5.0"]) is None
        True
    """
    ours, theirs = (np.unique(as_text(side)) for side in (left, right))
    if np.intersect1d(ours, theirs).size:
        return None
    written = {loose_key(name): name for name in theirs.tolist()}
    pairs = [(n, written[key]) for n in ours.tolist() if (key := loose_key(n)) in written]
    return (len(pairs), pairs[0]) if pairs else None


def hashable_ids(ids: NDArray[np.str_]) -> NDArray[Any]:
    """Return ids as they enter a fingerprint: plain whole numbers as int64, all else as text.

    Files and trials written when whole numbers were kept as such still have their fingerprint.

    Example:
        >>> hashable_ids(np.array(["10", "9"])).tolist(), hashable_ids(np.array(["09"])).tolist()
        ([10, 9], ['09'])
    """
    try:
        numbers = ids.astype(np.int64)
    except (ValueError, OverflowError):
        return ids
    return numbers if bool((as_text(numbers) == ids).all()) else ids
