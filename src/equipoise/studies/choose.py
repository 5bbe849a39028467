"""Which setting of an arm enters the comparison: the best on validation rows, by its metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equipoise._core.logistic import one_vs_rest
from equipoise.artifacts import Trial
from equipoise.decisions import tune
from equipoise.metrics import average_precision, roc_auc
from equipoise.studies.schema import ComparisonSpec

_NAMES = {"macro_ap": "macro AP", "macro_auroc": "macro AUROC", "tuned": "tuned rule, cross-fitted"}


def metric_name(trial: Trial, spec: ComparisonSpec) -> str:
    """Return what :func:`setting_value` measures, in words."""
    if _is_selection(trial, spec):
        return str(trial.selection["metric"])
    return f"{_NAMES[spec.primary or '']} on validation rows"


def setting_value(trial: Trial, spec: ComparisonSpec) -> float:
    """Return how good a trial is on its validation rows, by the primary metric of the comparison.

    Where that is the one that chose the epoch, as by default, it is its value; otherwise it is
    computed from the validation scores, the tuned rule cross-fitted. Test scores are not read.
    """
    if _is_selection(trial, spec):
        return float(trial.selection["value"])
    val = trial.scores["val"]
    labels = val.require_labels()
    if spec.primary == "tuned":
        rule = tune(val, objective=spec.objective, target_prior=spec.target_prior, seed=trial.seed)
        crossed = rule.cross_fitted[np.isfinite(rule.cross_fitted)]
        return float(crossed.mean()) if crossed.size else float("nan")
    hot, values = labels.one_hot(), val.values
    if labels.kind == "multiclass":
        values = one_vs_rest(val.log_odds() if val.has_probabilities else values)
    usable = [c for c in range(hot.shape[1]) if {0, 1} <= set(hot[:, c].tolist())]
    metric = average_precision if spec.primary == "macro_ap" else roc_auc
    if not usable:
        return float("nan")
    return float(np.mean(metric(hot[:, usable], values[:, usable])))


def _is_selection(trial: Trial, spec: ComparisonSpec) -> bool:
    kind = trial.scores["val"].require_labels().kind
    usual = "macro_ap" if kind == "multilabel" else "tuned"
    return spec.primary in (None, usual)


def best_of(trials: Sequence[Trial], spec: ComparisonSpec) -> int:
    """Return the position of the best trial; the first of equals, or where none has a value."""
    values = np.array([setting_value(trial, spec) for trial in trials])
    return 0 if np.isnan(values).all() else int(np.nanargmax(values))
