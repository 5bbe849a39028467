"""Diagnosis: run every check on what is there, and explain what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

from numpy.typing import ArrayLike

from equipoise._core.checks import closest, say
from equipoise._core.codes import CODES
from equipoise.artifacts.finding import SEVERITIES, Finding
from equipoise.artifacts.labels import Kind, Labels
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.artifacts.trial import Trial
from equipoise.diagnosis import (
    balance_checks,
    histories,
    input_checks,
    label_checks,
    score_checks,
    split_checks,
)
from equipoise.diagnosis._registry import CHECKS, CheckResult, Facts
from equipoise.errors import UsageError
from equipoise.labels.counts import Counts, counts_from
from equipoise.labels.statistics import label_statistics
from equipoise.splits.leakage import audit_split

__all__ = ["diagnose", "diagnose_scores", "explain", "run_checks"]

CHECK_MODULES = (
    label_checks,
    balance_checks,
    split_checks,
    histories,
    score_checks,
    input_checks,
)


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
) -> Facts:
    if labels is not None and counts is not None:
        raise UsageError(say("labels and counts", "not be given both", "both"))
    if labels is None and counts is None and scores is None and trial is None:
        what = "be given: labels, counts, scores or a trial, at least one"
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
    return Facts(statistics, labels, split, tuple(audit), features is not None, scores, trial)


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
    ignore: Sequence[str] = (),
) -> list[CheckResult]:
    """Run every check and say what became of each; the arguments are those of :func:`diagnose`.

    Returns:
        One result per check in order of codes: "found", "passed", "not applicable" or "muted".

    Example:
        >>> results = run_checks(counts={"cat": 50, "dog": 50}, kind="multiclass")
        >>> {r.code: r.status for r in results}["EQ104"]
        'passed'
    """
    muted = {_require_code(code) for code in ignore}
    facts = _facts(labels, counts, n_rows, kind, split, scores, features, trial)
    results = []
    for code in sorted(CHECKS):
        title = CODES[code].title
        if code in muted:
            results.append(CheckResult(code, title, "muted"))
            continue
        found = CHECKS[code](facts)
        if found is None:
            results.append(CheckResult(code, title, "not applicable"))
        else:
            results.append(CheckResult(code, title, "found" if found else "passed", tuple(found)))
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
    ignore: Sequence[str] = (),
) -> list[Finding]:
    """Find out what is wrong, or only seems wrong, with labels, a split, scores or a training.

    Use when starting with a data set, or when a model finds nothing (or everything). Prefer
    :func:`run_checks` to see also which checks passed or could not run.

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
