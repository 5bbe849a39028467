"""Diagnosis: run every check on what is there, and explain what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any, cast

from numpy.typing import ArrayLike

from equipoise._core.codes import CODES
from equipoise._core.messages import closest, say
from equipoise.artifacts.finding import Finding, Findings, in_order
from equipoise.artifacts.labels import Kind, Labels
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.artifacts.trial import Trial
from equipoise.diagnosis import (
    balance_checks,
    column_checks,
    histories,
    label_checks,
    outcome_checks,
    recipe_checks,
    row_checks,
    score_checks,
    setup_checks,
    split_checks,
    table_checks,
)
from equipoise.diagnosis._registry import CHECKS, CheckResult, Watched, lacking
from equipoise.diagnosis.material import Material
from equipoise.errors import EquipoiseError, UsageError
from equipoise.labels.counts import Counts

CHECK_MODULES = (
    label_checks,
    balance_checks,
    column_checks,
    row_checks,
    split_checks,
    histories,
    setup_checks,
    recipe_checks,
    table_checks,
    score_checks,
    outcome_checks,
)


def _require_code(code: str) -> str:
    if code not in CODES:
        raise UsageError(say("code", "be a known finding code", repr(code), closest(code, CODES)))
    return code


def run_checks(material: Material, *, ignore: Sequence[str] = ()) -> list[CheckResult]:
    """Run every check and say what became of each.

    Use to see what was fine and what could not be made, as a report needs it; :func:`diagnose`
    returns the findings alone.

    Args:
        material: What is known.
        ignore: Codes to leave out.

    Returns:
        One result per check in order of codes: "found", "fine", "not made" (the reason goes with
        it) or "muted". Only what was looked at is called fine.

    Raises:
        UsageError: nothing to look at, or an unknown code to ignore.

    Example:
        >>> results = run_checks(Material(counts={"cat": 50, "dog": 50}, kind="multiclass"))
        >>> {r.code: r.status for r in results}["EQ104"]
        'fine'
    """
    if not material:
        what = "be given: labels, counts, scores, a trial or other material, at least one"
        raise UsageError(say("something to diagnose", what, "nothing"))
    muted = {_require_code(code) for code in ignore}
    results = []
    for code in sorted(CHECKS):
        title = CODES[code].title
        if code in muted:
            results.append(CheckResult(code, title, "muted"))
            continue
        watched = Watched(material)
        try:
            found = CHECKS[code](cast(Material, watched))
        except EquipoiseError as error:
            results.append(CheckResult(code, title, "not made", reason=str(error)))
            continue
        if found:
            results.append(CheckResult(code, title, "found", tuple(found)))
            continue
        why = lacking(watched, found is not None)
        results.append(CheckResult(code, title, "fine" if why is None else "not made",
                                   reason=why or "", applicable=why is None))  # fmt: skip
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
) -> Findings:
    """Find out what is wrong, or only seems wrong, with labels, a split, scores or a training.

    Use when starting with a data set, or when a model finds nothing (or everything). Prefer
    :func:`run_checks` to see also which checks were fine and which could not be made. The arguments
    that most diagnoses need have names here; :class:`Material` holds them all.

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
        more: The rest of what is known: set-ups, logs of other frameworks, another run's scores, a
            rule, a comparison.
        ignore: Codes to leave out.

    Returns:
        Findings, a list that prints: errors first, then what was asked: set-ups and trainings
        before labels.

    Raises:
        UsageError: nothing to look at, labels and counts both, a split without labels, an unknown
            code to ignore.

    Example:
        >>> counts = {"A": 19000, "B": 65000, "C": 38000, "D": 105000}
        >>> [f.code for f in diagnose(counts=counts, n_rows=224000)]
        ['EQ106', 'EQ104', 'EQ105']
    """
    given = {
        "labels": labels,
        "counts": counts,
        "n_rows": n_rows,
        "kind": kind,
        "split": split,
        "scores": scores,
        "features": features,
        "trial": trial,
    }
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    material = Material(**known) if more is None else replace(more, **known)
    results = run_checks(material, ignore=ignore)
    return Findings(in_order(item for result in results for item in result.findings))


def diagnose_scores(values: ArrayLike, *, score_kind: str, kind: Kind) -> list[Finding]:
    """Find out what is wrong with an array that :class:`Scores` refuses to wrap.

    Use where ``Scores.from_arrays`` raises and only says that something is wrong; what it wraps
    goes to :func:`diagnose`.

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
    return diagnose(scores=score_checks.wrap_unchecked(values, score_kind, kind))


def explain(code: str) -> str:
    """Return the page of a finding code, in Markdown.

    Example:
        >>> explain("EQ101").splitlines()[0]
        '# EQ101: Labels that cannot be learned'
    """
    page = files("equipoise.diagnosis").joinpath("pages", f"{_require_code(code)}.md")
    return page.read_text(encoding="utf-8")
