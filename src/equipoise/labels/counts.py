"""Counts: positives per class or label, enough for most statistics where rows are not at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts.labels import KINDS, Kind, Labels
from equipoise.errors import DataError, UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Positives of each class or label, and the number of rows where it is known.

    Where only occurrences were counted (a ``Counter`` over the labels of all rows), the number of
    rows is a range: at least the largest count, at most the sum of the counts, *assuming that
    every row has at least one label*. Rows without any label only raise it, so the lower end
    holds without the assumption.

    Args:
        names: One name per class or label.
        positives: (C,) int64, rows of each class or positives of each label.
        kind: "multiclass" or "multilabel".
        n_rows: Number of rows, or None where only occurrences are known.
        known: (C,) int64, rows whose entry is known; None means all of them.

    Example:
        >>> counts = counts_from({"a": 30, "b": 50})
        >>> counts.n_rows_range
        (50, 80)
    """

    names: tuple[str, ...]
    positives: NDArray[np.int64]
    kind: Kind
    n_rows: int | None = None
    known: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_rows_range(self) -> tuple[int, int]:
        """Smallest and largest number of rows; equal where the number is known."""
        if self.n_rows is not None:
            return self.n_rows, self.n_rows
        return int(self.positives.max()), int(self.positives.sum())

    @property
    def prevalence_range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest share of positives among known rows, (C,) each; NaN if unknown."""
        few, many = self.n_rows_range
        if self.known is None:
            rows = [np.full(len(self), float(many)), np.full(len(self), float(few))]
        else:
            rows = [self.known.astype(float)] * 2
        low, high = (
            np.divide(self.positives, r, out=np.full(len(self), np.nan), where=r > 0) for r in rows
        )
        return low, high


def _from_mapping(counts: Mapping[str, int], n_rows: int | None, kind: Kind) -> Counts:
    if not counts:
        raise DataError(say("counts", "hold at least one label", "none"))
    for name, value in counts.items():
        if not np.isfinite(value) or value < 0 or value != int(value):
            raise DataError(say("counts", "be whole numbers >= 0", f"{value!r} for '{name}'"))
    positives = np.asarray([int(v) for v in counts.values()], dtype=np.int64)
    names = tuple(str(name) for name in counts)
    if positives.sum() == 0:
        raise DataError(say("counts", "hold at least one positive", "only zeros"))
    total, largest = int(positives.sum()), int(positives.max())
    if kind == "multiclass":
        if len(names) < 2:
            raise DataError(say("counts", "hold at least two classes", f"only {list(names)}"))
        if n_rows not in (None, total):
            what = f"equal the sum of the class counts = {total}"
            raise DataError(
                say(
                    "n_rows",
                    what,
                    n_rows,
                    hint("Labels that can coincide are {kind=multilabel}."),
                )
            )
        n_rows = total
    elif n_rows is not None and n_rows < largest:
        raise DataError(say("n_rows", f"be at least the largest count = {largest}", n_rows))
    return Counts(names, positives, kind, n_rows)


def counts_from(
    source: Labels | Counts | Mapping[str, int],
    *,
    n_rows: int | None = None,
    kind: Kind | None = None,
) -> Counts:
    """Gather counts from labels or from a mapping name -> positives.

    Use when only counts are at hand, such as a ``collections.Counter``.

    Args:
        source: Labels, Counts, or a mapping name -> number of positives.
        n_rows: Number of rows behind a mapping; None if only occurrences were counted.
        kind: Of a mapping: "multilabel" (the default) or "multiclass", where the counts add up
            to the rows.

    Returns:
        The counts, with a range for the number of rows where it is not known.

    Raises:
        DataError: negative or fractional counts, only zeros, or an impossible ``n_rows``.
        UsageError: ``n_rows`` or ``kind`` contradicts labels that already say it.

    Example:
        >>> counts_from({"cat": 90, "dog": 10}, kind="multiclass").n_rows
        100
    """
    if kind is not None:
        one_of("kind", kind, KINDS)
    if isinstance(source, Mapping):
        return _from_mapping(source, n_rows, kind or "multilabel")
    own_rows = source.n_rows if isinstance(source, Counts) else len(source)
    if kind not in (None, source.kind) or n_rows not in (None, own_rows):
        what = f"be left out or agree with the labels ({source.kind}, {own_rows} rows)"
        raise UsageError(say("kind and n_rows", what, f"{kind}, {n_rows}"))
    if isinstance(source, Counts):
        return source
    known = None if source.kind == "multiclass" else source.known
    return Counts(source.names, source.counts, source.kind, len(source), known)
