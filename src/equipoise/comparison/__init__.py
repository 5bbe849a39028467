"""Evaluation and comparison, from Scores alone."""

from equipoise.comparison.compare import compare
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.record import SeedRecord, seed_record
from equipoise.comparison.verdict import decide

__all__ = ["SeedRecord", "compare", "decide", "evaluate", "seed_record"]
