"""Equipoise: find out whether class imbalance hurts, treat it, ship calibrated decisions.

The names stand in the order of the line: labels, diagnosis, split, train with a remedy, scores,
decision, evaluation, comparison, report. Each is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.artifacts import (
        Comparison,
        Correction,
        DecisionRule,
        Estimate,
        Evaluation,
        Finding,
        Labels,
        Scores,
        Split,
        Trial,
    )
    from equipoise.audit import audit_loss, audit_sampler, check_model
    from equipoise.comparison import compare, evaluate
    from equipoise.decisions import (
        BalancedAccuracy,
        Budget,
        Cost,
        FBeta,
        MacroF1,
        NetBenefit,
        Precision,
        Recall,
        Rescale,
        TopK,
        tune,
    )
    from equipoise.diagnosis import diagnose, explain
    from equipoise.io import read_labels
    from equipoise.methods import remedy
    from equipoise.report import write_report
    from equipoise.splits import (
        long_tail_split,
        redraw_validation,
        stratified_kfold,
        stratified_split,
    )
    from equipoise.studies import DecisionRuleClassifier, load_study, run_study
    from equipoise.training import Remedy, TrainingOptions, add_sampler, fit

__version__ = "0.1.0"

_HOME = {
    "Labels": "artifacts",
    "read_labels": "io",
    "Finding": "artifacts",
    "diagnose": "diagnosis",
    "explain": "diagnosis",
    "audit_loss": "audit",
    "audit_sampler": "audit",
    "check_model": "audit",
    "Split": "artifacts",
    "stratified_split": "splits",
    "stratified_kfold": "splits",
    "long_tail_split": "splits",
    "redraw_validation": "splits",
    "Remedy": "training",
    "remedy": "methods",
    "add_sampler": "training",
    "TrainingOptions": "training",
    "fit": "training",
    "Trial": "artifacts",
    "Correction": "artifacts",
    "Scores": "artifacts",
    "DecisionRule": "artifacts",
    "FBeta": "decisions",
    "BalancedAccuracy": "decisions",
    "MacroF1": "decisions",
    "Precision": "decisions",
    "Recall": "decisions",
    "Cost": "decisions",
    "NetBenefit": "decisions",
    "Budget": "decisions",
    "TopK": "decisions",
    "Rescale": "decisions",
    "tune": "decisions",
    "DecisionRuleClassifier": "studies",
    "Estimate": "artifacts",
    "Evaluation": "artifacts",
    "evaluate": "comparison",
    "Comparison": "artifacts",
    "compare": "comparison",
    "load_study": "studies",
    "run_study": "studies",
    "write_report": "report",
}

__all__ = [
    "BalancedAccuracy",
    "Budget",
    "Comparison",
    "Correction",
    "Cost",
    "DecisionRule",
    "DecisionRuleClassifier",
    "Estimate",
    "Evaluation",
    "FBeta",
    "Finding",
    "Labels",
    "MacroF1",
    "NetBenefit",
    "Precision",
    "Recall",
    "Remedy",
    "Rescale",
    "Scores",
    "Split",
    "TopK",
    "TrainingOptions",
    "Trial",
    "add_sampler",
    "audit_loss",
    "audit_sampler",
    "check_model",
    "compare",
    "diagnose",
    "evaluate",
    "explain",
    "fit",
    "load_study",
    "long_tail_split",
    "read_labels",
    "redraw_validation",
    "remedy",
    "run_study",
    "stratified_kfold",
    "stratified_split",
    "tune",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise' has no attribute {name!r}")
    return getattr(import_module(f"equipoise.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*_HOME, "__version__"]
