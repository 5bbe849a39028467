"""The checks and what they look at; a check registers itself under its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.codes import CODES
from equipoise.artifacts.comparison import Comparison
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.rule import DecisionRule
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.artifacts.trial import Trial
from equipoise.diagnosis._course import Course
from equipoise.diagnosis.class_table import ClassTable
from equipoise.diagnosis.setup import Setup
from equipoise.labels.statistics import Statistics

Status = Literal["found", "fine", "not made", "muted"]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is there to look at; anything may be None.

    Args:
        statistics: Of the labels, or of counts alone.
        labels: The labels, row by row.
        split: A split of these labels.
        audit: What ``audit_split`` found in it.
        has_features: Whether features were given, so that identical rows can be seen.
        scores: Scores of a model, with their own labels.
        trial: A finished training, with its history.
        course: The history of a training, of the trial or of another framework's log.
        features: Inputs of all rows, to see equal ones.
        image_hashes: (N,) uint64 perceptual hashes of all rows' images.
        setups: How models are, or are to be, trained.
        other: Scores of another run on the same rows as ``scores``.
        new: Scores of rows that decisions are for, without labels.
        rule: A decision rule.
        comparison: Arms side by side.
        trials: Trainings that are to be compared.
        classes: Recall and precision per class of one or more runs.
    """

    statistics: Statistics | None = None
    labels: Labels | None = None
    split: Split | None = None
    audit: tuple[Finding, ...] = ()
    has_features: bool = False
    scores: Scores | None = None
    trial: Trial | None = None
    course: Course | None = None
    features: NDArray[Any] | None = None
    image_hashes: NDArray[np.uint64] | None = None
    setups: tuple[Setup, ...] = ()
    other: Scores | None = None
    new: Scores | None = None
    rule: DecisionRule | None = None
    comparison: Comparison | None = None
    trials: tuple[Trial, ...] = ()
    classes: ClassTable | None = None


Check = Callable[[Facts], Sequence[Finding] | None]
CHECKS: dict[str, Check] = {}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check: "found", "fine", "not made" or "muted".

    Fine is what was looked at without a finding. What could not be made on what is there, or had
    nothing to look at, is not made; ``reason`` says why.
    """

    code: str
    title: str
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""


def check(code: str) -> Callable[[Check], Check]:
    """Register a check; it returns findings, an empty list (fine) or None (not made)."""

    def register(function: Check) -> Check:
        if code not in CODES or code in CHECKS:
            raise KeyError(f"{code} is not in the registry of codes, or has a check already")
        CHECKS[code] = function
        return function

    return register


def finding(code: str, message: str, evidence: dict[str, Any], *suggests: str) -> Finding:
    """Make a finding with the severity and title of its code."""
    return Finding(code, *CODES[code], message, evidence, suggests)
