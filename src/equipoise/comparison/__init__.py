"""Evaluation and comparison, from Scores alone."""

from equipoise.comparison.compare import compare
from equipoise.comparison.confusion import Confusion, count_confusions
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.paired import PairedScores, compare_scores
from equipoise.comparison.record import SeedRecord, seed_record
from equipoise.comparison.verdict import decide

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
