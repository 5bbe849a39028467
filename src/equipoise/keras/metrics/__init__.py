"""Keras metrics of several labels: means over those that can be judged, and how many they are."""

from equipoise.keras.metrics.decisions import (
    BalancedAccuracy,
    LabelBalancedAccuracy,
    LabelFBeta,
    LabelPrecision,
    LabelRecall,
)
from equipoise.keras.metrics.ranking import ROCAUC, AveragePrecision

__all__ = [
    "ROCAUC",
    "AveragePrecision",
    "BalancedAccuracy",
    "LabelBalancedAccuracy",
    "LabelFBeta",
    "LabelPrecision",
    "LabelRecall",
]
