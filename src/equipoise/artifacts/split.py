"""A split: which rows train, validate and test, with the proof that it is stratified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import to_array, to_whole
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.messages import say
from equipoise.artifacts._io import as_declared, plain, read_json, reading, write_json
from equipoise.errors import DataError, LeakageError

_SCHEMA, _VERSION = "equipoise.Split", 1
_PARTS = ("train", "val", "test")
_MOST_ROWS = 10**9  # a fingerprint takes a byte of each


def _read_proof(proof: Any) -> Mapping[str, Any]:
    """Return the proof of a file; of what others read in it, the kinds are checked."""
    if not isinstance(proof, Mapping):
        raise TypeError(f"a proof that is a {type(proof).__name__}")
    copies = proof.get("copies")
    if copies is None:
        return proof
    counts = {key: to_whole(f"proof.copies.{key}", copies[key]) for key in ("rows", "contents")}
    return {**proof, "copies": {**copies, **counts}}


def _positions(part: str, values: ArrayLike) -> NDArray[np.int64]:
    array = to_array(part, values, ndim=1)
    if array.size and array.dtype.kind not in "iu":
        do = "Turn a mask into positions with np.flatnonzero(mask)."
        raise DataError(say(part, "be integer row positions", f"dtype {array.dtype}", do))
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row positions of each part.

    Args:
        train: Positions to train on, int64.
        val: Positions to tune on.
        test: Positions to evaluate on, touched once.
        n_rows: Rows in the table that was split; rows in no part were left out on purpose.
        seed: The seed it was drawn with.
        method: How it was drawn.
        proof: The counts and largest deviations that show it is stratified.

    Raises:
        DataError: positions outside the table.
        LeakageError: a position stands in two parts, or twice in one.

    Example:
        >>> split = Split.from_parts([0, 1, 2], [3], [4], n_rows=5, seed=0, method="by hand")
        >>> split.sizes
        {'train': 3, 'val': 1, 'test': 1}
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    n_rows: int
    seed: int
    method: str
    proof: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_parts(
        cls,
        train: ArrayLike,
        val: ArrayLike,
        test: ArrayLike,
        *,
        n_rows: int,
        seed: int,
        method: str,
        proof: Mapping[str, Any] | None = None,
    ) -> Split:
        """Check and wrap three lists of positions.

        Raises:
            DataError: masks or fractions instead of positions, or positions outside the table.
            LeakageError: a position stands in two parts, or twice in one.
        """
        parts = [_positions(*pair) for pair in zip(_PARTS, (train, val, test), strict=True)]
        return cls(parts[0], parts[1], parts[2], n_rows, seed, method, plain(proof or {}))

    def __post_init__(self) -> None:
        rows = np.concatenate([self.train, self.val, self.test])
        if rows.size and (rows.min() < 0 or rows.max() >= self.n_rows):
            expected, got = f"hold positions in [0, {self.n_rows})", f"{rows.min()}..{rows.max()}"
            raise DataError(say("parts", expected, got, "Positions are not ids: count from 0."))
        distinct, counts = np.unique(rows, return_counts=True)
        if distinct.size < rows.size:
            raise LeakageError(
                say(
                    "parts",
                    "hold each row once",
                    f"{int((counts > 1).sum())} rows more than once (first: "
                    f"{int(distinct[counts > 1][0])})",
                    "Oversample inside the training part only, after splitting.",
                )
            )

    def __str__(self) -> str:
        sizes = self.sizes
        held = ", ".join(f"{n:,} {part}" for part, n in sizes.items())
        out = self.n_rows - sum(sizes.values())
        left = f", {out:,} left out" if out else ""
        return f"{self.n_rows:,} rows, {self.method}, seed {self.seed}: {held}{left}"

    @property
    def sizes(self) -> dict[str, int]:
        """Rows in each part."""
        return {part: int(getattr(self, part).size) for part in _PARTS}

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name which row is in which part."""
        member = np.zeros(self.n_rows, dtype=np.int8)
        for code, part in enumerate(_PARTS, start=1):
            member[getattr(self, part)] = code
        return fingerprint_array(member)

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        body = {part: getattr(self, part) for part in _PARTS} | {
            "n_rows": self.n_rows,
            "seed": self.seed,
            "method": self.method,
            "proof": self.proof,
            "fingerprint": self.fingerprint,
        }
        return write_json(path, _SCHEMA, _VERSION, body)

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read what :meth:`save` wrote; a changed file is refused."""
        body = read_json(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            stated = str(body["fingerprint"])
            split = cls.from_parts(
                body["train"],
                body["val"],
                body["test"],
                n_rows=to_whole("n_rows", body["n_rows"], 1, _MOST_ROWS),
                seed=int(body["seed"]),
                method=body["method"],
                proof=_read_proof(body["proof"]),
            )
            as_declared(split)
            found = split.fingerprint
        if found != stated:
            raise LeakageError(
                say(
                    str(path),
                    f"match its fingerprint {stated}",
                    found,
                    "The file was changed after it was written; make the split again.",
                )
            )
        return split
