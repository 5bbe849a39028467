"""Points for the report's pictures, thinned to what an eye can see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise.artifacts import DecisionRule, Scores
from equipoise.metrics import reliability_curve
from equipoise.metrics.sweep import Sweep

POINTS = 80
DIGITS = 5


def _thin(size: int) -> NDArray[np.int64]:
    if size <= POINTS:
        return np.arange(size)
    return np.unique(np.linspace(0, size - 1, POINTS).astype(np.int64))


def _round(values: Any) -> list[float]:
    return [round(float(v), DIGITS) for v in values]


def label_curves(rule: DecisionRule, scores: Scores) -> dict[str, dict[str, Any]]:
    """Return precision-recall and reliability points per label or class."""
    labels = scores.require_labels()
    hot, log_odds = labels.one_hot(), rule.log_odds(scores)
    prob = np.exp(log_odds) if labels.kind == "multiclass" else expit(log_odds)
    raw = scores.values if labels.kind == "multilabel" else log_odds
    out = {}
    for column, name in enumerate(labels.names):
        known = hot[:, column] >= 0
        truth = hot[known, column]
        if not (truth == 1).any() or not (truth == 0).any():
            continue
        weight = None if labels.weights is None else labels.weights[known] / labels.weights.mean()
        order = np.argsort(-raw[known, column], kind="stable")
        counted = None if weight is None else weight[order]
        points = Sweep.from_sorted(raw[known, column][order], truth[order] == 1, counted)
        recall = points.tp / points.n_positive
        precision = points.tp / (points.tp + points.fp)
        # Steps in recall carry the curve; rows without a new positive only lower precision.
        steps = np.flatnonzero(np.diff(points.tp, prepend=0) > 0)
        keep = steps[_thin(steps.size)]
        predicted, observed, rows = reliability_curve(truth, prob[known, column], weight)
        some = _thin(predicted.size)
        out[name] = {
            "recall": _round(recall[keep]),
            "precision": _round(precision[keep]),
            "predicted": _round(predicted[some]),
            "observed": _round(observed[some]),
            "rows": [int(r) for r in rows[some]],
            "prevalence": round(float(np.average(truth == 1, weights=weight)), DIGITS),
        }
    return out
