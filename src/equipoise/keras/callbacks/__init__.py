"""Keras callbacks: findings while training runs, late re-weighting, scores and rules at its end."""

from equipoise.keras.callbacks.rules import TuneThresholds, WriteScores
from equipoise.keras.callbacks.training import DeferredReweighting, WatchTraining

__all__ = ["DeferredReweighting", "TuneThresholds", "WatchTraining", "WriteScores"]
