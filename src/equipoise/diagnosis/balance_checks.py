"""Checks on balance: how unequal the labels are, and what that does to accuracy and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import listed
from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material
from equipoise.labels.statistics import Statistics

_BALANCED, _MILD, _MODERATE = 2.0, 20.0, 100.0
_AMPLE = 1_000
_TELLING = 0.95  # an accuracy that passes for a good one
_COMPARE = "Compare any remedy with no remedy and tuned thresholds, over several seeds."


def _grade(ratio: float) -> str:
    if ratio <= _MILD:
        return "mild"
    return "moderate" if ratio <= _MODERATE else "severe"


def _verdict(grade: str, smallest: int) -> tuple[str, tuple[str, ...]]:
    """Return what the degree and the smallest count mean together, and what to do."""
    threshold = "Train without a remedy and tune thresholds on validation data first."
    if smallest < _AMPLE:
        text = (
            f"the rarest has {smallest:,} positive(s): scarcity, more than the ratio, limits what "
            "can be learned and measured"
        )
        pooled = "Stratify, and pool folds for thresholds and metrics."
        return text, (pooled, threshold, _COMPARE)
    text = f"the rarest has {smallest:,} positives"
    if grade == "mild":
        return f"{text}: data are ample, do not resample", (threshold, _COMPARE)
    return (
        f"but {text}: enough to learn from; the 0.5 cut is what suffers first",
        (threshold, _COMPARE),
    )


def _within_labels(statistics: Statistics) -> tuple[float, int]:
    """Return the largest ratio of the two sides of a label, and its position."""
    ratio = statistics.neg_pos_ratio
    both = ratio
    if statistics.counts.n_rows is not None:
        inverse = np.full(ratio.shape, np.nan)
        np.divide(1.0, ratio, out=inverse, where=ratio > 0)
        both = np.fmax(ratio, inverse)
    label = int(np.nanargmax(both))
    return float(both[label]), label


@check("EQ104")
def degree(material: Material) -> list[Finding] | None:
    """Say in words how imbalanced the labels are, by the measure that fits their kind."""
    statistics = material.statistics
    if statistics is None or not statistics.positives.any():
        return None
    present = statistics.positives[statistics.positives > 0]
    evidence: dict[str, Any] = {"smallest_count": int(present.min())}
    if statistics.kind == "multilabel":
        ratio, label = _within_labels(statistics)
        name = statistics.names[label]
        least = "up to" if statistics.counts.n_rows is not None else "at least"
        side = "negatives per positive"
        if not statistics.neg_pos_ratio[label] >= 1:
            side = "positives per negative"
        between = statistics.imbalance_ratio
        text = f"there are {least} {ratio:,.1f} {side}"
        if len(statistics.names) > 1:
            text = (
                f"within a label {text} ('{name}'); between labels counts differ "
                f"{between:,.1f}-fold (MeanIR {statistics.MeanIR:.2f})"
            )
        evidence |= {"measure": side, "label": name, "between_labels": between}
    else:
        ratio = statistics.imbalance_ratio
        text = (
            f"the largest class has {ratio:,.1f} times the rows of the smallest; the classes count "
            f"as {statistics.effective_classes:.1f} equal ones of {present.size}"
        )
        evidence |= {"measure": "largest over smallest class"}
    if ratio < _BALANCED:
        return []
    grade = _grade(ratio)
    verdict, suggests = _verdict(grade, int(present.min()))
    evidence |= {"degree": grade, "ratio": ratio, "ample": int(present.min()) >= _AMPLE}
    few = evidence["smallest_count"] < _AMPLE
    unusual = grade == "severe" or (grade == "moderate" and few)
    message = f"{grade.capitalize()}: {text}; {verdict}."
    return [finding("EQ104", message, evidence, *suggests, severity=None if unusual else "fact")]


@check("EQ105")
def effortless_accuracy(material: Material) -> list[Finding] | None:
    """Say what accuracy an answer reaches that ignores the input."""
    statistics = material.statistics
    if statistics is None or not statistics.positives.any():
        return None
    if statistics.kind == "multiclass":
        share = statistics.majority_share or 0.0
        name = statistics.names[int(statistics.positives.argmax())]
        if share < max(0.3, 1.4 / len(statistics.names)):
            return []
        message = f"Always answering '{name}' is right in {share:.1%} of rows"
        better = "Report balanced accuracy or macro F1 beside it, and recall per class."
    else:
        share = float(1 - np.nanmean(statistics.counts.prevalence_range[1]))
        if share < 0.7:
            return []
        least = "" if statistics.counts.n_rows is not None else "at least "
        message = f"Answering 0 to every label is right in {least}{share:.1%} of entries"
        if len(statistics.names) == 1:
            message = f"Answering 0 is right in {least}{share:.1%} of rows"
        better = "Report average precision and F1 per label and their macro average."
    return [
        finding(
            "EQ105",
            f"{message}, without looking at the input. An accuracy near that number says nothing.",
            {"accuracy": share},
            better,
            severity=None if share >= _TELLING else "fact",
        )
    ]


def _span(low: float, high: float) -> str:
    return f"{low:.3f}" if high - low < 5e-4 else f"{low:.3f} to {high:.3f}"


def _label_cuts(statistics: Statistics) -> tuple[list[str], dict[str, Any]]:
    low, high = statistics.counts.prevalence_range
    total = statistics.positives.sum()
    rows, evidence = [], {}
    for i in np.flatnonzero(statistics.positives > 0):
        name, n = statistics.names[i], statistics.positives[i]
        inverse = float(n / (n + total))
        # A single label's frequency among label occurrences is 1, whatever it is.
        other = f" (inverse frequency: {inverse:.3f})" if len(statistics.names) > 1 else ""
        rows.append(f"{name}: {_span(low[i], high[i])}{other}")
        evidence[name] = {
            "neg_over_pos_low": float(low[i]),
            "neg_over_pos_high": float(high[i]),
            "inverse_frequency": inverse,
        }
    return rows, evidence


def _class_cuts(positives: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, float]:
    top = positives.max()
    return {
        name: float(n / (n + top)) for name, n in zip(names, positives, strict=True) if 0 < n < top
    }


@check("EQ106")
def moved_cut(material: Material) -> list[Finding] | None:
    """Say which true probability a weighted model calls 0.5."""
    statistics = material.statistics
    if statistics is None or not statistics.positives.any():
        return None
    undo = "Undo the weight before the cut, or tune thresholds: `equipoise tune` does both."
    if statistics.kind == "multiclass":
        cuts = _class_cuts(statistics.positives, statistics.names)
        if statistics.imbalance_ratio < _BALANCED:
            return []
        rare = min(cuts, key=lambda name: cuts[name])
        return [
            finding(
                "EQ106",
                "With class weights inverse to frequency a class beats the largest one at less "
                f"than even odds: '{rare}' already when it has {cuts[rare]:.1%} of their joint "
                "probability. So rare classes are called more often than they occur.",
                {"share_at_equal_output": cuts},
                undo,
            )
        ]
    low, high = statistics.counts.prevalence_range
    present = statistics.positives > 0
    if ((low[present] >= 0.25) & (high[present] <= 0.75)).all():
        return []
    rows, evidence = _label_cuts(statistics)
    return [
        finding(
            "EQ106",
            "A model trained with pos_weight = neg/pos says 0.5 where the true probability is the "
            "prevalence, so the 0.5 cut calls positive everything above base rate. The true "
            f"probability at output 0.5: {listed(rows, 6)}.",
            {"probability_at_output_half": evidence},
            undo,
            "If a weight is wanted, its square root moves the cut half as far (in log-odds).",
        )
    ]
