"""The nouns of the line: frozen records that read and write themselves in open formats."""

from equipoise.artifacts.calibrator import Calibrator
from equipoise.artifacts.comparison import ArmRecord, Comparison, Gain
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.estimate import Estimate
from equipoise.artifacts.evaluation import Evaluation
from equipoise.artifacts.evidence import Evidence
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.artifacts.row_marks import RowMarks
from equipoise.artifacts.rule import DecisionRule, Decisions
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.artifacts.trial import Trial

__all__ = [
    "UNKNOWN",
    "ArmRecord",
    "Calibrator",
    "Comparison",
    "Correction",
    "DecisionRule",
    "Decisions",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Finding",
    "Gain",
    "Labels",
    "Resampled",
    "RowMarks",
    "Scores",
    "Split",
    "TrainingRows",
    "Trial",
]
