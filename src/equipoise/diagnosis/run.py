"""Diagnosis: run every check on what is there, and explain what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.codes import CODES
from equipoise._core.words import closest, say
from equipoise.artifacts.comparison import Comparison
from equipoise.artifacts.finding import SEVERITIES, Finding
from equipoise.artifacts.labels import Kind, Labels
from equipoise.artifacts.rule import DecisionRule
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.artifacts.trial import Trial
from equipoise.diagnosis import (
    balance_checks,
    course_end,
    histories,
    input_checks,
    label_checks,
    outcome_checks,
    recipe_checks,
    row_checks,
    score_checks,
    setup_checks,
    split_checks,
    study_checks,
    table_checks,
)
from equipoise.diagnosis._course import course_of, read_course
from equipoise.diagnosis._registry import CHECKS, CheckResult, Facts
from equipoise.diagnosis._watch import Watched, lacking
from equipoise.diagnosis.class_table import ClassTable
from equipoise.diagnosis.setup import Setup
from equipoise.errors import EquipoiseError, UsageError
from equipoise.labels.counts import Counts, counts_from
from equipoise.labels.statistics import label_statistics
from equipoise.splits.leakage import audit_split

CHECK_MODULES = (
    label_checks,
    balance_checks,
    row_checks,
    split_checks,
    histories,
    course_end,
    setup_checks,
    recipe_checks,
    table_checks,
    score_checks,
    input_checks,
    outcome_checks,
    study_checks,
)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What :func:`diagnose` can look at beside labels, splits, scores and a trial.

    Args:
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

    Example:
        >>> setup = Setup(lr=1e-4, lr_factor=0.1, epochs=4)
        >>> [f.code for f in diagnose(more=Material(setups=(setup,)))]
        ['EQ308']
    """

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

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) not in (None, ()) for f in fields(self)
                   if f.name != "image_hashes") or self.image_hashes is not None  # fmt: skip


def _require_code(code: str) -> str:
    if code not in CODES:
        raise UsageError(say("code", "be a known finding code", repr(code), closest(code, CODES)))
    return code


def _facts(
    labels: Labels | None,
    counts: Counts | Mapping[str, int] | None,
    n_rows: int | None,
    kind: Kind | None,
    split: Split | None,
    scores: Scores | None,
    features: ArrayLike | None,
    trial: Trial | None,
    more: Material,
) -> Facts:
    if labels is not None and counts is not None:
        raise UsageError(say("labels and counts", "not be given both", "both"))
    if all(x is None for x in (labels, counts, scores, trial)) and not more:
        what = "be given: labels, counts, scores, a trial or other material, at least one"
        raise UsageError(say("something to diagnose", what, "nothing"))
    if labels is None and split is not None:
        raise UsageError(say("labels", "be given with a split", None, "Pass the labels it splits."))
    source = labels if labels is not None else counts
    statistics = None
    if source is not None:
        statistics = label_statistics(
            source if isinstance(source, Labels) else counts_from(source, n_rows=n_rows, kind=kind)
        )
    audit: list[Finding] = []
    if split is not None and labels is not None:
        audit = audit_split(split, labels, features=features)
    if scores is None and trial is not None:
        scores = trial.scores.get("val")
    course = course_of(trial) if trial is not None else None
    if course is None and more.history:
        course = read_course(more.history, more.label_history, None, None, None)
    return Facts(
        statistics=statistics,
        labels=labels,
        split=split,
        audit=tuple(audit),
        has_features=features is not None,
        scores=scores,
        trial=trial,
        course=course,
        features=None if features is None else np.asarray(features),
        image_hashes=more.image_hashes,
        setups=more.setups,
        other=more.other,
        new=more.new,
        rule=more.rule,
        comparison=more.comparison,
        trials=more.trials,
        classes=more.classes,
    )


def run_checks(
    labels: Labels | None = None,
    *,
    counts: Counts | Mapping[str, int] | None = None,
    n_rows: int | None = None,
    kind: Kind | None = None,
    split: Split | None = None,
    scores: Scores | None = None,
    features: ArrayLike | None = None,
    trial: Trial | None = None,
    more: Material | None = None,
    ignore: Sequence[str] = (),
) -> list[CheckResult]:
    """Run every check and say what became of each; the arguments are those of :func:`diagnose`.

    Returns:
        One result per check in order of codes: "found", "fine", "not made" (the reason goes with
        it) or "muted". Only what was looked at is called fine.

    Example:
        >>> results = run_checks(counts={"cat": 50, "dog": 50}, kind="multiclass")
        >>> {r.code: r.status for r in results}["EQ104"]
        'fine'
    """
    muted = {_require_code(code) for code in ignore}
    facts = _facts(labels, counts, n_rows, kind, split, scores, features, trial, more or Material())
    results = []
    for code in sorted(CHECKS):
        title = CODES[code].title
        if code in muted:
            results.append(CheckResult(code, title, "muted"))
            continue
        watched = Watched(facts)
        try:
            found = CHECKS[code](cast(Facts, watched))
        except EquipoiseError as error:
            results.append(CheckResult(code, title, "not made", reason=str(error)))
            continue
        if found:
            results.append(CheckResult(code, title, "found", tuple(found)))
            continue
        why = lacking(watched, found is not None)
        results.append(CheckResult(code, title, "fine" if why is None else "not made",
                                   reason=why or ""))  # fmt: skip
    return results


def diagnose(
    labels: Labels | None = None,
    *,
    counts: Counts | Mapping[str, int] | None = None,
    n_rows: int | None = None,
    kind: Kind | None = None,
    split: Split | None = None,
    scores: Scores | None = None,
    features: ArrayLike | None = None,
    trial: Trial | None = None,
    more: Material | None = None,
    ignore: Sequence[str] = (),
) -> list[Finding]:
    """Find out what is wrong, or only seems wrong, with labels, a split, scores or a training.

    Use when starting with a data set, or when a model finds nothing (or everything). Prefer
    :func:`run_checks` to see also which checks were fine and which could not be made.

    Args:
        labels: The labels, row by row.
        counts: Or their counts alone: name -> positives.
        n_rows: Number of rows behind ``counts``; None if only occurrences were counted.
        kind: Of ``counts``: "multilabel" (default) or "multiclass".
        split: A split of ``labels``, from anywhere.
        scores: Scores of a model, with labels where there are any.
        features: (N, ...) inputs of all rows, to see identical rows across the split.
        trial: A finished training, for its history (EQ308 to EQ311); its validation scores are
            looked at too where ``scores`` are not given.
        more: Set-ups, logs of other frameworks, another run's scores, a rule, a comparison.
        ignore: Codes to leave out.

    Returns:
        Findings, errors first, then by code.

    Raises:
        UsageError: nothing to look at, labels and counts both, an unknown code to ignore.

    Example:
        >>> counts = {"A": 19000, "B": 65000, "C": 38000, "D": 105000}
        >>> [f.code for f in diagnose(counts=counts, n_rows=224000)]
        ['EQ104', 'EQ105', 'EQ106']
    """
    results = run_checks(
        labels,
        counts=counts,
        n_rows=n_rows,
        kind=kind,
        split=split,
        scores=scores,
        features=features,
        trial=trial,
        more=more,
        ignore=ignore,
    )
    found = [item for result in results for item in result.findings]
    return sorted(found, key=lambda item: (-SEVERITIES.index(item.severity), item.code))


def diagnose_scores(values: ArrayLike, *, score_kind: str, kind: Kind) -> list[Finding]:
    """Find out what is wrong with an array that :class:`Scores` refuses to wrap.

    Args:
        values: (N,) or (N, C), any numbers.
        score_kind: As declared: "logits", "probabilities" or "ranking".
        kind: "multiclass" or "multilabel".

    Example:
        >>> values = [[0.2, float("nan")], [0.4, 3.0]]
        >>> found = diagnose_scores(values, score_kind="logits", kind="multilabel")
        >>> [f.code for f in found]
        ['EQ405']
    """
    return diagnose(scores=input_checks.wrap_unchecked(values, score_kind, kind))


def explain(code: str) -> str:
    """Return the page of a finding code, in Markdown.

    Example:
        >>> explain("EQ101").splitlines()[0]
        '# EQ101: Labels that cannot be learned'
    """
    page = files("equipoise.diagnosis").joinpath("pages", f"{_require_code(code)}.md")
    return page.read_text(encoding="utf-8")
