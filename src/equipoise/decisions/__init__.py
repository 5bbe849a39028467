"""Decisions on validation data: calibration, priors, thresholds."""

from equipoise.decisions.calibration import fit_label_calibrator
from equipoise.decisions.class_calibration import fit_class_calibrator
from equipoise.decisions.priors import shift_prior, to_target_prior
from equipoise.decisions.thresholds import plug_in_threshold, tune_threshold
from equipoise.decisions.tune import tune

__all__ = [
    "fit_class_calibrator",
    "fit_label_calibrator",
    "plug_in_threshold",
    "shift_prior",
    "to_target_prior",
    "tune",
    "tune_threshold",
]
