"""Metrics with influence values: one sort gives every ranking and threshold metric."""

from equipoise.metrics.calibration import brier_score, log_loss, reliability_curve
from equipoise.metrics.influence import (
    Influence,
    average_precision_influence,
    balanced_accuracy_influence,
    macro_influence,
    ratio_influence,
    roc_auc_influence,
)
from equipoise.metrics.intervals import boyd_interval, influence_interval, wilson_interval
from equipoise.metrics.paired import holm, pair_over_seeds
from equipoise.metrics.point import (
    balanced_accuracy,
    confusion_matrix,
    f_beta,
    precision,
    recall,
)
from equipoise.metrics.sweep import Sweep, average_precision, best_f_beta, roc_auc, sweep

__all__ = [
    "Influence",
    "Sweep",
    "average_precision",
    "average_precision_influence",
    "balanced_accuracy",
    "balanced_accuracy_influence",
    "best_f_beta",
    "boyd_interval",
    "brier_score",
    "confusion_matrix",
    "f_beta",
    "holm",
    "influence_interval",
    "log_loss",
    "macro_influence",
    "pair_over_seeds",
    "precision",
    "ratio_influence",
    "recall",
    "reliability_curve",
    "roc_auc",
    "roc_auc_influence",
    "sweep",
    "wilson_interval",
]
