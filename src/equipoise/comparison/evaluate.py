"""From a decision rule and test scores to estimates with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_shape, to_array, to_fraction
from equipoise._core.logistic import one_vs_rest
from equipoise.artifacts import DecisionRule, Estimate, Evaluation, Labels, Scores
from equipoise.comparison._judge import Judge, label_row, probability_row
from equipoise.comparison.overlap import check_overlap
from equipoise.labels.groups import frequency_groups
from equipoise.metrics import (
    Influence,
    balanced_accuracy_influence,
    macro_influence,
    ratio_influence,
)

__all__ = ["evaluate"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def evaluate(
    rule: DecisionRule,
    scores: Scores,
    *,
    confidence_level: float = 0.95,
    train_counts: ArrayLike | None = None,
) -> Evaluation:
    """Judge a model and its rule on rows that neither has seen.

    Args:
        rule: From :func:`equipoise.tune`.
        scores: With labels, of split "test" (or "new" with labels).
        confidence_level: Nominal coverage of the intervals.
        train_counts: (C,) training rows per class or positives per label; gives macro averages
            of the head, medium and tail group. None leaves the groups out.

    Returns:
        Per label: prevalence, ap, auroc, precision, recall, f1, flagged, log_loss, brier. Overall:
        macro over evaluable labels, micro (labels) or accuracy, balanced accuracy and log loss
        (classes). A label without positives or without negatives is NaN with its reason.

    Raises:
        LeakageError: the rows are not test rows, or overlap with those the rule was tuned on.
        DataError: no labels, or scores of another kind or other columns than the rule's.
        ShapeError: ``train_counts`` is not (C,).

    Example:
        >>> from equipoise.artifacts import Labels
        >>> from equipoise.decisions import tune
        >>> def scores(seed, part):
        ...     rng = np.random.default_rng(seed)
        ...     y = (rng.random(400) < 0.3).astype(int)
        ...     labels = Labels.from_array(y, kind="multilabel", names=["A"])
        ...     logits = 2 * y - 2 + rng.normal(size=400)
        ...     return Scores.from_arrays(labels, logits=logits, split=part)
        >>> result = evaluate(tune(scores(0, "val")), scores(1, "test"))
        >>> print(result.overall["macro"]["auroc"])
        0.930 [0.901, 0.951]
        >>> result.overlap
        'unchecked'

    References:
        Intervals: see :mod:`equipoise.metrics.intervals`; thresholds are taken as fixed.
    """
    level = to_fraction("confidence_level", confidence_level)
    overlap = check_overlap(rule, scores)
    labels = scores.require_labels()
    judge = Judge(labels, level)
    log_odds, decided = rule.log_odds(scores), rule.apply(scores).predictions
    hot = labels.one_hot()
    if labels.kind == "multiclass":
        # One class against the rest ranks by its log-odds within the posterior.
        flags = decided[:, None] == np.arange(hot.shape[1])
        ranking = odds = one_vs_rest(log_odds)
        overall = {"overall": _class_overall(judge, labels, decided, log_odds)}
    else:
        flags, ranking, odds = decided == 1, scores.values, log_odds
        overall = {"micro": _micro(judge, hot, flags)}
    per_label: dict[str, dict[str, Estimate]] = {}
    influences: list[dict[str, Influence]] = []
    reasons: dict[str, str] = {}
    for column, name in enumerate(labels.names):
        truth = hot[:, column]
        row, parts, reason = label_row(judge, truth, ranking[:, column], flags[:, column])
        extra, more = probability_row(judge, truth, odds[:, column])
        per_label[name] = row | extra
        influences.append(parts | more)
        if reason:
            reasons[name] = reason
    return Evaluation(
        kind=labels.kind,
        names=labels.names,
        per_label=per_label,
        overall={"macro": _macro(judge, influences)} | overall,
        groups=_by_frequency(judge, influences, train_counts),
        n_rows=len(scores),
        n_evaluable={m: sum(not np.isnan(i[m].value) for i in influences) for m in influences[0]},
        not_evaluable=reasons,
        overlap=overlap,
        evaluated_on={
            "split": scores.split,
            "fingerprint": scores.fingerprint,
            "tuned_on": dict(rule.tuned_on),
            "objective": rule.objective,
        },
    )


def _macro(judge: Judge, influences: Sequence[dict[str, Influence]]) -> dict[str, Estimate]:
    n = influences[0]["ap"].rows.size
    out = {}
    for metric in influences[0]:
        mean = macro_influence([i[metric] for i in influences], n)
        out[metric] = judge.influence(
            mean, bounded=metric != "log_loss", why="no label is evaluable"
        )
    return out


def _by_frequency(
    judge: Judge, influences: Sequence[dict[str, Influence]], train_counts: ArrayLike | None
) -> dict[str, dict[str, Estimate]]:
    if train_counts is None:
        return {}
    counts = to_array("train_counts", train_counts, ndim=1)
    require_shape("train_counts", counts, (len(influences),), "Give one count per class or label.")
    members = frequency_groups(counts)
    return {
        group: _macro(judge, [influences[i] for i in columns])
        for group, columns in members.items()
        if len(columns)
    }


def _micro(judge: Judge, hot: NDArray[np.int8], flags: Bools) -> dict[str, Estimate]:
    known = hot >= 0
    tp = ((hot == 1) & flags).sum(axis=1)
    flagged, positive = (flags & known).sum(axis=1), (hot == 1).sum(axis=1)
    parts: dict[str, tuple[Any, Any]] = {
        "precision": (tp, flagged),
        "recall": (tp, positive),
        "f1": (2 * tp, flagged + positive),
    }
    return {
        name: judge.influence(ratio_influence(above, below), why="nothing to count")
        for name, (above, below) in parts.items()
    }


def _class_overall(
    judge: Judge, labels: Labels, decided: NDArray[np.int64], log_posterior: Floats
) -> dict[str, Estimate]:
    ones = np.ones(len(labels))
    own = -log_posterior[np.arange(len(labels)), labels.values]
    make: Callable[..., Estimate] = judge.influence
    return {
        "balanced_accuracy": make(
            balanced_accuracy_influence(labels.values, decided, labels.num_classes)
        ),
        "accuracy": make(ratio_influence(decided == labels.values, ones)),
        "log_loss": make(ratio_influence(own, ones), bounded=False),
    }
