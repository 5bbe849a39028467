"""From a decision rule and test scores to estimates with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.checks import one_of, require_shape, say, to_array, to_fraction
from equipoise._core.logistic import one_vs_rest
from equipoise.artifacts import DecisionRule, Evaluation, Labels, Scores
from equipoise.comparison._judge import Judge
from equipoise.comparison._label_row import LabelRow, label_row
from equipoise.comparison._totals import (
    MacroSums,
    by_label_count,
    class_overall,
    micro,
    samples,
)
from equipoise.comparison.overlap import check_overlap
from equipoise.errors import UsageError
from equipoise.labels.groups import frequency_groups

__all__ = ["evaluate"]


def evaluate(
    rule: DecisionRule,
    scores: Scores,
    *,
    confidence_level: float = 0.95,
    train_counts: ArrayLike | None = None,
    by: str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Judge a model and its rule on rows that neither has seen.

    Args:
        rule: From :func:`equipoise.tune`.
        scores: With labels, of split "test" (or "new" with labels).
        confidence_level: Nominal coverage of the intervals.
        train_counts: (C,) training rows per class or positives per label; gives macro averages
            of the head, medium and tail group. None leaves the groups out.
        by: "label_count" judges rows with 0, 1, 2, 3 and more labels apart.
        seed: Of the bootstrap that serves average precision at 50 to 200 positives.

    Returns:
        Per label: prevalence, ap, auroc; precision, recall, specificity, f1, balanced_accuracy,
        mcc, flagged and counts at the rule's threshold; log_loss, brier, brier_skill,
        brier_positives, brier_negatives, calibration_ratio, _slope and _intercept. Overall: macro
        over evaluable labels; micro and samples (labels), or accuracy, balanced accuracy and log
        loss (classes). A label without positives or without negatives is NaN with its reason.

    Raises:
        UsageError: ``by`` for classes, which have one label per row.
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
    judge = Judge(labels, level, seed)
    hot = labels.one_hot()
    if by is not None:
        one_of("by", by, ("label_count",))
        _require_labels(labels)
    groups = _frequency(train_counts, hot.shape[1])
    log_odds, decided = rule.log_odds(scores), rule.apply(scores).predictions
    if labels.kind == "multiclass":
        # One class against the rest ranks by its log-odds within the posterior.
        flags = decided[:, None] == np.arange(hot.shape[1])
        ranking = odds = one_vs_rest(log_odds)
        overall = {"overall": class_overall(judge, labels, decided, log_odds)}
    else:
        flags, ranking, odds = decided == 1, scores.values, log_odds
        overall = {"micro": micro(judge, hot, flags), "samples": samples(judge, hot, flags)}
    rows: dict[str, LabelRow] = {}
    macro = MacroSums()
    sums = {group: MacroSums() for group in groups}
    for i, name in enumerate(labels.names):
        row = label_row(judge, hot[:, i], ranking[:, i], flags[:, i], odds[:, i])
        for total in (macro, *(sums[g] for g, members in groups.items() if i in members)):
            total.add(row.averaged)
        # Influence values are summed; to keep those of every label would take N x L per metric.
        rows[name] = replace(row, averaged={})
    return Evaluation(
        kind=labels.kind,
        names=labels.names,
        per_label={name: row.estimates for name, row in rows.items()},
        overall={"macro": macro.estimates(judge)} | overall,
        groups={group: total.estimates(judge) for group, total in sums.items()},
        n_rows=len(scores),
        n_evaluable=macro.n_evaluable,
        not_evaluable={name: row.reason for name, row in rows.items() if row.reason},
        overlap=overlap,
        evaluated_on={
            "split": scores.split,
            "fingerprint": scores.fingerprint,
            "tuned_on": dict(rule.tuned_on),
            "objective": rule.objective,
        },
        counts={name: row.counts for name, row in rows.items()},
        by={} if by is None else {by: by_label_count(judge, hot, flags)},
    )


def _require_labels(labels: Labels) -> None:
    if labels.kind == "multiclass":
        do = "Classes have one label per row: leave it out."
        raise UsageError(say("by", "go with several labels per row", "classes", do))


def _frequency(counts: ArrayLike | None, width: int) -> dict[str, set[int]]:
    """Return group -> positions of its labels, groups without labels left out."""
    if counts is None:
        return {}
    array = to_array("train_counts", counts, ndim=1)
    require_shape("train_counts", array, (width,), "Give one count per class or label.")
    members = frequency_groups(array)
    return {group: set(c.tolist()) for group, c in members.items() if len(c)}
