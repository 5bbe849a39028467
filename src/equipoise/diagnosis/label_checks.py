"""Checks on labels, or on their counts alone: what cannot be learned, measured or believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import hint, listed
from equipoise.artifacts.estimate import FEW
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels
from equipoise.diagnosis._power import half_width, positives_needed
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material
from equipoise.io.coding import NONE_WORDS
from equipoise.io.columns import alike
from equipoise.labels.statistics import Statistics

_MARGIN = 0.1
_TEST_SHARE = 0.2


def _word(statistics: Statistics) -> str:
    return "labels" if statistics.kind == "multilabel" else "classes"


def _known(statistics: Statistics) -> NDArray[np.int64] | None:
    """Return (C,) known rows per label, or None where the number of rows is a range."""
    counts = statistics.counts
    if counts.known is not None:
        return counts.known
    return None if counts.n_rows is None else np.full(len(counts), counts.n_rows, dtype=np.int64)


def _independent(labels: Labels | None, positives: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (C,) positives that are independent: one of each group where rows come in groups.

    Forty-five images of one patient are one patient, to a model as to an interval.
    """
    if labels is None or labels.groups is None:
        return positives
    _, group = np.unique(labels.groups, return_inverse=True)
    if labels.kind == "multiclass":
        rows = np.flatnonzero(labels.values >= 0)
        columns = labels.values[rows]
    else:
        cells = labels.entries.present
        rows, columns = cells.rows, cells.columns
    n_groups = int(group.max(initial=-1)) + 1
    pairs = np.unique(columns * n_groups + group[rows])
    return np.bincount(pairs // max(n_groups, 1), minlength=labels.num_classes)


@check("EQ101")
def unlearnable(material: Material) -> list[Finding] | None:
    """Find labels without any positive, or without any negative."""
    statistics = material.statistics
    if statistics is None:
        return None
    names, positives, known = statistics.names, statistics.positives, _known(statistics)
    full: list[str] = []
    if statistics.kind == "multilabel" and known is not None:
        full = [n for n, p, k in zip(names, positives, known, strict=True) if 0 < k == p]
    empty = list(statistics.empty)
    if not empty and not full:
        return []
    parts = []
    if empty:
        parts.append(f"{len(empty)} of {len(names)} have no positive ({listed(empty)})")
    if full:
        parts.append(f"{len(full)} of {len(names)} have no negative ({listed(full)})")
    return [
        finding(
            "EQ101",
            f"{' and '.join(parts)}: no loss, sampler or threshold can change that. Their metrics "
            "are not estimable, and counting them as 0 would pull every average down.",
            {"no_positives": empty, "no_negatives": full},
            "Leave them out of the loss, of metrics and of thresholds; keep their output if the "
            "model must have one.",
            "Collect examples, or check that the label is spelled as in the table.",
        )
    ]


def _of(found: Mapping[str, Any], statistics: Statistics) -> str:
    """Return how many of how many have something, and of a single one its name."""
    if len(statistics.names) == 1:
        return f"'{statistics.names[0]}' has"
    return f"{len(found)} of {len(statistics.names)} {_word(statistics)} have"


@check("EQ102")
def anecdotal(material: Material) -> list[Finding] | None:
    """Find labels with 1 to 9 positives."""
    statistics = material.statistics
    if statistics is None:
        return None
    units = _independent(material.labels, statistics.positives)
    few = {name: int(n) for name, n in zip(statistics.names, units, strict=True) if 0 < n < FEW}
    if not few:
        return []
    rows = dict(zip(statistics.names, statistics.positives.tolist(), strict=True))
    grouped = units is not statistics.positives
    shown = listed([f"{name} ({rows[name]} in {n})" if grouped else f"{name} ({n})"
                    for name, n in few.items()])  # fmt: skip
    what = "groups with positives" if grouped else "positives"
    lead = f"{_of(few, statistics)} fewer than {FEW} {what}: {shown}"
    if len(statistics.names) == 1 and not grouped:
        lead = f"{_of(few, statistics)} {min(few.values())} positives, fewer than {FEW}"
    widths = {name: half_width(n) for name, n in few.items()}
    best = min(widths.values())
    return [
        finding(
            "EQ102",
            f"{lead}. A model can memorise them, and no test can tell: "
            f"judged on all of them a recall is known to +-{best:.2f} at best; +-{_MARGIN} takes "
            f"about {positives_needed(_MARGIN)}.",
            {
                "positives": {name: rows[name] for name in few},
                "independent": few,
                "half_width": widths,
            },
            "Report them as single cases, not as rates; keep them out of averages.",
            "Merge them into a broader label, or collect more.",
        )
    ]


@check("EQ103")
def low_power(material: Material) -> list[Finding] | None:
    """Find labels whose recall will be known to no better than plus or minus 0.1."""
    statistics = material.statistics
    if statistics is None:
        return None
    units = _independent(material.labels, statistics.positives)
    test = units * _TEST_SHARE
    where = f"a test part of {_TEST_SHARE:.0%}"
    if material.split is not None and material.labels is not None and material.split.test.size:
        part = material.labels[material.split.test]
        test = _independent(part, part.counts).astype(float)
        where = "the test part"
    rows = {}
    for name, n, part in zip(statistics.names, units, test, strict=True):
        margin = half_width(round(float(part)))
        if n >= FEW and margin > _MARGIN:
            rows[name] = {
                "positives": int(n),
                "positives_in_test": round(float(part)),
                "half_width_test": margin,
                "half_width_all": half_width(int(n)),
            }
    if not rows:
        # Labels of fewer than ten are another finding's: of them this one says nothing.
        return None if (units < FEW).all() else []
    name = min(rows, key=lambda key: rows[key]["positives"])
    row, need = rows[name], positives_needed(_MARGIN)
    units_are = "positives" if units is statistics.positives else "groups with positives"
    # A fifth of the rows is too few for a rare label in any table; all of them need not be.
    hopeless = any(r["half_width_all"] > _MARGIN for r in rows.values())
    return [
        finding(
            "EQ103",
            f"{_of(rows, statistics)} too few {units_are} for a recall known to +-{_MARGIN}. "
            f"'{name}' has {row['positives']}, about {row['positives_in_test']} in {where}: recall "
            f"there is known to +-{row['half_width_test']:.2f} (all of them pooled over folds: "
            f"+-{row['half_width_all']:.2f}). +-{_MARGIN} needs about {need} positives in test.",
            {"labels": rows, "positives_needed_in_test": need, "margin": _MARGIN},
            "Split into folds (stratified), and pool the scores of all of them.",
            "Show intervals, and compare methods pairwise on the same rows.",
            "More positives help more than any method.",
            severity=None if hopeless else "fact",
        )
    ]


@check("EQ107")
def rows_unknown(material: Material) -> list[Finding] | None:
    """Say what follows when only occurrences of labels were counted."""
    statistics = material.statistics
    if statistics is None or material.labels is not None:
        return None
    if statistics.counts.n_rows is not None:
        return []
    few, many = statistics.counts.n_rows_range
    low, high = statistics.counts.prevalence_range
    top = int(statistics.positives.argmax())
    return [
        finding(
            "EQ107",
            f"Only occurrences of labels are known. If every row has at least one label there are "
            f"{few:,} to {many:,} rows, so the prevalence of '{statistics.names[top]}' lies "
            f"between {low[top]:.1%} and {high[top]:.1%}. Rows without any label would only "
            "lower it.",
            {
                "n_rows_range": [few, many],
                "prevalence_low": dict(zip(statistics.names, low.tolist(), strict=True)),
                "prevalence_high": dict(zip(statistics.names, high.tolist(), strict=True)),
            },
            hint("Pass {n_rows=}, the number of rows behind the counts."),
            hint("If each row has exactly one of these, pass {kind=multiclass}."),
        )
    ]


def _unknown(labels: Labels) -> dict[str, dict[str, float]]:
    """Return what is unknown of each label that has such entries, and what it would change."""
    found = {}
    n = len(labels)
    for name, positives, known in zip(labels.names, labels.counts, labels.known, strict=True):
        unknown = n - int(known)
        if unknown:
            found[name] = {
                "unknown": unknown,
                "share": unknown / n,
                "absent": int(known - positives),
                "prevalence": float(positives / known) if known else float("nan"),
                "prevalence_if_absent": float(positives / n),
                "prevalence_if_swapped": float(positives / (positives + unknown)),
            }
    return found


@check("EQ111")
def unknown_entries(material: Material) -> list[Finding] | None:
    """Say how many entries are unknown, and what they would be worth as absent ones."""
    labels = material.labels
    if labels is None or labels.kind != "multilabel":
        return None
    found = _unknown(labels)
    if not found:
        return []
    total = sum(int(row["unknown"]) for row in found.values())
    entries = len(labels) * labels.num_classes
    top = max(found, key=lambda name: found[name]["unknown"])
    most = found[top]
    return [
        finding(
            "EQ111",
            f"{total:,} of {entries:,} entries ({total / entries:.1%}) are "
            f"unknown (-1 or empty), most of '{top}': {most['unknown']:,} of {len(labels):,}. "
            "Losses, rates and metrics leave them out: the prevalence of "
            f"'{top}' is {most['prevalence']:.1%} of its known rows; if unknown meant absent it "
            f"would be {most['prevalence_if_absent']:.1%}.",
            {"unknown": total, "entries": entries, "labels": found},
            hint("If an empty entry or -1 means absent, declare it: {negative=}."),
            "If nobody looked at those rows, ask whether they differ from the others.",
        )
    ]


@check("EQ112")
def unknown_or_absent(material: Material) -> list[Finding] | None:
    """Find labels with more unknown entries than absent ones: -1 may be absent, and 0 not."""
    labels = material.labels
    if labels is None or labels.kind != "multilabel":
        return None
    found = {k: row for k, row in _unknown(labels).items() if row["unknown"] > row["absent"]}
    if not found:
        return []
    shown = [
        f"'{name}' ({row['unknown']:,} unknown, {row['absent']:,} absent: prevalence "
        f"{row['prevalence']:.3f}, with -1 as absent and 0 as unknown "
        f"{row['prevalence_if_swapped']:.3f})"
        for name, row in found.items()
    ]
    return [
        finding(
            "EQ112",
            f"More entries are unknown than absent: {listed(shown, 3)}. Some tables write 1 for "
            "present, -1 for absent and 0 for difficult or unknown; read the other way round, "
            "rates, weights and thresholds are those of another question.",
            {"labels": found},
            hint(
                "If -1 means absent, declare it: {negative=-1}, and {unknown=0} if 0 means that "
                "nobody knows."
            ),
            "If most rows were not looked at, the known ones may be chosen: say how.",
        )
    ]


@check("EQ113")
def names_alike(material: Material) -> list[Finding] | None:
    """Find classes or labels whose names differ only by spaces or in how a number is written."""
    statistics = material.statistics
    if statistics is None:
        return None
    pairs = alike(statistics.names)
    if not pairs:
        return []
    shown = [" and ".join(map(repr, pair)) for pair in pairs]
    return [
        finding(
            "EQ113",
            f"Names that differ only by spaces or as numbers: {listed(shown)}. Names are text and "
            f"are kept apart, so what is one of the {_word(statistics)} may be counted as several.",
            {"alike": [list(pair) for pair in pairs]},
            "Write them alike in the table if they mean the same.",
        )
    ]


@check("EQ115")
def labels_of_none(material: Material) -> list[Finding] | None:
    """Find a label that says that there is none: it never stands beside another."""
    labels = material.labels
    if labels is None or labels.kind != "multilabel" or labels.num_classes < 2:
        return None
    present = labels.entries.present
    beside = np.repeat(present.per_row() > 1, np.diff(present.starts))
    alone = np.bincount(present.columns[beside], minlength=labels.num_classes) == 0
    counts = dict(zip(labels.names, labels.counts.tolist(), strict=True))
    found = {
        name: counts[name]
        for name, single in zip(labels.names, alone.tolist(), strict=True)
        if single and counts[name] and name.strip().casefold() in NONE_WORDS
    }
    if not found:
        return []
    shown = [f"'{name}' ({n:,} rows)" for name, n in found.items()]
    return [
        finding(
            "EQ115",
            f"{listed(shown)} never stands beside another label: it says that there is none. As a "
            "label it is mostly the most frequent one, so it sets the imbalance ratios, gets a "
            "threshold of its own, and can be predicted beside what it excludes.",
            {"labels": found},
            hint("Leave its column out; in a column of several labels say {empty_token=NAME}."),
            "If every row has exactly one label, it is a class: read them as classes.",
        )
    ]


@check("EQ116")
def rows_without_label(material: Material) -> list[Finding] | None:
    """Say how many rows have none of the labels: an empty cell of "A|B" is read so."""
    labels = material.labels
    if labels is None or labels.kind != "multilabel" or labels.num_classes < 2:
        return None
    rows = int((np.diff(labels.entries.starts) == 0).sum())
    if not rows:
        return []
    return [
        finding(
            "EQ116",
            f"{rows:,} of {len(labels):,} rows ({rows / len(labels):.1%}) have none of the labels. "
            "They count as negatives of every label.",
            {"rows": rows, "share": rows / len(labels)},
            hint(
                "If nobody looked at them they are unknown: leave them out, or say what stands for "
                "that ({unknown=})."
            ),
            "If each of these rows has some label that is not in the table, add it.",
        )
    ]
