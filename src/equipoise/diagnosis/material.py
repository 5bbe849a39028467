"""The material of a diagnosis: the one record of what is known, given and derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.messages import say
from equipoise.artifacts.comparison import Comparison
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Kind, Labels, require_labels
from equipoise.artifacts.rule import DecisionRule
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.artifacts.trial import Trial
from equipoise.diagnosis.class_table import ClassTable
from equipoise.diagnosis.course import Course, course_of, read_course
from equipoise.diagnosis.setup import BALANCED, Setup
from equipoise.errors import UsageError
from equipoise.labels.counts import Counts, counts_from
from equipoise.labels.statistics import Statistics, label_statistics
from equipoise.splits.leakage import audit_split

# They say how to read the rest, and are nothing to look at by themselves.
_ASIDE = ("n_rows", "kind", "split", "features", "columns", "ids")


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a diagnosis can look at; anything may be left out.

    Args:
        labels: The labels, row by row.
        counts: Or their counts alone: name -> positives.
        n_rows: Number of rows behind ``counts``; None if only occurrences were counted.
        kind: Of ``counts``: "multilabel" (default) or "multiclass".
        split: A split of ``labels``, from anywhere.
        scores: Scores of a model, with labels where there are any; the validation scores of
            ``trial`` if None.
        features: (N, ...) inputs of all rows, to see identical rows across the split.
        columns: Name -> (N,) numbers of the columns of a table; see EQ117.
        ids: Name -> (N,) places of rows in the order of ids, which are no features.
        trial: A finished training, with its history.
        setups: How models are, or are to be, trained; see :func:`read_setup`.
        history: One mapping per epoch of any framework's log: "loss", "val_loss", "val_metric",
            "lr".
        label_history: One mapping per epoch and label: "epoch", "label", "recall".
        other: Scores of another run on the same rows as ``scores``.
        new: Scores of the rows that decisions are for.
        rule: A decision rule.
        comparison: Arms side by side.
        trials: Trainings that are to be compared.
        classes: Recall and precision per class of one or more runs.
        image_hashes: (N,) uint64, of :func:`equipoise.data.image_hashes`, for all rows of a split.

    Attributes:
        statistics: Of the labels or counts.
        audit: What :func:`audit_split` found in the split.
        has_features: Whether identical rows can be seen.
        course: The history of the trial, or else of another framework's log.

    Raises:
        UsageError: labels and counts both, or a split without the labels that it splits.

    Example:
        >>> setup = Setup(lr=1e-4, lr_factor=0.1, epochs=4)
        >>> material = Material(counts={"A": 10, "B": 90}, n_rows=200, setups=(setup,))
        >>> material.statistics.imbalance_ratio
        9.0
    """

    labels: Labels | None = None
    counts: Counts | Mapping[str, int] | None = None
    n_rows: int | None = None
    kind: Kind | None = None
    split: Split | None = None
    scores: Scores | None = None
    features: ArrayLike | None = None
    columns: dict[str, NDArray[np.floating]] = field(default_factory=dict)
    ids: dict[str, NDArray[np.floating]] = field(default_factory=dict)
    trial: Trial | None = None
    setups: tuple[Setup, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    label_history: tuple[Mapping[str, Any], ...] = ()
    other: Scores | None = None
    new: Scores | None = None
    rule: DecisionRule | None = None
    comparison: Comparison | None = None
    trials: tuple[Trial, ...] = ()
    classes: ClassTable | None = None
    image_hashes: NDArray[np.uint64] | None = None
    statistics: Statistics | None = field(init=False, default=None)
    audit: tuple[Finding, ...] = field(init=False, default=())
    has_features: bool = field(init=False, default=False)
    course: Course | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.labels is not None:
            require_labels("labels", self.labels)
        if self.labels is not None and self.counts is not None:
            raise UsageError(say("labels and counts", "not be given both", "both"))
        if self.labels is None and self.split is not None:
            do = "Pass the labels it splits."
            raise UsageError(say("labels", "be given with a split", None, do))
        # What is derived is made here and not in the checks: material that contradicts itself is
        # an error, and no check that cannot be made.
        derived: dict[str, Any] = {"has_features": self.features is not None}
        if self.features is not None:
            derived["features"] = np.asarray(self.features)
        if self.labels is not None:
            derived["statistics"] = label_statistics(self.labels)
            if self.split is not None:
                derived["audit"] = tuple(
                    audit_split(self.split, self.labels, features=self.features)
                )
        elif self.counts is not None:
            counts = counts_from(self.counts, n_rows=self.n_rows, kind=self.kind)
            derived["statistics"] = label_statistics(counts)
        derived["setups"] = tuple(_in_numbers(s, derived.get("statistics")) for s in self.setups)
        if self.trial is not None:
            derived["course"] = course_of(self.trial)
            if self.scores is None:
                derived["scores"] = self.trial.scores.get("val")
        elif self.history:
            derived["course"] = read_course(self.history, self.label_history, None, None, None)
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        shown = (f.name for f in fields(self) if f.init and f.name not in _ASIDE)
        given = (getattr(self, name) for name in shown)
        return any(v is not None and not (isinstance(v, tuple) and not v) for v in given)


def _in_numbers(setup: Setup, statistics: Statistics | None) -> Setup:
    """Return a set-up whose class weights are numbers where it says "balanced"."""
    if statistics is None or setup.class_weight != BALANCED:
        return setup
    counts = {n: int(p) for n, p in zip(statistics.names, statistics.positives, strict=True) if p}
    total = sum(counts.values())
    return replace(setup, class_weight={n: total / (len(counts) * p) for n, p in counts.items()})
