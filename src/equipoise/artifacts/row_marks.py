"""Which rows: hashes of ids, groups and contents, so that two sets of rows can be compared."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.identity import as_text, loose_keys

Hashes = NDArray[np.uint64]
Outcome = Literal["fine", "found", "not made"]
FIELDS = ("ids", "loose_ids", "groups", "loose_groups", "contents")
# More ties than this, and equal scores are what the model does and no sign of equal rows.
MOST_TIES = 0.05
# In steps so coarse only a near-complete match says that the rows are the same.
NEARLY_ALL = 0.95


def hash_ids(ids: NDArray[Any]) -> Hashes:
    """Return one 64-bit hash per id, sorted, so an overlap is found without keeping ids."""
    texts = as_text(ids).tolist()
    hashes = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.sort(np.frombuffer(b"".join(hashes), dtype="<u8")).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Shared:
    """What came of one comparison.

    Args:
        outcome: "fine" (looked at, nothing shared), "found", or "not made".
        text: What was seen, or why it was not made.
        rows: Rows (for groups: groups) in common.
        certain: False where they are the same only after trimming or as numbers.
    """

    outcome: Outcome
    text: str
    rows: int = 0
    certain: bool = True

    def __str__(self) -> str:
        return self.outcome if self.outcome == "fine" else f"{self.outcome}: {self.text}"


@dataclass(frozen=True, slots=True, eq=False)
class RowMarks:
    """Hashes of a set of rows, each sorted, or None where there is nothing to hash.

    Args:
        ids: (N,) of the row ids.
        loose_ids: (N,) of the ids without outer spaces, numbers by their value.
        groups: One per group.
        loose_groups: One per group, as ``loose_ids``.
        contents: (N,) of what is known of each row beside its name: its scores.

    Example:
        >>> here = RowMarks.of(ids=np.array(["a", "b"]), groups=None, contents=None)
        >>> there = RowMarks.of(ids=np.array(["b ", "c"]), groups=None, contents=None)
        >>> {name: str(made) for name, made in here.compare(there).items()}["ids"]
        'found: 1 of 2 ids are equal but for outer spaces or the way a number is written'
    """

    ids: Hashes | None = None
    loose_ids: Hashes | None = None
    groups: Hashes | None = None
    loose_groups: Hashes | None = None
    contents: Hashes | None = None

    @classmethod
    def of(
        cls,
        *,
        ids: NDArray[Any] | None,
        groups: NDArray[Any] | None,
        contents: NDArray[np.float64] | None,
    ) -> RowMarks:
        """Hash ids (N,), groups (N,) and contents (N,), one number that stands for a row."""
        exact = loose = None
        if ids is not None:
            exact, keys = hash_ids(ids), loose_keys(ids)
            loose = exact if np.array_equal(keys, as_text(ids)) else hash_ids(keys)
        return cls(
            exact,
            loose,
            None if groups is None else hash_ids(np.unique(as_text(groups))),
            None if groups is None else hash_ids(np.unique(loose_keys(np.unique(as_text(groups))))),
            # Twelve digits: what a table of text and a binary one both keep.
            None if contents is None else np.sort(_mix(_twelve_digits(contents))),
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the rows, so that nothing can be compared with them."""
        return all(getattr(self, name) is None for name in FIELDS)

    def compare(self, new: RowMarks) -> dict[str, Shared]:
        """Return for "ids", "groups" and "contents" what these rows and the new ones share."""
        return {
            "ids": _compare_names(
                ("ids", "rows in common, by their ids"),
                (self.ids, new.ids),
                (self.loose_ids, new.loose_ids),
            ),
            "groups": _compare_names(
                ("groups", "groups in common"),
                (self.groups, new.groups),
                (self.loose_groups, new.loose_groups),
            ),
            "contents": _compare_contents(self.contents, new.contents),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the hashes as base64 of little-endian integers, ready for JSON."""
        given = {name: getattr(self, name) for name in FIELDS}
        return {k: None if v is None else _pack(v) for k, v in given.items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RowMarks:
        """Read what :meth:`to_dict` wrote; what is not there is None."""
        given = {name: fields.get(name) for name in FIELDS}
        return cls(**{k: None if v is None else _unpack(v) for k, v in given.items()})


Pair = tuple[Hashes | None, Hashes | None]


def _compare_names(words: tuple[str, str], exact: Pair, loose: Pair) -> Shared:
    """Compare ids or groups, first as written and then without spaces and by value."""
    (what, common), (old, new) = words, exact
    if old is None or new is None:
        return Shared("not made", _lacking(what, old is None, new is None))
    shared = int(np.isin(new, old).sum())
    if shared:
        return Shared("found", f"{shared} of {new.size} {common}", shared)
    if loose[0] is not None and loose[1] is not None:
        near = int(np.isin(loose[1], loose[0]).sum())
        if near:
            how = "are equal but for outer spaces or the way a number is written"
            return Shared("found", f"{near} of {new.size} {what} {how}", near, certain=False)
    return Shared("fine", f"no {what} in common")


def _compare_contents(old: Hashes | None, new: Hashes | None) -> Shared:
    if old is None or new is None or old.size == 0 or new.size == 0:
        return Shared("not made", _lacking("scores", old is None, new is None))
    values, counts = np.unique(new, return_counts=True)
    known, before = np.unique(old, return_counts=True)
    if 1 in (values.size, known.size) and min(old.size, new.size) > 1:
        return Shared("not made", "scores that are constant say nothing")
    ties = max(1 - values.size / new.size, 1 - known.size / old.size)
    _, at, there = np.intersect1d(values, known, assume_unique=True, return_indices=True)
    if ties > MOST_TIES:
        # Values of a forest or a rounded file meet by chance; a whole multiset does not.
        met = int(np.minimum(counts[at], before[there]).sum())
        varied = values.size >= 10 and new.size >= 20
        if varied and met >= NEARLY_ALL * new.size and values.size >= NEARLY_ALL * known.size:
            return Shared("found", f"{met} of {new.size} rows have the same scores", met)
        return Shared("not made", f"{ties:.0%} of the scores are tied, so equal ones prove nothing")
    alone = (counts[at] == 1) & (before[there] == 1)
    met = int(alone.sum())
    # What is tied within one side says how often different rows meet by chance.
    chance = max(
        int((counts - 1).sum()) * old.size / new.size, int((before - 1).sum()) * new.size / old.size
    )
    if met > 3 * chance + 1 or (met and chance == 0):
        return Shared("found", f"{met} of {new.size} rows have exactly the same scores", met)
    return Shared("fine", "no row with the same scores")


def _lacking(what: str, old: bool, new: bool) -> str:
    where = "on either side" if old and new else "where it was tuned" if old else "here"
    return f"no {what} {where}"


def _twelve_digits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.where(values == 0, 0.0, np.floor(np.log10(np.abs(values))))
    scale = 10.0 ** np.clip(11 - magnitude, -300, 300)
    return np.asarray(np.round(values * scale) / scale)


def _mix(values: NDArray[np.float64]) -> Hashes:
    """Return 64-bit hashes of numbers: the finaliser of SplitMix64 on their bits."""
    bits = np.ascontiguousarray(values + 0.0, dtype="<f8").view("<u8").astype(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


# A table of more entries is not put in order as a whole: sums in its own order differ from those
# by rounding, which :meth:`RowMarks.of` leaves out.
_MOST, _AT_ONCE = 1 << 26, 1 << 22


def row_numbers(values: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.float64]:
    """Return one number per row of ``values``, (N, C), whatever the order of its named columns.

    Each column has a weight that its name fixes, so equal rows have equal numbers and others
    practically never.
    """
    hashes = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    weights = 0.5 + np.frombuffer(b"".join(hashes), dtype="<u8") / 2.0**64
    if values.size <= _MOST:
        order = np.argsort(weights)
        return np.asarray(values[:, order] @ weights[order])
    step = max(1, _AT_ONCE // len(names))
    blocks = (values[at : at + step] for at in range(0, len(values), step))
    return np.concatenate([block.astype(np.float64) @ weights for block in blocks])


def _pack(hashes: Hashes) -> str:
    return base64.b64encode(hashes.astype("<u8").tobytes()).decode()


def _unpack(text: str) -> Hashes:
    return np.frombuffer(base64.b64decode(text), "<u8").astype(np.uint64)
