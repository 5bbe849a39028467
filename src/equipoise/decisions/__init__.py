"""Decisions on validation data: calibration, priors, objectives, thresholds."""

from equipoise.decisions.calibration import fit_isotonic, fit_label_calibrator
from equipoise.decisions.certify import certified_cut, precision_lower_bound
from equipoise.decisions.class_calibration import fit_class_calibrator
from equipoise.decisions.images import image_scores
from equipoise.decisions.objectives import (
    BalancedAccuracy,
    Budget,
    Cost,
    FBeta,
    MacroF1,
    NetBenefit,
    Objective,
    Precision,
    Recall,
    Rescale,
    TopK,
)
from equipoise.decisions.priors import PriorEstimate, estimate_prior, shift_prior, to_target_prior
from equipoise.decisions.shares import count_decided, parted_shares
from equipoise.decisions.tune import tune

__all__ = [
    "BalancedAccuracy",
    "Budget",
    "Cost",
    "FBeta",
    "MacroF1",
    "NetBenefit",
    "Objective",
    "Precision",
    "PriorEstimate",
    "Recall",
    "Rescale",
    "TopK",
    "certified_cut",
    "count_decided",
    "estimate_prior",
    "fit_class_calibrator",
    "fit_isotonic",
    "fit_label_calibrator",
    "image_scores",
    "parted_shares",
    "precision_lower_bound",
    "shift_prior",
    "to_target_prior",
    "tune",
]
