"""Run the study: what can be learnt, the faults of the posted set-up, and the arms side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from equipoise.artifacts.estimate import Estimate
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.scores import Scores
from equipoise.decisions import tune
from equipoise.keras._keras import keras
from equipoise.keras.checks.model import check_model
from equipoise.metrics import (
    Influence,
    average_precision_influence,
    f_beta,
    macro_average,
    macro_influence,
    pair_over_seeds,
)
from equipoise.splits import stratified_kfold
from examples.keras_sequences.arms import (
    ARMS,
    Given,
    posted_class_weight,
    posted_model,
    score_out_of_fold,
)
from examples.keras_sequences.data import Case, make_binary_case, make_case
from examples.keras_sequences.network import join, make_head, train_body

FOLDS, BASELINE = 3, "as posted"
OVERLAP = 1.0 / (FOLDS - 1)


@dataclass(frozen=True, slots=True)
class Row:
    """One arm over all seeds; intervals at 95 %.

    Args:
        arm: Its name.
        ap: Macro AP over evaluable labels: value, low, high.
        gain: The paired difference to the posted set-up: value, low, high; None for that.
        f1_default: Macro F1 at an output of 0.5, mean over seeds.
        f1_tuned: Macro F1 with thresholds tuned on other folds, mean over seeds.
    """

    arm: str
    ap: tuple[float, float, float]
    gain: tuple[float, float, float] | None
    f1_default: float
    f1_tuned: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The findings on the posted set-up, the level of chance, and one row per arm."""

    parameters: int
    trainable: int
    evaluable: int
    labels: int
    prevalence: float
    findings: tuple[Finding, ...]
    rows: tuple[Row, ...]


def run(
    seeds: Sequence[int] = (0, 1, 2),
    *,
    arms: Sequence[str] = tuple(ARMS),
    case: Case | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run the arms over the seeds; a seed redraws folds, first weights and order.

    Args:
        seeds: At least two for an interval that knows of training.
        arms: Names in ``ARMS``, the posted set-up first.
        case: Sequences and labels; those of the posted counts by default.
        tell: Called with a line per arm and seed.
    """
    case = make_case() if case is None else case
    keras.utils.set_random_seed(0)
    body = train_body(make_binary_case())
    whole = posted_model(join(body, make_head(activation="sigmoid")))
    findings = check_model(whole, case.labels, class_weight=posted_class_weight(case.labels))
    given = Given.of(case, body)
    found: dict[str, list[Scores]] = {name: [] for name in arms}
    for seed in seeds:
        folds = stratified_kfold(case.labels, folds=FOLDS, seed=seed)
        for name in arms:
            found[name].append(score_out_of_fold(name, given, folds, seed))
            ap = _macro_ap(found[name][-1], case).value
            tell(f"seed {seed}, {name}: macro AP {ap:.3f}")
    share = case.labels.prevalence[case.evaluable]
    return Outcome(
        parameters=whole.count_params(),
        trainable=sum(int(np.prod(w.shape)) for w in whole.trainable_weights),
        evaluable=case.evaluable.size,
        labels=case.labels.num_classes,
        prevalence=float(share.mean()),
        findings=tuple(findings),
        rows=tuple(_row(name, found, case) for name in arms),
    )


def _macro_ap(scores: Scores, case: Case) -> Influence:
    truth, values = case.labels.values, scores.logits()
    parts = [average_precision_influence(truth[:, k], values[:, k]) for k in case.evaluable]
    return macro_influence(parts, len(scores))


def _row(name: str, found: dict[str, list[Scores]], case: Case) -> Row:
    own = [_macro_ap(scores, case) for scores in found[name]]
    nothing = [Influence(0.0, np.zeros(len(case.labels))) for _ in own]
    base = next(iter(found))
    gain = None
    if name != base:
        other = [_macro_ap(scores, case) for scores in found[base]]
        gain = _interval(own, other)
    tuned = [tune(scores, objective="f1").cross_fitted for scores in found[name]]
    flat = [
        f_beta(case.labels.values, (scores.logits() >= 0).astype(int)) for scores in found[name]
    ]
    return Row(
        name,
        _bounds(pair_over_seeds(own, nothing).interval_within(0.95, 0.0, 1.0)),
        gain,
        float(np.mean([macro_average(f).value for f in flat])),
        float(np.mean([macro_average(f).value for f in tuned])),
    )


def _interval(one: list[Influence], other: list[Influence]) -> tuple[float, float, float]:
    return _bounds(pair_over_seeds(one, other).interval(0.95))


def _bounds(made: Estimate) -> tuple[float, float, float]:
    return made.value, made.low, made.high


def describe(outcome: Outcome) -> str:
    """Return what cannot be learnt and what is wrong with the posted set-up, as text."""
    lines = [
        f"{outcome.parameters:,} parameters, {outcome.trainable:,} trainable",
        f"{outcome.labels} labels, {outcome.evaluable} with positives",
        *(str(item) for item in outcome.findings),
    ]
    return "\n".join(lines)


def table(outcome: Outcome) -> str:
    """Return the arms as a Markdown table."""
    lines = [
        "| arm | macro AP (95 %) | against as posted (95 %) | macro F1 at 0.5 | tuned |",
        "|---|---|---|---|---|",
        f"| prevalence | {outcome.prevalence:.3f} | | | |",
    ]
    for row in outcome.rows:
        gain = "" if row.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row.gain)
        ap = "{:.3f} ({:.3f} to {:.3f})".format(*row.ap)
        lines.append(f"| {row.arm} | {ap} | {gain} | {row.f1_default:.3f} | {row.f1_tuned:.3f} |")
    return "\n".join(lines)
