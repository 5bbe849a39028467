"""Diagnosis: checks on labels, splits, scores and histories, each with a code and a page."""

from equipoise.diagnosis._registry import CheckResult
from equipoise.diagnosis.class_table import ClassTable
from equipoise.diagnosis.histories import check_history
from equipoise.diagnosis.material import Material
from equipoise.diagnosis.run import diagnose, diagnose_scores, explain, run_checks
from equipoise.diagnosis.setup import Setup, read_setup

__all__ = [
    "CheckResult",
    "ClassTable",
    "Material",
    "Setup",
    "check_history",
    "diagnose",
    "diagnose_scores",
    "explain",
    "read_setup",
    "run_checks",
]
