"""Which interval goes with which metric, and the rows of one label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise.artifacts import Estimate, Labels
from equipoise.metrics import (
    Influence,
    average_precision_influence,
    boyd_interval,
    influence_interval,
    ratio_influence,
    roc_auc_influence,
    wilson_interval,
)
from equipoise.metrics.calibration import softplus_losses
from equipoise.metrics.intervals import ENOUGH

__all__ = ["Judge", "label_row", "probability_row"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Judge:
    """Interval rules shared by all metrics of one evaluation."""

    def __init__(self, labels: Labels, confidence_level: float) -> None:
        self.level = confidence_level
        self.groups: NDArray[np.int64] | None = None
        if labels.groups is not None:
            self.groups = np.unique(labels.groups, return_inverse=True)[1].astype(np.int64)

    def influence(
        self,
        value: Influence,
        *,
        n_positive: int | None = None,
        bounded: bool = True,
        why: str = "",
    ) -> Estimate:
        """Return the interval from influence values; ``why`` says why a value is missing."""
        missing = np.isnan(value.value)
        return influence_interval(
            value,
            confidence_level=self.level,
            groups=self.groups,
            bounded=bounded,
            n_positive=n_positive,
            reason=why if missing and why else None,
        )

    def average_precision(self, value: Influence, n_positive: int, why: str) -> Estimate:
        """Return Boyd's interval below 50 positives, else that of influence values."""
        if np.isnan(value.value) or n_positive >= ENOUGH or self.groups is not None:
            return self.influence(value, n_positive=n_positive, why=why)
        return boyd_interval(
            value.value, n_positive, n=value.rows.size, confidence_level=self.level
        )

    def share(self, hit: Bools, base: Bools, why: str, n_positive: int) -> Estimate:
        """Return Wilson's interval of the share of ``base`` with ``hit``; in groups influence."""
        if not base.any():
            return Estimate.missing(why, n_positive=n_positive)
        if self.groups is not None:
            return self.influence(ratio_influence(hit & base, base), n_positive=n_positive)
        return wilson_interval(
            int((hit & base).sum()),
            int(base.sum()),
            confidence_level=self.level,
            n_positive=n_positive,
        )


def label_row(
    judge: Judge, truth: NDArray[np.int8], score: Floats, flag: Bools
) -> tuple[dict[str, Estimate], dict[str, Influence], str]:
    """Return estimates and influences of one label (or one class against the rest)."""
    yes, no = truth == 1, truth == 0
    n_pos, n_neg = int(yes.sum()), int(no.sum())
    reason = "" if n_pos and n_neg else ("no positives" if not n_pos else "no negatives")
    ap = average_precision_influence(truth, score)
    auroc = roc_auc_influence(truth, score)
    if reason:
        ap = Influence(float("nan"), ap.rows)
    f1 = ratio_influence(2.0 * (yes & flag), 1.0 * yes + flag * (yes | no))
    if not n_pos:
        f1 = Influence(float("nan"), f1.rows)
    row = {
        "prevalence": judge.share(yes, yes | no, "no known rows", n_pos),
        "ap": judge.average_precision(ap, n_pos, reason),
        "auroc": judge.influence(auroc, n_positive=n_pos, why=reason),
        "precision": judge.share(yes, flag & (yes | no), "nothing flagged", n_pos),
        "recall": judge.share(flag, yes, "no positives", n_pos),
        "f1": judge.influence(f1, n_positive=n_pos, why=reason),
        "flagged": judge.share(flag, yes | no, "no known rows", n_pos),
    }
    return row, {"ap": ap, "auroc": auroc, "f1": f1}, reason


def probability_row(
    judge: Judge, truth: NDArray[np.int8], log_odds: Floats
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    """Return log loss and Brier score of one label (or one class against the rest)."""
    known, n_pos = truth >= 0, int((truth == 1).sum())
    losses = np.nan_to_num(softplus_losses(truth, log_odds))
    squares = np.where(known, (expit(log_odds) - (truth == 1)) ** 2, 0.0)
    parts = {
        "log_loss": ratio_influence(losses, known),
        "brier": ratio_influence(squares, known),
    }
    estimates = {
        name: judge.influence(value, bounded=name == "brier", n_positive=n_pos, why="no known rows")
        for name, value in parts.items()
    }
    return estimates, parts
