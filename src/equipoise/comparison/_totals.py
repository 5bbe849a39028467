"""What stands above the labels: macro, micro, per row, per class, by the number of labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Bools, Floats
from equipoise.artifacts import Estimate, Labels
from equipoise.comparison._influences import class_log_loss
from equipoise.comparison._judge import Judge
from equipoise.comparison._label_row import SCALES
from equipoise.comparison._worth import Worth
from equipoise.metrics import Influence, balanced_accuracy_influence, ratio_influence
from equipoise.metrics.averages import row_f_beta

MOST_LABELS = 3


class MacroSums:
    """Sums of influence values over labels, so that memory does not grow with their number."""

    def __init__(self) -> None:
        self.sums: dict[str, Floats] = {}
        self.values: dict[str, list[float]] = {}

    def add(self, parts: dict[str, Influence]) -> None:
        """Add one label; metrics that it does not define are left out."""
        for metric, part in parts.items():
            seen = self.values.setdefault(metric, [])
            total = self.sums.setdefault(metric, np.zeros(part.rows.size))
            if not np.isnan(part.value):
                seen.append(part.value)
                total += part.rows

    @property
    def n_evaluable(self) -> dict[str, int]:
        """Metric -> labels in the average."""
        return {metric: len(seen) for metric, seen in self.values.items()}

    def means(self) -> dict[str, Influence]:
        """Return the macro averages with their influence values; NaN where no label counts."""
        out = {}
        for metric, seen in self.values.items():
            value = float(np.mean(seen)) if seen else float("nan")
            out[metric] = Influence(value, self.sums[metric] / max(len(seen), 1))
        return out

    def estimates(self, judge: Judge) -> dict[str, Estimate]:
        """Return the macro averages with their intervals."""
        return {
            metric: judge.influence(
                mean, scale=SCALES.get(metric, "logit"), why="no label is evaluable"
            )
            for metric, mean in self.means().items()
        }


def micro(judge: Judge, hot: NDArray[np.int8], flags: Bools) -> dict[str, Estimate]:
    """Return precision, recall and F1 of all decisions together."""
    return {
        name: judge.influence(part, why="nothing to count")
        for name, part in _micro_parts(hot, flags, np.ones(hot.shape[0], dtype=bool)).items()
    }


def _micro_parts(hot: NDArray[np.int8], flags: Bools, rows: Bools) -> dict[str, Influence]:
    tp = ((hot == 1) & flags).sum(axis=1) * rows
    flagged = (flags & (hot >= 0)).sum(axis=1) * rows
    positive = (hot == 1).sum(axis=1) * rows
    parts = {
        "precision": ratio_influence(tp, flagged),
        "recall": ratio_influence(tp, positive),
        "f1": ratio_influence(2 * tp, flagged + positive),
    }
    if not positive.any():
        parts["f1"] = Influence(float("nan"), parts["f1"].rows)
    return parts


def samples(judge: Judge, hot: NDArray[np.int8], flags: Bools) -> dict[str, Estimate]:
    """Return the mean F1 of rows, and the share of rows with every known label right."""
    values = row_f_beta(hot, flags)
    known = (hot >= 0).any(axis=1)
    exact = known & (((hot == 1) == flags) | (hot < 0)).all(axis=1)
    return {
        "f1": judge.influence(
            ratio_influence(np.nan_to_num(values), ~np.isnan(values)), why="no row has a label"
        ),
        "exact_match": judge.influence(ratio_influence(exact, known), why="no known rows"),
    }


def by_label_count(
    judge: Judge, hot: NDArray[np.int8], flags: Bools
) -> dict[str, dict[str, Estimate]]:
    """Return micro metrics, row F1 and exact matches of rows with 0, 1, 2, 3 and more labels."""
    count = np.minimum((hot == 1).sum(axis=1), MOST_LABELS)
    known = (hot >= 0).any(axis=1)
    values = row_f_beta(hot, flags)
    exact = (((hot == 1) == flags) | (hot < 0)).all(axis=1)
    out = {}
    for number in np.unique(count[known]).tolist():
        rows = known & (count == number)
        seen = rows & ~np.isnan(values)
        parts = _micro_parts(hot, flags, rows)
        parts["samples_f1"] = ratio_influence(np.where(seen, values, 0.0), seen)
        parts["exact_match"] = ratio_influence(exact & rows, rows)
        n = int(rows.sum())
        out[f"{number}+" if number == MOST_LABELS else str(number)] = {
            name: replace(judge.influence(part, why="nothing to count"), n=n)
            for name, part in parts.items()
        }
    return out


def class_overall(
    judge: Judge,
    labels: Labels,
    decided: NDArray[np.int64],
    log_posterior: Floats,
    worth: Worth,
) -> dict[str, Estimate]:
    """Return balanced accuracy, accuracy, log loss of classes, and the cost where it is known."""
    ones = np.ones(len(labels))
    recalls = balanced_accuracy_influence(labels.values, decided, labels.num_classes)
    found = {
        "balanced_accuracy": judge.influence(recalls),
        "accuracy": judge.influence(ratio_influence(decided == labels.values, ones)),
        "log_loss": judge.influence(class_log_loss(labels.values, log_posterior), scale="log"),
    }
    if worth.matrix is not None:
        paid = ratio_influence(worth.matrix[labels.values, decided], ones)
        found["expected_cost"] = judge.influence(paid, scale="log")
    return found
