"""The four-column record of one method and seed, as influence values on the tested rows.

Columns: how well it ranks; its metric at the default rule (0.5 or argmax); at the rule tuned on
validation; the quality of its probabilities raw, after the formula, after calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.logistic import log_softmax, one_vs_rest
from equipoise.artifacts import DecisionRule, Labels, Scores, Trial
from equipoise.artifacts.calibrator import Calibrator
from equipoise.artifacts.row_marks import RowMarks
from equipoise.artifacts.scores import SplitName, default_flags
from equipoise.comparison._influences import class_log_loss, f1, log_loss, ranked
from equipoise.comparison.overlap import check_overlap
from equipoise.decisions import Objective, shift_prior, to_target_prior, tune
from equipoise.decisions.priors import TargetPrior, smoothed_prior
from equipoise.decisions.tune import make_rule
from equipoise.metrics import (
    Influence,
    balanced_accuracy_influence,
    macro_influence,
    mean_over_folds,
)
from equipoise.metrics.ranks import rank_positives

METRICS = (
    "macro_ap",
    "macro_auroc",
    "default",
    "tuned",
    "log_loss_raw",
    "log_loss_formula",
    "log_loss_calibrated",
)


@dataclass(frozen=True, slots=True, eq=False)
class SeedRecord:
    """One seed of a method, judged.

    Args:
        seed: Its seed.
        metrics: The record's columns with influence values per tested row.
        rule: The rule tuned on its validation scores; of cross-fitted trials one that decides
            ``judged`` as the rules of the folds decide theirs.
        flagged: (L, 3) share flagged at the default rule, at the tuned rule, share positive.
        recall: (L, 2) recall at the default rule and at the tuned rule.
        judged: The tested rows, as ``rule`` takes them.
    """

    seed: int
    metrics: Mapping[str, Influence]
    rule: DecisionRule
    flagged: Floats
    recall: Floats
    judged: Scores


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Rows that one model tested, and the rule that was made without them.

    Args:
        at: (M,) their places among all tested rows.
        test: What the model says of them.
        rule: Tuned on other rows.
        judged: The same rows as the rule takes them.
        tuned_on: What it was tuned on.
    """

    at: Ints
    test: Scores
    rule: DecisionRule
    judged: Scores
    tuned_on: Scores


def seed_record(
    trial: Trial, *, objective: str | Objective | None, target_prior: TargetPrior
) -> SeedRecord:
    """Tune on the trial's validation scores and judge on its test scores.

    Args:
        trial: With "val" and "test" scores.
        objective: What the tuner maximises; see :func:`equipoise.tune`.
        target_prior: What the decisions are for; see :func:`equipoise.tune`.

    Raises:
        LeakageError: a test row is among the validation rows.
    """
    val = trial.scores["val"]
    rule = tune(val, objective=objective, target_prior=target_prior, seed=trial.seed)
    test = rule.align(trial.scores["test"])
    check_overlap(rule, test)
    part = _Part(np.arange(len(test)), test, rule, test, val)
    return _judged(trial.seed, [part], test.require_labels(), rule, test)


def crossed_record(
    trials: Sequence[Trial],
    ids: NDArray[Any],
    *,
    objective: str | Objective | None,
    target_prior: TargetPrior,
) -> SeedRecord:
    """Judge one seed of a method whose folds together test every row.

    Ranking is averaged within folds, since outputs of different models are on different scales;
    counts are pooled. The rule of a fold is tuned on what the other folds' models say of their own
    test rows, none of which they have seen.

    Args:
        trials: One per fold, with "test" scores that have ids.
        ids: (N,) of all rows, in the order of the influence values.
        objective: See :func:`seed_record`.
        target_prior: See :func:`seed_record`.
    """
    tests = [trial.scores["test"] for trial in trials]
    natural = [_natural(test) for test in tests]
    places, parts = _places(tests, ids), []
    for k, (test, at) in enumerate(zip(tests, places, strict=True)):
        rest = _joined([natural[i] for i in range(len(tests)) if i != k], "oof")
        # Rows of other folds: nothing is to be looked for, so they need no hashes.
        rule = make_rule(rest, objective=objective, target_prior=target_prior, seed=trials[k].seed)
        parts.append(_Part(at, test, rule, natural[k], rest))
    rule, judged = _as_one(parts)
    back = np.argsort(np.concatenate([part.at for part in parts]))
    judged = judged[back]
    return _judged(trials[0].seed, parts, judged.require_labels(), rule, judged)


def crossed_ranking(trials: Sequence[Trial], ids: NDArray[Any]) -> dict[str, Influence]:
    """Return macro AP and AUROC of several labels as :func:`crossed_record` does: no rule is made.

    Args:
        trials: See :func:`crossed_record`.
        ids: See :func:`crossed_record`.
    """
    tests = [trial.scores["test"] for trial in trials]
    places = _places(tests, ids)
    joined = _joined(tests, "test")[np.argsort(np.concatenate(places))].require_labels()
    scores = (test.values for test in tests)
    return _ranking(zip(places, scores, strict=True), joined)


def _places(tests: Sequence[Scores], ids: NDArray[Any]) -> list[Ints]:
    """Return where the rows of each fold stand among all."""
    ids = np.asarray(ids).astype(str)  # as scores hold them
    order = np.argsort(ids)
    return [order[np.searchsorted(ids, np.asarray(test.ids), sorter=order)] for test in tests]


def pool_folds(trials: Sequence[Trial]) -> Scores:
    """Return what the models of all folds say of their own test rows, as one "oof" set.

    Args:
        trials: The folds of one seed, with "test" scores that have ids.
    """
    return _joined([_natural(trial.scores["test"]) for trial in trials], "oof")


def pooled_rule(
    trials: Sequence[Trial], *, objective: str | Objective | None, target_prior: TargetPrior
) -> tuple[DecisionRule, Scores]:
    """Return one rule that decides the tested rows of all folds as the rules of the folds do.

    Args:
        trials: The folds of one seed.
        objective: See :func:`seed_record`.
        target_prior: See :func:`seed_record`.
    """
    ids = np.concatenate([np.asarray(trial.scores["test"].ids) for trial in trials])
    record = crossed_record(
        trials, np.sort(ids), objective=objective, target_prior=target_prior
    )  # fmt: skip
    return record.rule, record.judged


def _natural(test: Scores) -> Scores:
    """Return scores on a scale that the models of all folds share, as far as there is one."""
    known = test.has_probabilities
    return Scores.from_arrays(
        test.require_labels(),
        logits=test.log_odds() if known else None,
        ranking=None if known else test.values,
        split="test",
        ids=test.ids,
        check_kind=False,
    )


def _joined(parts: Sequence[Scores], split: SplitName) -> Scores:
    """Return scores of several models as one; labels of all rows in that order."""
    labels = [part.require_labels() for part in parts]
    groups = [held.groups for held in labels if held.groups is not None]
    weights = [held.weights for held in labels if held.weights is not None]
    ids = np.concatenate([np.asarray(part.ids) for part in parts])
    joined = Labels.from_array(
        np.concatenate([held.values for held in labels]),
        kind=labels[0].kind,
        names=labels[0].names,
        ids=ids,
        groups=np.concatenate(groups) if len(groups) == len(labels) else None,
        weights=np.concatenate(weights) if len(weights) == len(labels) else None,
    )
    values = np.concatenate([part.values for part in parts])
    return replace(parts[0], values=values, labels=joined, ids=joined.ids, split=split)


def _as_one(parts: Sequence[_Part]) -> tuple[DecisionRule, Scores]:
    """Return calibrated scores of all folds and a rule that decides each as its own fold's does.

    Cuts of the folds differ: each fold's log-odds are moved so that its cut falls on their mean.
    """
    rules = [part.rule for part in parts]
    kind, names = rules[0].kind, rules[0].names
    cuts = [r.thresholds if kind == "multilabel" else r.class_offset for r in rules]
    given = [np.zeros(len(names)) if cut is None else np.asarray(cut) for cut in cuts]
    # A cut that flags nothing, or everything, is at an end of the scale and stays there.
    finite = [np.clip(cut, -_FAR, _FAR) for cut in given]
    if rules[0].choice is not None:  # it chooses among labels or by costs, and moves by no cut
        finite = [np.zeros(len(names)) for _ in rules]
    middle = np.mean(finite, axis=0)
    moved = [
        Scores.from_arrays(
            part.judged.require_labels(),
            logits=part.rule.log_odds(part.judged)
            + (middle - cut if kind == "multilabel" else cut - middle),
            split="test",
            ids=part.judged.ids,
            check_kind=False,
        )
        for part, cut in zip(parts, finite, strict=True)
    ]
    rule = replace(
        rules[0],
        correction=None,
        calibrator=Calibrator.identity(len(names)),
        prior_shift=np.zeros(len(names)),
        thresholds=middle if kind == "multilabel" else None,
        class_offset=None if kind == "multilabel" else middle,
        tuned_on={**rules[0].tuned_on, "score_kind": "logits", "fingerprint": "cross-fitted"},
        rows=RowMarks(),
        evidence=None,
        threshold_low=np.array([]),
        threshold_high=np.array([]),
    )
    return rule, _joined(moved, "test")


_FAR = 30.0


def _judged(
    seed: int, parts: Sequence[_Part], labels: Labels, rule: DecisionRule, judged: Scores
) -> SeedRecord:
    """Return the record of one seed from the rows that each model tested."""
    n, width = len(labels), labels.num_classes
    if labels.kind == "multiclass":
        metrics, first, tuned = _classes(parts, labels)
        classes = np.arange(width)
        before, after = first[:, None] == classes, tuned[:, None] == classes
    else:
        metrics, before, after = _labels(parts, labels)
    mass = np.ones(n) if labels.weights is None else labels.weights / labels.weights.mean()
    undefined = Influence(float("nan"), np.zeros(n))
    for name in METRICS:
        metrics.setdefault(name, undefined)
    hot = labels.one_hot()
    known = hot >= 0
    with np.errstate(invalid="ignore"):
        shares = [(mass @ (f & known)) / (mass @ known) for f in (before, after, hot == 1)]
        hits = [(mass @ (f & (hot == 1))) / (mass @ (hot == 1)) for f in (before, after)]
    return SeedRecord(seed, metrics, rule, np.stack(shares, 1), np.stack(hits, 1), judged)


def _gathered(parts: Sequence[_Part], of: Callable[[_Part], NDArray[Any]]) -> NDArray[Any]:
    """Return what holds of each row, from the part that tested it."""
    found = [np.asarray(of(part)) for part in parts]
    if len(parts) == 1:
        return found[0]
    out = np.empty((sum(len(part.at) for part in parts), *found[0].shape[1:]), found[0].dtype)
    for part, values in zip(parts, found, strict=True):
        out[part.at] = values
    return out


def _ranking(parts: Iterable[tuple[Ints, Floats]], labels: Labels) -> dict[str, Influence]:
    """Return macro AP and AUROC, of each label the mean over the parts that can rank it.

    Args:
        parts: Places of rows that one model tested, and its scores of them.
        labels: Of all rows.
    """
    hot, weight, n = labels.one_hot(), labels.weights, len(labels)
    by_column: dict[str, dict[int, list[tuple[Ints, Influence]]]]
    by_column = {"macro_ap": {}, "macro_auroc": {}}
    codes = None if labels.groups is None else np.unique(labels.groups, return_inverse=True)[1]
    for at, scores in parts:
        for column in range(hot.shape[1]):
            truth, score = hot[at, column], scores[:, column]
            if not (truth == 1).any() or not (truth == 0).any():
                continue
            own = None if weight is None else weight[at]
            ranks = rank_positives(truth, score, own)
            both = ranked(truth, ranks, ranks.cells(score), own)
            for metric, found in zip(by_column, both, strict=True):
                by_column[metric].setdefault(column, []).append((at, found))
    return {
        metric: macro_influence(
            [mean_over_folds(each, hot[:, column] == 1, codes) for column, each in by.items()], n
        )
        for metric, by in by_column.items()
    }


def _macro(
    metric: Callable[[NDArray[np.int8], NDArray[Any], Floats | None], Influence],
    labels: Labels,
    values: NDArray[Any],
) -> Influence:
    """Return the mean of a metric over the labels that define it."""
    hot = labels.values
    parts = [metric(*columns, labels.weights) for columns in zip(hot.T, values.T, strict=True)]
    return macro_influence(parts, hot.shape[0])


def _labels(
    parts: Sequence[_Part], labels: Labels
) -> tuple[dict[str, Influence], NDArray[np.bool_], NDArray[np.bool_]]:
    first = parts[0].test
    before = _gathered(parts, lambda part: default_flags(part.test))
    after = _gathered(parts, lambda part: part.rule.apply(part.judged).predictions == 1)
    metrics = _ranking([(part.at, part.test.values) for part in parts], labels)
    metrics["default"] = _macro(f1, labels, before)
    metrics["tuned"] = _macro(f1, labels, after)
    if first.score_kind != "ranking":
        raw = _gathered(parts, lambda part: part.test.logits())
        metrics["log_loss_raw"] = _macro(log_loss, labels, raw)
    if first.has_probabilities:
        metrics["log_loss_formula"] = _macro(log_loss, labels, _gathered(parts, _formula))
    calibrated = _gathered(parts, lambda part: part.rule.log_odds(part.judged))
    metrics["log_loss_calibrated"] = _macro(log_loss, labels, calibrated)
    return metrics, before, after


def _formula(part: _Part) -> Floats:
    """Return log-odds after the formula, for the rule's target prior."""
    return part.judged.log_odds() + _prior_to_target(part.rule, part.tuned_on)


def _prior_to_target(rule: DecisionRule, val: Scores) -> Floats:
    """Return the formula's shift from the training prior to the rule's target prior."""
    truth = val.require_labels()
    validation = smoothed_prior(*truth.weighed, truth.kind)
    target = to_target_prior(rule.target_prior, validation, truth.kind)
    source = validation
    if truth.kind == "multiclass" and rule.correction is not None and rule.correction.prior:
        source = np.maximum(np.asarray(rule.correction.prior), 1e-12)
    return shift_prior(source, target, truth.kind)


def _classes(
    parts: Sequence[_Part], labels: Labels
) -> tuple[dict[str, Influence], NDArray[np.int64], NDArray[np.int64]]:
    y, width, test, weight = labels.values, labels.num_classes, parts[0].test, labels.weights
    calibrated = _gathered(parts, lambda part: part.rule.log_odds(part.judged))
    first = _gathered(parts, lambda part: np.argmax(part.test.values, axis=1))
    tuned = _gathered(parts, lambda part: part.rule.apply(part.judged).predictions)
    odds = one_vs_rest(calibrated)
    metrics = _ranking([(part.at, odds[part.at]) for part in parts], labels)
    metrics["default"] = balanced_accuracy_influence(y, first, width, weight)
    metrics["tuned"] = balanced_accuracy_influence(y, tuned, width, weight)
    if test.score_kind != "ranking":
        raw = _gathered(parts, lambda part: log_softmax(part.test.logits()))
        metrics["log_loss_raw"] = class_log_loss(y, raw, weight)
    if test.has_probabilities:
        natural = _gathered(parts, lambda part: log_softmax(_formula(part)))
        metrics["log_loss_formula"] = class_log_loss(y, natural, weight)
    metrics["log_loss_calibrated"] = class_log_loss(y, calibrated, weight)
    return metrics, first, tuned
