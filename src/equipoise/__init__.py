"""Equipoise: find out whether class imbalance hurts, treat it, ship calibrated decisions.

The names stand in the order of the line: labels, diagnosis, split, train with a remedy, scores,
decision, evaluation, comparison, report. Each is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.artifacts import (
        Comparison as Comparison,
        Correction as Correction,
        DecisionRule as DecisionRule,
        Estimate as Estimate,
        Evaluation as Evaluation,
        Finding as Finding,
        Labels as Labels,
        Scores as Scores,
        Split as Split,
        Trial as Trial,
    )
    from equipoise.audit import (
        audit_loss as audit_loss,
        audit_sampler as audit_sampler,
        check_model as check_model,
    )
    from equipoise.boosting import (
        load as load,
    )
    from equipoise.comparison import (
        compare as compare,
        evaluate as evaluate,
        evaluate_dense as evaluate_dense,
    )
    from equipoise.decisions import (
        BalancedAccuracy as BalancedAccuracy,
        Budget as Budget,
        Cost as Cost,
        FBeta as FBeta,
        MacroF1 as MacroF1,
        NetBenefit as NetBenefit,
        Precision as Precision,
        Recall as Recall,
        Rescale as Rescale,
        TopK as TopK,
        tune as tune,
    )
    from equipoise.diagnosis import (
        diagnose as diagnose,
        explain as explain,
    )
    from equipoise.io import (
        read_labels as read_labels,
    )
    from equipoise.methods import (
        remedy as remedy,
    )
    from equipoise.report import (
        ComparisonDisplay as ComparisonDisplay,
        ConfusionDisplay as ConfusionDisplay,
        PrecisionRecallDisplay as PrecisionRecallDisplay,
        ReliabilityDisplay as ReliabilityDisplay,
        ThresholdDisplay as ThresholdDisplay,
        write_report as write_report,
    )
    from equipoise.splits import (
        long_tail_split as long_tail_split,
        redraw_validation as redraw_validation,
        stratified_kfold as stratified_kfold,
        stratified_split as stratified_split,
    )
    from equipoise.studies import (
        DecisionRuleClassifier as DecisionRuleClassifier,
        load_study as load_study,
        refit as refit,
        run_study as run_study,
    )
    from equipoise.training import (
        Remedy as Remedy,
        TrainingOptions as TrainingOptions,
        add_sampler as add_sampler,
        fit as fit,
    )

__version__ = "0.2.0"

_HOME = {
    "artifacts": (
        "Comparison Correction DecisionRule Estimate Evaluation Finding Labels Scores Split Trial"
    ),
    "audit": "audit_loss audit_sampler check_model",
    "boosting": "load",
    "comparison": "compare evaluate evaluate_dense",
    "decisions": (
        "BalancedAccuracy Budget Cost FBeta MacroF1 NetBenefit Precision Recall Rescale TopK tune"
    ),
    "diagnosis": "diagnose explain",
    "io": "read_labels",
    "methods": "remedy",
    "report": (
        "ComparisonDisplay ConfusionDisplay PrecisionRecallDisplay ReliabilityDisplay "
        "ThresholdDisplay write_report"
    ),
    "splits": "long_tail_split redraw_validation stratified_kfold stratified_split",
    "studies": "DecisionRuleClassifier load_study refit run_study",
    "training": "Remedy TrainingOptions add_sampler fit",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
