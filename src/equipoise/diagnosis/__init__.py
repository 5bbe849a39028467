"""Diagnosis: checks on labels, splits and scores, each with a code and a page."""

from equipoise.diagnosis._registry import CheckResult
from equipoise.diagnosis.run import diagnose, diagnose_scores, explain, run_checks

__all__ = ["CheckResult", "diagnose", "diagnose_scores", "explain", "run_checks"]
