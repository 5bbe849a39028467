"""Diagnosis: checks on labels, splits, scores and histories, each with a code and a page."""

from equipoise.diagnosis._registry import CheckResult
from equipoise.diagnosis.histories import check_history
from equipoise.diagnosis.run import diagnose, diagnose_scores, explain, run_checks

__all__ = ["CheckResult", "check_history", "diagnose", "diagnose_scores", "explain", "run_checks"]
