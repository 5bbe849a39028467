"""Resampling of the training part: rows to repeat, rows to leave out, and synthetic rows.

Every resampler takes `TrainingRows` and returns `Resampled`; none of them needs torch.
"""

from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.sampling.resample.classes import (
    random_oversample,
    random_undersample,
    resample_to_sizes,
)
from equipoise.sampling.resample.labelsets import lp_ros, lp_rus
from equipoise.sampling.resample.minority import ml_ros, ml_rus, undersample_majority_rows
from equipoise.sampling.resample.mlsmote import mlsmote
from equipoise.sampling.resample.mlsol import mlsol
from equipoise.sampling.resample.repeats import repeat_factor_oversample
from equipoise.sampling.resample.smote import smote

__all__ = [
    "Resampled",
    "TrainingRows",
    "lp_ros",
    "lp_rus",
    "ml_ros",
    "ml_rus",
    "mlsmote",
    "mlsol",
    "random_oversample",
    "random_undersample",
    "repeat_factor_oversample",
    "resample_to_sizes",
    "smote",
    "undersample_majority_rows",
]
