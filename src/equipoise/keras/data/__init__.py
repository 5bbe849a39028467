"""Data sets for Keras: rows drawn by every rule of the samplers, ragged sequences with masks."""

from equipoise.keras.data.batches import RowBatches, row_sample_weights
from equipoise.keras.data.sequences import RaggedSequences
from equipoise.sampling.draws import (
    BalancedBatches,
    ClassBalancedRows,
    ListedRows,
    PKBatches,
    ProgressiveRows,
    RepeatFactorRows,
    StratifiedBatches,
    WeightedRows,
)

__all__ = [
    "BalancedBatches",
    "ClassBalancedRows",
    "ListedRows",
    "PKBatches",
    "ProgressiveRows",
    "RaggedSequences",
    "RepeatFactorRows",
    "RowBatches",
    "StratifiedBatches",
    "WeightedRows",
    "row_sample_weights",
]
