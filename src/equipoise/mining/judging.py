"""Judge a round on unmined validation rows: its calibrator, its rule, its average precision."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from equipoise.artifacts import DecisionRule, Estimate, Scores
from equipoise.artifacts.labels import UNKNOWN
from equipoise.decisions import tune
from equipoise.metrics import average_precision_influence, boyd_interval, influence_interval
from equipoise.metrics.intervals import average_precision_way
from equipoise.mining.pools import Pool
from equipoise.mining.scoring import Scorer, foreground, outputs_of


def judge(scorer: Scorer, validation: Pool, seed: int) -> tuple[Scores, DecisionRule, Estimate]:
    """Return validation scores, the rule that is tuned on them, and average precision.

    Args:
        scorer: From inputs to outputs.
        validation: Unmined rows; unknown ones are left out.
        seed: Of the rule's bootstrap rounds.

    Returns:
        Scores of kind "ranking" and split "val"; the rule, whose calibrator is fitted: slope and
        offset of one label, or of each class; and average precision of positives among all, with
        its 95 % interval: by influence values, or Boyd's below 50 positives.
    """
    rows = np.flatnonzero(validation.values >= 0)
    raw = outputs_of(scorer, validation, rows)
    labels = validation.labels(rows)
    scores = Scores.from_arrays(labels, ranking=raw, split="val")
    highest = "auto" if validation.kind == "multilabel" else "vector"
    rule = tune(scores, calibration=highest, seed=seed)
    truth = validation.truth(rows)
    found = average_precision_influence(truth, foreground(validation, raw, None))
    n_positive = int(truth.sum())
    if average_precision_way(n_positive, resampled=False) == "boyd":
        return scores, rule, boyd_interval(found.value, n_positive, n=rows.size)
    groups = None if labels.groups is None else np.unique(labels.groups, return_inverse=True)[1]
    ap = influence_interval(found, groups=groups, n_positive=n_positive)
    return scores, rule, ap


def calibrated_loss(scores: Scores, rule: DecisionRule) -> float:
    """Return the log loss of the validation rows by the probabilities of their rule."""
    z, labels = np.asarray(rule.log_odds(scores)), scores.require_labels()
    if labels.kind == "multiclass":
        return float(-log_softmax(z, axis=1)[np.arange(len(labels)), labels.values].mean())
    known = labels.values != UNKNOWN
    return float(np.logaddexp(0.0, np.where(labels.values == 1, -z, z))[known].mean())
