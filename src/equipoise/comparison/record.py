"""The four-column record of one method and seed, as influence values on the test rows.

Columns: how well it ranks; its metric at the default rule (0.5 or argmax); at the rule tuned on
validation; the quality of its probabilities raw, after the formula, after calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.logistic import log_softmax, one_vs_rest
from equipoise.artifacts import DecisionRule, Labels, Scores, Trial
from equipoise.artifacts.scores import default_flags
from equipoise.comparison._influences import class_log_loss, f1, log_loss, ranked
from equipoise.comparison.overlap import check_overlap
from equipoise.decisions import Objective, shift_prior, to_target_prior, tune
from equipoise.decisions.priors import TargetPrior, smoothed_prior
from equipoise.metrics import Influence, balanced_accuracy_influence, macro_influence
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
    """One trial, judged.

    Args:
        seed: Its seed.
        metrics: The record's columns with influence values per test row.
        rule: The rule tuned on its validation scores.
        flagged: (L, 3) share flagged at the default rule, at the tuned rule, share positive.
        recall: (L, 2) recall at the default rule and at the tuned rule.
    """

    seed: int
    metrics: Mapping[str, Influence]
    rule: DecisionRule
    flagged: Floats
    recall: Floats


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
    labels = test.require_labels()
    if labels.kind == "multiclass":
        metrics, before, after = _classes(rule, val, test, labels)
    else:
        metrics, before, after = _labels(rule, val, test, labels)
    hot = labels.one_hot()
    known = hot >= 0
    with np.errstate(invalid="ignore"):
        shares = [(f & known).sum(axis=0) / known.sum(axis=0) for f in (before, after, hot == 1)]
        hits = [(f & (hot == 1)).sum(axis=0) / labels.counts for f in (before, after)]
    return SeedRecord(trial.seed, metrics, rule, np.stack(shares, 1), np.stack(hits, 1))


def _ranking(hot: NDArray[np.int8], scores: Floats) -> dict[str, Influence]:
    parts: dict[str, list[Influence]] = {"macro_ap": [], "macro_auroc": []}
    for truth, score in zip(hot.T, scores.T, strict=True):
        if (truth == 1).any() and (truth == 0).any():
            ranks = rank_positives(truth, score)
            ap, auroc = ranked(truth, ranks, ranks.cells(score))
            parts["macro_ap"].append(ap)
            parts["macro_auroc"].append(auroc)
    return {metric: macro_influence(each, hot.shape[0]) for metric, each in parts.items()}


def _macro(
    metric: Callable[[NDArray[np.int8], NDArray[Any]], Influence],
    hot: NDArray[np.int8],
    values: NDArray[Any],
) -> Influence:
    """Return the mean of a metric over the labels that define it."""
    parts = [metric(*columns) for columns in zip(hot.T, values.T, strict=True)]
    return macro_influence(parts, hot.shape[0])


def _labels(
    rule: DecisionRule, val: Scores, test: Scores, labels: Labels
) -> tuple[dict[str, Influence], NDArray[np.bool_], NDArray[np.bool_]]:
    hot = labels.values
    before = default_flags(test)
    after = rule.apply(test).predictions == 1
    metrics = _ranking(hot, test.values)
    metrics["default"] = _macro(f1, hot, before)
    metrics["tuned"] = _macro(f1, hot, after)
    undefined = Influence(float("nan"), np.zeros(len(test)))
    metrics["log_loss_raw"] = metrics["log_loss_formula"] = undefined
    if test.score_kind != "ranking":
        metrics["log_loss_raw"] = _macro(log_loss, hot, test.logits())
    if test.has_probabilities:
        shift = _prior_to_target(rule, val)
        metrics["log_loss_formula"] = _macro(log_loss, hot, test.log_odds() + shift)
    metrics["log_loss_calibrated"] = _macro(log_loss, hot, rule.log_odds(test))
    return metrics, before, after


def _prior_to_target(rule: DecisionRule, val: Scores) -> Floats:
    """Return the formula's shift from the training prior to the rule's target prior."""
    truth = val.require_labels()
    validation = smoothed_prior(truth.counts, truth.known, truth.kind)
    target = to_target_prior(rule.target_prior, validation, truth.kind)
    source = validation
    if truth.kind == "multiclass" and rule.correction is not None and rule.correction.prior:
        source = np.maximum(np.asarray(rule.correction.prior), 1e-12)
    return shift_prior(source, target, truth.kind)


def _classes(
    rule: DecisionRule, val: Scores, test: Scores, labels: Labels
) -> tuple[dict[str, Influence], NDArray[np.bool_], NDArray[np.bool_]]:
    y, n, width = labels.values, len(labels), labels.num_classes
    calibrated = rule.log_odds(test)
    first, tuned = np.argmax(test.values, axis=1), rule.apply(test).predictions

    metrics = _ranking(labels.one_hot(), one_vs_rest(calibrated))
    metrics["default"] = balanced_accuracy_influence(y, first, width)
    metrics["tuned"] = balanced_accuracy_influence(y, tuned, width)
    undefined = Influence(float("nan"), np.zeros(n))
    metrics["log_loss_raw"] = metrics["log_loss_formula"] = undefined
    if test.score_kind != "ranking":
        metrics["log_loss_raw"] = class_log_loss(y, log_softmax(test.logits()))
    if test.has_probabilities:
        natural = test.log_odds() + _prior_to_target(rule, val)
        metrics["log_loss_formula"] = class_log_loss(y, log_softmax(natural))
    metrics["log_loss_calibrated"] = class_log_loss(y, calibrated)
    classes = np.arange(width)
    return metrics, first[:, None] == classes, tuned[:, None] == classes
