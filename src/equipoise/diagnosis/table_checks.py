"""Checks on tables of recall and precision per class: swapped columns, noise, a memorised tail."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import norm

from equipoise._core.arrays import Floats
from equipoise._core.messages import listed
from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.class_table import ClassTable, is_count, predicted_counts
from equipoise.diagnosis.material import Material

_LEARNED, _MISSED, _SURE = 0.9, 0.5, 0.7


def _swapped_runs(table: ClassTable) -> dict[str, dict[str, list[bool]]]:
    """Return the runs whose precision is a count over support everywhere, and recall is not."""
    found = {}
    for run, recall in table.recall.items():
        precision = table.precision.get(run)
        if precision is None:
            continue
        known = np.isfinite(recall) & np.isfinite(precision)
        of_recall = is_count(recall[known], table.support[known], table.digits)
        of_precision = is_count(precision[known], table.support[known], table.digits)
        # By chance a number to two digits is a multiple of 1 / 50 every other time.
        if known.sum() >= 4 and of_precision.all() and not of_recall.all():
            found[run] = {"recall": of_recall.tolist(), "precision": of_precision.tolist()}
    return found


@check("EQ342")
def swapped(material: Material) -> list[Finding] | None:
    """Find runs whose recall and precision columns are swapped."""
    table = material.classes
    if table is None or not table.precision:
        return None
    found = []
    for run, fits in _swapped_runs(table).items():
        recall, precision = table.precision[run], table.recall[run]
        counts = predicted_counts(recall, precision, table.support)
        shown = [f"{n} {c:.0f}" for n, c in zip(table.names, counts, strict=True)]
        wrong = len(fits["recall"]) - sum(fits["recall"])
        chance = float(np.prod([_chance(s, table.digits) for s in table.support]))
        found.append(
            finding(
                "EQ342",
                f"{run}: recall and precision are swapped. Recall is hits over the test rows of a "
                f"class, so a multiple of 1/support: all of the column called precision are, "
                f"{wrong} of {len(fits['recall'])} called recall are not (by chance all would be "
                f"with probability {chance:.2g}). Read the right way round, the rows called each "
                f"class were: {listed(shown, 12)}.",
                {
                    "run": run,
                    "recall": recall.tolist(),
                    "precision": precision.tolist(),
                    "predicted": counts.tolist(),
                    "is_multiple": fits,
                },
                "Swap the two columns of this run before comparing it with others.",
            )
        )
    return found


def _chance(support: float, digits: int) -> float:
    """Return the chance that a printed share is a multiple of 1 / support."""
    steps = np.arange(0, 10**digits + 1) / 10**digits
    return float(is_count(steps, np.full(steps.size, support), digits).mean())


def _right(table: ClassTable) -> dict[str, Floats]:
    """Return the recall of each run, columns that are swapped put right."""
    wrong = _swapped_runs(table)
    return {run: table.precision[run] if run in wrong else r for run, r in table.recall.items()}


@check("EQ341")
def inside_noise(material: Material) -> list[Finding] | None:
    """Find differences between runs that the test rows cannot tell from chance."""
    table = material.classes
    if table is None or len(table.recall) < 2:
        return None
    recalls, n = _right(table), table.support
    limit = float(norm.isf(0.025))
    rows = {}
    for one, two in combinations(recalls, 2):
        gap = float(np.nanmean(recalls[two] - recalls[one]))
        spread = sum(float(np.nansum(r * (1 - r) / n)) for r in (recalls[one], recalls[two]))
        half = limit * float(np.sqrt(spread)) / len(table.names)
        if abs(gap) < half:
            rows[f"{one} against {two}"] = {"difference": gap, "half_width": half}
    if not rows:
        return []
    shown = [f"{k} {v['difference']:+.3f} +- {v['half_width']:.3f}" for k, v in rows.items()]
    return [
        finding(
            "EQ341",
            f"Differences in mean recall that {int(n.sum())} test rows cannot tell from chance "
            f"(95 %, test rows alone, one training each): {listed(shown)}. Another seed moves "
            "them as well.",
            {"pairs": rows},
            "Compare paired over rows and over 5 seeds or more: equipoise compare.",
        )
    ]


@check("EQ339")
def tail_memorised(material: Material) -> list[Finding] | None:
    """Find classes learned by heart: training recall high, test recall low, precision high."""
    table = material.classes
    if table is None or not table.recall_train:
        return None
    found = []
    recalls = _right(table)
    wrong = _swapped_runs(table)
    for run, learned in table.recall_train.items():
        if run not in recalls:
            continue
        recall = recalls[run]
        precision = table.recall[run] if run in wrong else table.precision.get(run)
        sure = np.ones(recall.size, bool) if precision is None else ~(precision < _SURE)
        bad = (learned >= _LEARNED) & (recall < _MISSED) & sure
        if bad.any():
            shown = [
                f"{table.names[i]} ({learned[i]:.2f} in training, {recall[i]:.2f} in test)"
                for i in np.flatnonzero(bad)
            ]
            found.append(
                finding(
                    "EQ339",
                    f"{run}: {int(bad.sum())} classes are known by heart and not recognised: "
                    f"{listed(shown)}. Precision is high where it is known: the model says them "
                    "only of rows it has seen.",
                    {"run": run, "classes": [table.names[i] for i in np.flatnonzero(bad)]},
                    "More weight on the same rows teaches them by heart faster: augment them, or "
                    "collect others.",
                    "Take features from elsewhere and retrain the last layer (crt, lws).",
                )
            )
    return found
