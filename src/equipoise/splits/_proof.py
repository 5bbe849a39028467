"""The proof of a split: counts per part, largest deviation, groups that cross (none)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import hashable_ids
from equipoise.artifacts.entries import PRESENT, UNKNOWN
from equipoise.artifacts.labels import Labels


def count_parts(labels: Labels, member: Ints, n_parts: int) -> tuple[Ints, Ints, Ints]:
    """Return rows (P,), positives (P, C) and known rows (P, C) of each part; -1 is no part."""
    inside = member >= 0
    rows = np.bincount(member[inside], minlength=n_parts)
    if labels.kind == "multiclass":
        flat = member[inside] * labels.num_classes + labels.values[inside]
        counts = np.bincount(flat, minlength=n_parts * labels.num_classes)
        counts = counts.reshape(n_parts, labels.num_classes)
        return rows, counts, np.repeat(rows[:, None], labels.num_classes, axis=1)
    entries, width = labels.entries, labels.num_classes
    part = member[entries.rows]
    flat, values = part * width + entries.columns, entries.values
    of_side = [
        np.bincount(flat[(part >= 0) & (values == side)], minlength=n_parts * width)
        for side in (PRESENT, UNKNOWN)
    ]
    positives, unknown = (side.reshape(n_parts, width) for side in of_side)
    return rows, positives, rows[:, None] - unknown


def crossing_groups(member: Ints, codes: Ints) -> Ints:
    """Return the codes of groups that stand in more than one part."""
    inside = member >= 0
    width = int(member.max()) + 1 if member.size else 1
    pairs = np.unique(codes[inside] * width + member[inside])
    group, parts = np.unique(pairs // width, return_counts=True)
    return np.asarray(group[parts > 1])


def _share(positives: Ints, known: Ints) -> NDArray[np.float64]:
    share = np.full(positives.shape, np.nan)
    np.divide(positives, known, out=share, where=known > 0)
    return share


def id_proof(labels: Labels) -> dict[str, Any] | None:
    """Return what tells whether a split is of other rows: how many, and a hash of ids in order."""
    if labels.ids is None:
        return None
    return {"rows": len(labels), "fingerprint": fingerprint_array(hashable_ids(labels.ids))}


def make_proof(
    labels: Labels,
    parts: Sequence[str],
    tallies: tuple[Ints, Ints, Ints],
    *,
    fingerprint: str,
    groups: tuple[int, int] | None,
    **more: Any,
) -> Mapping[str, Any]:
    """Compose the proof from :func:`count_parts`.

    Args:
        labels: What was split.
        parts: One name per part; an empty part shows no prevalence.
        tallies: Rows, positives and known rows of each part.
        fingerprint: Of the labels.
        groups: Number of groups and number of those that cross, or None without groups.
        more: Settings to keep beside it.
    """
    rows, positives, known = tallies
    share = _share(positives, known)
    gap = np.abs(share - _share(positives.sum(axis=0), known.sum(axis=0)))
    worst = None
    if np.isfinite(gap).any():
        part, label = divmod(int(np.nanargmax(gap)), gap.shape[1])
        worst = {
            "value": float(gap[part, label]),
            "label": labels.names[label],
            "part": parts[part],
        }
    return {
        "labels_fingerprint": fingerprint,
        "ids": id_proof(labels),
        "names": labels.names,
        "rows": dict(zip(parts, rows, strict=True)),
        "counts": dict(zip(parts, positives, strict=True)),
        "prevalence": dict(zip(parts, share, strict=True)),
        "largest_deviation": worst,
        "groups": None if groups is None else {"number": groups[0], "crossing": groups[1]},
        **more,
    }
