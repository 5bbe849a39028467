"""From a decision rule and test scores to estimates with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from equipoise._core.checks import say, to_fraction
from equipoise.artifacts import DecisionRule, Estimate, Evaluation, Labels, Scores
from equipoise.artifacts.rule import hash_ids
from equipoise.errors import LeakageError
from equipoise.labels.groups import frequency_groups
from equipoise.metrics import (
    Influence,
    average_precision_influence,
    balanced_accuracy_influence,
    boyd_interval,
    influence_interval,
    macro_influence,
    ratio_influence,
    roc_auc_influence,
    wilson_interval,
)
from equipoise.metrics.calibration import softplus_losses
from equipoise.metrics.intervals import ENOUGH

__all__ = ["check_overlap", "evaluate"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
RANKING = ("ap", "auroc")


def check_overlap(rule: DecisionRule, scores: Scores) -> str:
    """Return "none" or "unchecked", or raise if a row was used to tune the rule.

    Raises:
        LeakageError: the part is not a test part, or rows overlap.
    """
    if scores.split not in ("test", "new"):
        raise LeakageError(
            say(
                "scores.split",
                "be 'test'",
                repr(scores.split),
                "A rule is judged on rows that neither training nor tuning has seen.",
            )
        )
    if rule.tuned_on["fingerprint"] == scores.fingerprint:
        raise LeakageError(
            say("scores", "be rows the rule was not tuned on", "the very rows it was tuned on")
        )
    if rule.id_hashes is None or scores.ids is None:
        return "unchecked"
    shared = np.intersect1d(rule.id_hashes, hash_ids(scores.ids))
    if shared.size:
        raise LeakageError(
            say(
                "scores",
                "share no row with those the rule was tuned on",
                f"{shared.size} of {len(scores)} rows in common",
                "Evaluate on other rows, or tune on other rows.",
            )
        )
    return "none"


class _Judge:
    """Interval rules shared by all metrics of one evaluation."""

    def __init__(self, labels: Labels, confidence_level: float) -> None:
        self.level = confidence_level
        self.groups: NDArray[np.int64] | None = None
        if labels.groups is not None:
            self.groups = np.unique(labels.groups, return_inverse=True)[1].astype(np.int64)

    def influence(
        self,
        value: Influence,
        *,
        n_positive: int | None = None,
        bounded: bool = True,
        why: str = "",
    ) -> Estimate:
        return influence_interval(
            value,
            confidence_level=self.level,
            groups=self.groups,
            bounded=bounded,
            n_positive=n_positive,
            reason=why or None,
        )

    def precision_of_ranking(self, value: Influence, n_positive: int, why: str) -> Estimate:
        if np.isnan(value.value) or n_positive >= ENOUGH or self.groups is not None:
            return self.influence(value, n_positive=n_positive, why=why)
        return boyd_interval(
            value.value, n_positive, n=value.rows.size, confidence_level=self.level
        )

    def share(self, hit: Bools, base: Bools, why: str, n_positive: int) -> Estimate:
        if not base.any():
            return Estimate.missing(why, n_positive=n_positive)
        if self.groups is not None:
            return self.influence(ratio_influence(hit & base, base), n_positive=n_positive)
        return wilson_interval(
            int((hit & base).sum()),
            int(base.sum()),
            confidence_level=self.level,
            n_positive=n_positive,
        )


def _label_row(
    judge: _Judge, truth: NDArray[np.int8], score: Floats, flag: Bools
) -> tuple[dict[str, Estimate], dict[str, Influence], str]:
    """Return estimates and influences of one label (or one class against the rest)."""
    yes, no = truth == 1, truth == 0
    n_pos, n_neg = int(yes.sum()), int(no.sum())
    reason = "" if n_pos and n_neg else ("no positives" if not n_pos else "no negatives")
    ap = average_precision_influence(truth, score)
    auroc = roc_auc_influence(truth, score)
    if reason:
        ap = Influence(float("nan"), ap.rows)
    f1 = ratio_influence(2.0 * (yes & flag), 1.0 * yes + flag * (yes | no))
    if not n_pos:
        f1 = Influence(float("nan"), f1.rows)
    row = {
        "prevalence": judge.share(yes, yes | no, "no known rows", n_pos),
        "ap": judge.precision_of_ranking(ap, n_pos, reason),
        "auroc": judge.influence(auroc, n_positive=n_pos, why=reason),
        "precision": judge.share(yes, flag & (yes | no), "nothing flagged", n_pos),
        "recall": judge.share(flag, yes, "no positives", n_pos),
        "f1": judge.influence(f1, n_positive=n_pos, why=reason),
        "flagged": judge.share(flag, yes | no, "no known rows", n_pos),
    }
    return row, {"ap": ap, "auroc": auroc, "f1": f1}, reason


def _probability_rows(
    judge: _Judge, truth: NDArray[np.int8], log_odds: Floats, n_pos: int
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    known = truth >= 0
    losses = np.nan_to_num(softplus_losses(truth, log_odds))
    squares = np.where(known, (expit(log_odds) - (truth == 1)) ** 2, 0.0)
    parts = {
        "log_loss": ratio_influence(losses, known),
        "brier": ratio_influence(squares, known),
    }
    return {
        name: judge.influence(value, bounded=name == "brier", n_positive=n_pos)
        for name, value in parts.items()
    }, parts


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
    """
    level = to_fraction("confidence_level", confidence_level)
    overlap = check_overlap(rule, scores)
    labels = scores.require_labels()
    judge = _Judge(labels, level)
    log_odds = rule.log_odds(scores)
    decided = rule.apply(scores).predictions
    hot = labels.one_hot()
    multiclass = labels.kind == "multiclass"
    flags = decided == 1 if not multiclass else decided[:, None] == np.arange(hot.shape[1])
    if multiclass:
        # One class against the rest ranks by its log-odds within the posterior.
        ranking = log_odds - np.log(-np.expm1(np.minimum(log_odds, -1e-300)))
    else:
        ranking = scores.values
    per_label: dict[str, dict[str, Estimate]] = {}
    influences: list[dict[str, Influence]] = []
    reasons: dict[str, str] = {}
    for column, name in enumerate(labels.names):
        row, parts, reason = _label_row(judge, hot[:, column], ranking[:, column], flags[:, column])
        extra, more = _probability_rows(
            judge, hot[:, column], log_odds[:, column] if not multiclass else ranking[:, column],
            int(labels.counts[column]),
        )  # fmt: skip
        per_label[name] = row | extra
        influences.append(parts | more)
        if reason:
            reasons[name] = reason
    overall = {"macro": _macro(judge, influences)}
    if multiclass:
        overall["overall"] = _class_overall(judge, labels, decided, log_odds)
    else:
        overall["micro"] = _micro(judge, hot, flags)
    return Evaluation(
        kind=labels.kind,
        names=labels.names,
        per_label=per_label,
        overall=overall,
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


def _macro(judge: _Judge, influences: Sequence[dict[str, Influence]]) -> dict[str, Estimate]:
    n = influences[0]["ap"].rows.size
    out = {}
    for metric in influences[0]:
        mean = macro_influence([i[metric] for i in influences], n)
        out[metric] = judge.influence(
            mean, bounded=metric != "log_loss", why="no label is evaluable"
        )
    return out


def _by_frequency(
    judge: _Judge, influences: Sequence[dict[str, Influence]], train_counts: ArrayLike | None
) -> dict[str, dict[str, Estimate]]:
    if train_counts is None:
        return {}
    members = frequency_groups(train_counts)
    return {
        group: _macro(judge, [influences[i] for i in columns])
        for group, columns in members.items()
        if len(columns)
    }


def _micro(judge: _Judge, hot: NDArray[np.int8], flags: Bools) -> dict[str, Estimate]:
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
    judge: _Judge, labels: Labels, decided: NDArray[np.int64], log_posterior: Floats
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
