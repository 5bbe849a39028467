"""Evaluation and comparison, from Scores alone."""

from equipoise.comparison.compare import Contest, compare
from equipoise.comparison.confusion import Confusion, count_confusions
from equipoise.comparison.dense import evaluate_dense
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.paired import PairedScores, compare_scores
from equipoise.comparison.record import SeedRecord, seed_record

__all__ = [
    "Confusion",
    "Contest",
    "PairedScores",
    "SeedRecord",
    "compare",
    "compare_scores",
    "count_confusions",
    "evaluate",
    "evaluate_dense",
    "seed_record",
]
