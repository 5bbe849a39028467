"""Evaluation and comparison, from Scores alone."""

from equipoise.comparison.compare import compare
from equipoise.comparison.confusion import Confusion, count_confusions
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.gain import decide
from equipoise.comparison.paired import PairedScores, compare_scores
from equipoise.comparison.record import SeedRecord, seed_record

__all__ = [
    "Confusion",
    "PairedScores",
    "SeedRecord",
    "compare",
    "compare_scores",
    "count_confusions",
    "decide",
    "evaluate",
    "seed_record",
]
