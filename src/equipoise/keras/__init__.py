"""Losses, metrics, data, callbacks and checks for Keras 3; needs the extra "keras"."""

import equipoise.keras._keras  # noqa: F401  # comes first: says which extra brings Keras
from equipoise.keras import data, losses, metrics
from equipoise.keras.callbacks import (
    DeferredReweighting,
    TuneThresholds,
    WatchTraining,
    WriteScores,
)
from equipoise.keras.checks import check_model, require_fitting_metrics
from equipoise.keras.data import RaggedSequences, RowBatches, row_sample_weights
from equipoise.keras.transfer import initialise_prior_bias, prepare_transfer

__all__ = [
    "DeferredReweighting",
    "RaggedSequences",
    "RowBatches",
    "TuneThresholds",
    "WatchTraining",
    "WriteScores",
    "check_model",
    "data",
    "initialise_prior_bias",
    "losses",
    "metrics",
    "prepare_transfer",
    "require_fitting_metrics",
    "row_sample_weights",
]
