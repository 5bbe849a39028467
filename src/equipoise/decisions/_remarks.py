"""Remarks on the thresholds of labels: what a reader should know before trusting one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.arrays import Floats
from equipoise.artifacts import Labels
from equipoise.decisions.calibration import OFFSET_FROM
from equipoise.decisions.certify import least_flagged
from equipoise.decisions.objectives import (
    Cost,
    NetBenefit,
    Objective,
    Precision,
    Recall,
    Rescale,
)

# A flood of flags, and a claim that other folds do not confirm.
FLOOD, OPTIMISM = 3.0, 0.05
# A weight that is not what was asked for, as a ratio.
FAR_WEIGHT = 1.5
_UNBIASED = "no tuning: assumes that training rows are an unbiased sample and scores are calibrated"


def label_notes(
    labels: Labels,
    objective: Objective,
    flags: NDArray[np.bool_],
    natural_cuts: Floats,
    weights: Floats,
    gap: Floats,
) -> tuple[str, ...]:
    """Remark on every label.

    Args:
        labels: The truth of the rows tuned on.
        objective: What the rule is for.
        flags: (N, L) what the rule flags there.
        natural_cuts: (L,) thresholds at the validation prior.
        weights: (2, L) what a positive and a negative count for at the target prior.
        gap: (L,) claimed minus cross-fitted.
    """
    notes = []
    for column, cut in enumerate(natural_cuts):
        known = labels.values[:, column] >= 0
        if not known.any():
            notes.append("no known validation rows: never flagged")
            continue
        n_positive, n_known = int(labels.counts[column]), int(known.sum())
        remarks = _on_evidence(objective, n_positive, float(cut))
        if n_positive and objective.choice is None:
            times = _flags_per_positive(
                labels.values[:, column], flags[:, column], weights[:, column]
            )
            if expit(cut) < n_positive / n_known and not isinstance(objective, Rescale):
                remarks.append("threshold below prevalence")
            if times > FLOOD:
                remarks.append(f"flags {times:.1f} times as many rows as are positive")
        is_rate = not isinstance(objective, Cost | NetBenefit | Recall)
        if is_rate and gap[column] > OPTIMISM:
            remarks.append(f"claims {gap[column]:.2f} more than other folds confirm")
        notes.append("; ".join(remarks))
    return tuple(notes)


def weight_notes(nominal: Floats | None, effective: Floats) -> tuple[str, ...]:
    """Say where the weight that the model expressed is far from the one asked for.

    Example:
        >>> weight_notes(np.array([49.0]), np.array([6.0, 45.0]))
        ('weight 49 asked for, 6 expressed', '')
    """
    if nominal is None:
        return ("",) * effective.size
    return tuple(
        f"weight {asked:.3g} asked for, {got:.3g} expressed"
        if np.isfinite(got) and abs(np.log(got / asked)) > np.log(FAR_WEIGHT)
        else ""
        for asked, got in zip(np.broadcast_to(nominal, effective.shape), effective, strict=True)
    )


def _flags_per_positive(y: NDArray[np.int8], flags: NDArray[np.bool_], weights: Floats) -> float:
    """Return flagged rows over positive rows, at the target prior."""
    tp, fp = ((flags & (y == side)).sum() for side in (1, 0))
    return float((weights[0] * tp + weights[1] * fp) / (weights[0] * (y == 1).sum()))


def _on_evidence(objective: Objective, n_positive: int, cut: float) -> list[str]:
    if isinstance(objective, Rescale):
        return [_UNBIASED]
    remarks = []
    if isinstance(objective, Precision) and np.isinf(cut):
        wanted = objective.at_least
        least = least_flagged(wanted, confidence_level=objective.confidence_level)
        remarks.append(
            f"precision {wanted:g} is not certified: never flagged (at least {least} rows flagged, "
            "all rightly, are needed)"
        )
    elif n_positive == 0 and isinstance(objective, Recall):
        wanted = objective.at_least
        remarks.append(f"no validation positives: recall {wanted:g} is not promised, never flagged")
    elif n_positive == 0 and objective.is_fitted:
        remarks.append("no validation positives: never flagged")
    elif n_positive == 0:
        by = "the cut follows from the formula alone" if objective.choice is None else "no evidence"
        remarks.append(f"no validation positives: unverified, {by}")
    elif n_positive < OFFSET_FROM:
        remarks.append("fewer than 3 validation positives: probabilities unverified")
    return remarks
