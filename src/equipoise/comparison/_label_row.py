"""All metrics of one label, or of one class against the rest, with what averages need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.arrays import Bools, Floats
from equipoise.artifacts import Estimate
from equipoise.comparison._influences import f1, log_loss, nan_of, ranked, squared_errors
from equipoise.comparison._judge import Judge
from equipoise.comparison._worth import Worth
from equipoise.metrics import (
    Influence,
    calibration_line,
    matthews_influence,
    rank_positives,
    ratio_influence,
    region_influences,
)
from equipoise.metrics.intervals import Scale

SCALES: dict[str, Scale] = {
    "mcc": "atanh",
    "log_loss": "log",
    "brier_skill": "identity",
    "expected_cost": "log",
    "net_benefit": "identity",
    "net_benefit_all": "identity",
}
PLAIN = Worth(0.1, 0.1, None, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class LabelRow:
    """One label judged.

    Args:
        estimates: metric -> Estimate.
        averaged: The metrics that enter macro averages, with their influence values.
        counts: "tp", "fp", "fn", "tn".
        reason: Why ranking metrics are missing; empty if they are not.
    """

    estimates: dict[str, Estimate]
    averaged: dict[str, Influence]
    counts: dict[str, int]
    reason: str


def label_row(
    judge: Judge,
    truth: NDArray[np.int8],
    score: Floats,
    flag: Bools,
    log_odds: Floats,
    worth: Worth = PLAIN,
    column: int = 0,
) -> LabelRow:
    """Judge one label from its truth (-1 unknown), ranking scores, flags and log-odds."""
    yes, no, known = truth == 1, truth == 0, truth >= 0
    reason = "" if yes.any() and no.any() else ("no negatives" if yes.any() else "no positives")
    ranking, by_rank = _ranking(judge, truth, score, reason, worth)
    decided, averaged = _decisions(judge, truth, flag, reason)
    probable, losses = _probabilities(judge, truth, log_odds, reason)
    values = worth.parts(column, truth, flag, log_odds)
    paid = {
        m: judge.influence(part, n_positive=int(yes.sum()), scale=SCALES[m], why="no known rows")
        for m, part in values.items()
    }
    hits, flagged, n_pos = int((yes & flag).sum()), int((known & flag).sum()), int(yes.sum())
    counts = {"tp": hits, "fp": flagged - hits, "fn": n_pos - hits}
    counts["tn"] = int(no.sum()) - counts["fp"]
    averaged |= by_rank | losses | values
    return LabelRow(ranking | decided | probable | paid, averaged, counts, reason)


def _ranking(
    judge: Judge, truth: NDArray[np.int8], score: Floats, reason: str, worth: Worth
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    ranks = rank_positives(truth, score)
    cells = ranks.cells(score)
    ap, auroc = ranked(truth, ranks, cells)
    top = worth.top_fraction
    region = region_influences(truth, ranks, cells, max_fpr=worth.max_fpr, top_fraction=top)
    n_pos = ranks.n_positive
    looked = int(np.ceil(top * (n_pos + ranks.n_negative) - 1e-9))
    estimates = {
        "prevalence": judge.share(truth == 1, truth >= 0, "no known rows", n_pos),
        "ap": judge.average_precision(ap, ranks, reason),
        "auroc": judge.auroc(auroc, truth, ranks, reason),
        "partial_auroc": judge.influence(region["partial_auroc"], n_positive=n_pos, why=reason),
        "recall_at_fpr": judge.found_share(region["recall_at_fpr"], n_pos, n_pos, reason),
        "precision_at_top": judge.found_share(region["precision_at_top"], looked, n_pos, reason),
    }
    return estimates, {"ap": ap, "auroc": auroc} | region


def _decisions(
    judge: Judge, truth: NDArray[np.int8], flag: Bools, reason: str
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    yes, no, known = truth == 1, truth == 0, truth >= 0
    n_pos = int(yes.sum())
    shares = {
        "precision": (yes, flag & known, "nothing flagged"),
        "recall": (flag, yes, "no positives"),
        "specificity": (~flag, no, "no negatives"),
        "flagged": (flag, known, "no known rows"),
    }
    estimates = {m: judge.share(*parts, n_positive=n_pos) for m, parts in shares.items()}
    averaged = {
        m: ratio_influence(hit & base, base)
        for m, (hit, base, _) in shares.items()
        if m != "flagged"
    }
    both = averaged["recall"].rows + averaged["specificity"].rows
    middle = (averaged["recall"].value + averaged["specificity"].value) / 2
    other = {
        "f1": f1(truth, flag),
        "balanced_accuracy": Influence(middle, both / 2),
        "mcc": matthews_influence(truth, flag),
    }
    for metric, value in other.items():
        scale = SCALES.get(metric, "logit")
        estimates[metric] = judge.influence(value, n_positive=n_pos, scale=scale, why=reason)
    return estimates, averaged | other


def _probabilities(
    judge: Judge, truth: NDArray[np.int8], log_odds: Floats, reason: str
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    yes, no, known = truth == 1, truth == 0, truth >= 0
    prob = expit(log_odds)
    squares = squared_errors(truth, prob)
    brier = ratio_influence(squares, known)
    averaged = {
        "log_loss": log_loss(truth, log_odds),
        "brier": brier,
        "brier_positives": ratio_influence(squares * yes, yes),
        "brier_negatives": ratio_influence(squares * no, no),
        "brier_skill": _skill(brier, ratio_influence(yes, known), reason),
    }
    n_pos, why = int(yes.sum()), reason or "no known rows"
    estimates = {
        m: judge.influence(part, n_positive=n_pos, scale=SCALES.get(m, "logit"),
                           why=why if known.any() else "no known rows")
        for m, part in averaged.items()
    }  # fmt: skip
    ratio = ratio_influence(np.where(known, prob, 0.0), yes)
    estimates["calibration_ratio"] = judge.influence(ratio, n_positive=n_pos, scale="log", why=why)
    line = calibration_line(truth, log_odds, confidence_level=judge.level, groups=judge.groups)
    estimates["calibration_slope"] = line.slope
    estimates["calibration_intercept"] = line.intercept
    return estimates, averaged


def _skill(brier: Influence, share: Influence, reason: str) -> Influence:
    """Return 1 - Brier / (share (1 - share)) by the chain rule."""
    if reason:
        return nan_of(brier)
    noise = share.value * (1 - share.value)
    lost = brier.value / noise
    rows = brier.rows / noise - lost / noise * (1 - 2 * share.value) * share.rows
    return Influence(1 - lost, -rows)
