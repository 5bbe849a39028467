"""From a decision rule and test scores to estimates with intervals."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_fraction
from equipoise._core.logistic import one_vs_rest
from equipoise._core.words import one_of, say
from equipoise.artifacts import DecisionRule, Estimate, Evaluation, Labels, Scores
from equipoise.comparison._judge import Judge
from equipoise.comparison._label_row import LabelRow, label_row
from equipoise.comparison._totals import (
    MacroSums,
    by_label_count,
    class_overall,
    micro,
    samples,
)
from equipoise.comparison._worth import Worth
from equipoise.comparison.overlap import check_overlap
from equipoise.errors import UsageError
from equipoise.labels.groups import frequency_groups

_Column = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
# Labels whose columns are copied and judged together; more would only hold more memory.
TOGETHER, LARGE, MOST_THREADS = 4, 1_000_000, 4


def evaluate(
    rule: DecisionRule,
    scores: Scores,
    *,
    confidence_level: float = 0.95,
    train_counts: ArrayLike | None = None,
    by: str | None = None,
    net_benefit_at: float | None = None,
    max_fpr: float = 0.1,
    top_fraction: float = 0.1,
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
        net_benefit_at: Probability at which acting breaks even, in (0, 1): adds net_benefit, of
            flagging all rows whose calibrated probability reaches it, and net_benefit_all, of
            flagging everybody. None takes it from the rule's objective (net_benefit, or cost of
            labels: false alarm / (false alarm + miss)), and leaves it out for other rules.
        max_fpr: False positive rate, in (0, 1), up to which partial_auroc is taken and at which
            recall_at_fpr is.
        top_fraction: Share of known rows, in (0, 1), that precision_at_top looks at.
        seed: Of the bootstrap that serves average precision at 50 to 200 positives.

    Returns:
        Per label: prevalence, ap, auroc; partial_auroc (chance has 0.5), recall_at_fpr,
        precision_at_top; precision, recall, specificity, f1, balanced_accuracy,
        mcc, flagged and counts at the rule's threshold; log_loss, brier, brier_skill,
        brier_positives, brier_negatives, calibration_ratio, _slope and _intercept; expected_cost
        (mean of a row) of a rule with costs, and net_benefit. Overall: macro over evaluable labels;
        micro and samples (labels), or accuracy, balanced accuracy, log loss and expected cost
        (classes). A label without positives or without negatives is NaN with its reason.

    Raises:
        UsageError: ``by`` for classes, which have one label per row.
        LeakageError: the rows are not test rows, or overlap with those the rule was tuned on, by
            ids or by the scores themselves.
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
        >>> result.overlap.rpartition("; ")[2]
        'contents fine'

    References:
        Intervals: see :mod:`equipoise.metrics.intervals`; thresholds are taken as fixed.
    """
    level = to_fraction("confidence_level", confidence_level)
    scores = rule.align(scores)
    overlap = check_overlap(rule, scores)
    labels = scores.require_labels()
    judge, worth = Judge(labels, level, seed), Worth.of(rule, max_fpr, top_fraction, net_benefit_at)
    if by is not None:
        one_of("by", by, ("label_count",))
        _require_labels(labels)
    groups = _frequency(train_counts, len(labels.names))
    case = _Case.of(rule, scores, labels)
    rows, macro, sums = _judge_labels(judge, worth, case, labels, groups)
    return Evaluation(
        kind=labels.kind,
        names=labels.names,
        per_label={name: row.estimates for name, row in rows.items()},
        overall={"macro": macro.estimates(judge)} | case.overall(judge, worth, labels),
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
            "settings": worth.to_dict(),
            "group_labels": {group: len(held) for group, held in groups.items()},
        },
        counts={name: row.counts for name, row in rows.items()},
        by={} if by is None else {by: by_label_count(judge, case.hot, case.flags)},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """Truth, decisions and scores as columns, (N, L) each; ``decided`` is (N,) for classes."""

    hot: NDArray[np.int8]
    flags: NDArray[np.bool_]
    ranking: Floats
    odds: Floats
    decided: NDArray[Any]
    log_odds: Floats

    @classmethod
    def of(cls, rule: DecisionRule, scores: Scores, labels: Labels) -> _Case:
        log_odds = rule.log_odds(scores)
        hot, decided = labels.one_hot(), rule.decide(log_odds)
        if labels.kind == "multilabel":
            return cls(hot, decided == 1, scores.values, log_odds, decided, log_odds)
        # One class against the rest ranks by its log-odds within the posterior.
        flags, odds = decided[:, None] == np.arange(hot.shape[1]), one_vs_rest(log_odds)
        return cls(hot, flags, odds, odds, decided, log_odds)

    def overall(self, judge: Judge, worth: Worth, labels: Labels) -> dict[str, dict[str, Estimate]]:
        """Return what is no mean over labels."""
        if labels.kind == "multiclass":
            return {"overall": class_overall(judge, labels, self.decided, self.log_odds, worth)}
        return {
            "micro": micro(judge, self.hot, self.flags),
            "samples": samples(judge, self.hot, self.flags),
        }

    def columns(self, start: int) -> list[_Column]:
        """Return truth, ranking, flags and log-odds of some labels, each (N,) in one piece."""
        parts = (self.hot, self.ranking, self.flags, self.odds)
        return list(zip(*(p[:, start : start + TOGETHER].T.copy() for p in parts), strict=True))


def _judge_labels(
    judge: Judge, worth: Worth, case: _Case, labels: Labels, groups: dict[str, set[int]]
) -> tuple[dict[str, LabelRow], MacroSums, dict[str, MacroSums]]:
    """Judge label by label, a few at a time: in threads where there is much to do."""
    rows: dict[str, LabelRow] = {}
    macro, sums = MacroSums(), {group: MacroSums() for group in groups}
    # A class without rows is nobody's to find: its specificity of 1 would lift every macro average.
    classes = labels.kind == "multiclass"
    absent = set(np.flatnonzero(labels.counts == 0).tolist()) if classes else set()
    threads = min(os.cpu_count() or 1, MOST_THREADS) if case.hot.size >= LARGE else 1
    with ThreadPoolExecutor(threads) as pool:
        each = pool.map if threads > 1 else map
        for start in range(0, len(labels.names), TOGETHER):

            def one(column: _Column, place: int) -> LabelRow:
                return label_row(judge, *column, worth, place)

            made = each(one, case.columns(start), range(start, start + TOGETHER))
            for i, row in enumerate(made, start):
                if i in absent:
                    rows[labels.names[i]] = replace(row, averaged={})
                    continue
                for total in (macro, *(sums[g] for g, held in groups.items() if i in held)):
                    total.add(row.averaged)
                # Influence values are summed; to keep those of every label would take N x L each.
                rows[labels.names[i]] = replace(row, averaged={})
    return rows, macro, sums


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
