"""A split, or all its folds, in one table: counts, deviations, labels missing, groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equipoise._core.messages import say
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.split import Split
from equipoise.errors import DataError
from equipoise.splits._proof import count_parts, crossing_groups
from equipoise.splits.stratified import PARTS, group_codes


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """What stands in which part.

    Args:
        names: One name per class or label.
        parts: "train", "val", "test" (those that hold rows), or "fold 0", "fold 1" and so on.
        rows: Rows of each part.
        counts: (parts, labels) positives.
        rates: Rate of each label among known rows of all parts together.
        deviations: Largest distance of a part's rate from it, per label; NaN where none is known.
        missing: Label with positives -> the parts without any.
        absent: Labels without positives in any part.
        groups: Number of groups and how many stand in several parts; None without groups.
        left_out: Rows in no part.
        unknown: Entries of labels, of all rows, that are unknown.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    rows: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    rates: tuple[float, ...]
    deviations: tuple[float, ...]
    missing: dict[str, tuple[str, ...]]
    absent: tuple[str, ...]
    groups: tuple[int, int] | None
    left_out: int
    unknown: int = 0

    @property
    def mean_deviation(self) -> float:
        """Mean of the deviations over labels that have one."""
        known = [d for d in self.deviations if d == d]
        return sum(known) / len(known) if known else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON; NaN stays NaN."""
        return asdict(self) | {"mean_deviation": self.mean_deviation}


def split_summary(splits: Sequence[Split], labels: Labels) -> SplitSummary:
    """Summarise one split by its parts, or folds by the rows that each validates.

    Args:
        splits: One split, or the folds of one call of :func:`stratified_kfold`.
        labels: The labels of all rows.

    Returns:
        A :class:`SplitSummary`.

    Raises:
        DataError: no splits, or splits of other rows.

    Example:
        >>> from equipoise.splits import stratified_kfold
        >>> labels = Labels.from_array([0] * 40 + [1] * 11, kind="multiclass", names=["a", "b"])
        >>> summary = split_summary(stratified_kfold(labels, folds=2), labels)
        >>> summary.parts, summary.counts, round(summary.mean_deviation, 4)
        (('fold 0', 'fold 1'), ((20, 6), (20, 5)), 0.0157)
    """
    if not splits or any(s.n_rows != len(labels) for s in splits):
        got = [s.n_rows for s in splits] or "none"
        raise DataError(say("splits", f"be of the {len(labels)} labelled rows", got))
    if len(splits) == 1:
        held = [(p, getattr(splits[0], p)) for p in PARTS if splits[0].sizes[p]]
    else:
        held = [(f"fold {k}", split.val) for k, split in enumerate(splits)]
    member = np.full(len(labels), -1, dtype=np.int64)
    for code, (_, rows) in enumerate(held):
        member[rows] = code
    rows, positives, known = count_parts(labels, member, len(held))
    whole = positives.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    gap = np.abs(positives / np.maximum(known, 1) - whole)
    gap[known == 0] = -1.0
    worst = gap.max(axis=0)
    parts = tuple(name for name, _ in held)
    missing = {
        name: tuple(part for part, n in zip(parts, column, strict=True) if n == 0)
        for name, column in zip(labels.names, positives.T.tolist(), strict=True)
    }
    total = positives.sum(axis=0)
    codes = group_codes(labels, None)
    return SplitSummary(
        names=labels.names,
        parts=parts,
        rows=tuple(rows.tolist()),
        counts=tuple(tuple(row) for row in positives.tolist()),
        rates=tuple(whole.tolist()),
        deviations=tuple(np.where(worst < 0, np.nan, worst).tolist()),
        missing={n: p for (n, p), k in zip(missing.items(), total, strict=True) if p and k},
        absent=tuple(n for n, k in zip(labels.names, total, strict=True) if not k),
        groups=None
        if codes is None
        else (int(codes.max()) + 1, int(crossing_groups(member, codes).size)),
        left_out=int((member < 0).sum()),
        unknown=int((len(labels) - labels.known).sum()),
    )
