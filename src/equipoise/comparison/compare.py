"""From trials to a comparison: records, paired gains, verdicts, recommendation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import closest, say
from equipoise.artifacts import ArmRecord, Comparison, Estimate, Gain, Trial
from equipoise.comparison.curves import label_curves
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.gain import Arm, Design, gains
from equipoise.comparison.record import METRICS, SeedRecord, seed_record
from equipoise.comparison.summary import describe_data, recommend
from equipoise.decisions.priors import TargetPrior
from equipoise.errors import DataError, UsageError

__all__ = ["compare"]


def compare(
    trials: Iterable[Trial],
    *,
    baseline: str = "none",
    primary: str | None = None,
    objective: str | None = None,
    target_prior: TargetPrior = "validation",
    rope: float = 0.01,
    confidence_level: float = 0.95,
    title: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Comparison:
    """Set methods side by side and say what each really bought.

    Every arm is tuned by the same tuner on its own validation scores and judged on the same test
    rows; differences from the baseline are paired over seeds and rows. The baseline with tuned
    thresholds is always one of the arms.

    Args:
        trials: Several methods, each with the same seeds, among them the baseline.
        baseline: The untreated method.
        primary: The metric of the verdict: "macro_ap" (default for labels) or "tuned" (default
            for classes: balanced accuracy with the tuned rule).
        objective: What the tuner maximises; see :func:`equipoise.tune`.
        target_prior: What the decisions are for; see :func:`equipoise.tune`.
        rope: Differences within +-rope count as practically equal.
        confidence_level: Coverage of the intervals; those of the primary gain are Holm-adjusted.
        title: What was compared, in words.
        provenance: Versions, command, times; kept as given.

    Raises:
        DataError: no baseline, different seeds per method, or different test rows.

    References:
        Nadeau and Bengio (2003) for the overlap of training sets; Holm (1979).
    """
    by_method = _group(list(trials), baseline)
    labels = by_method[baseline][0].scores["test"].require_labels()
    chosen = primary or ("macro_ap" if labels.kind == "multilabel" else "tuned")
    if chosen not in METRICS:
        expected = f"be one of {', '.join(METRICS)}"
        raise UsageError(say("primary", expected, repr(chosen), closest(chosen, METRICS)))
    every = [t for group in by_method.values() for t in group]
    overlap = float(np.mean([t.n_val / max(t.n_train, 1) for t in every]))
    design = Design(chosen, rope, confidence_level, overlap, _codes(labels.groups))
    judged = {
        method: Arm(
            method,
            group,
            [seed_record(t, objective=objective, target_prior=target_prior) for t in group],
        )
        for method, group in by_method.items()
    }
    tuned = f"{baseline} + thresholds"
    base = judged.pop(baseline)
    arms = {baseline: base, tuned: _with_thresholds(base, tuned)} | judged
    bought = gains(arms, design, baseline, tuned)
    records = tuple(_record(arm, design, bought.get(arm.method)) for arm in arms.values())
    recommended, summary = recommend(records, arms, design, baseline, tuned)
    return Comparison(
        title=title or "Comparison",
        kind=labels.kind,
        names=labels.names,
        baseline=baseline,
        primary=chosen,
        rule_metric="macro F1" if labels.kind == "multilabel" else "balanced accuracy",
        rope=rope,
        arms=records,
        recommended=recommended,
        summary=summary,
        data=describe_data(by_method[baseline], target_prior),
        provenance=dict(provenance or {}),
    )


def _codes(groups: NDArray[Any] | None) -> NDArray[np.int64] | None:
    if groups is None:
        return None
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _group(trials: Sequence[Trial], baseline: str) -> dict[str, list[Trial]]:
    """Sort trials by method and seed, and check that they can be paired."""
    by_method: dict[str, list[Trial]] = {}
    for trial in trials:
        by_method.setdefault(trial.method, []).append(trial)
    if baseline not in by_method:
        raise DataError(
            say(
                "trials",
                f"hold the baseline '{baseline}'",
                sorted(by_method),
                "Train the untreated model too: without it no remedy can be judged.",
            )
        )
    for group in by_method.values():
        group.sort(key=lambda t: t.seed)
    seeds = [t.seed for t in by_method[baseline]]
    test = by_method[baseline][0].scores["test"]
    for method, group in by_method.items():
        if [t.seed for t in group] != seeds:
            got = f"{[t.seed for t in group]} for {method}"
            raise DataError(say("seeds", f"be {seeds} for every method", got, "Train the rest."))
        for trial in group:
            other = trial.scores["test"]
            same = len(other) == len(test) and np.array_equal(
                other.require_labels().values, test.require_labels().values
            )
            if same and test.ids is not None:
                same = other.ids is not None and np.array_equal(test.ids, other.ids)
            if not same:
                raise DataError(
                    say("test rows", "be the same for all trials", f"others in {method}")
                )
    return by_method


def _with_thresholds(base: Arm, method: str) -> Arm:
    """Return the baseline as an arm whose default rule is the tuned one."""
    seeds = []
    for record in base.seeds:
        metrics = dict(record.metrics)
        metrics["default"] = metrics["tuned"]
        flagged, recall = record.flagged.copy(), record.recall.copy()
        flagged[:, 0], recall[:, 0] = flagged[:, 1], recall[:, 1]
        seeds.append(replace(record, metrics=metrics, flagged=flagged, recall=recall))
    return Arm(method, base.trials, seeds)


def _record(arm: Arm, design: Design, gain: Gain | None) -> ArmRecord:
    first, trial = arm.seeds[0], arm.trials[0]
    test = trial.scores["test"]
    names = test.names
    correction = test.correction
    record: dict[str, Estimate] = {}
    for metric in METRICS:
        value = design.alone(arm, metric)
        record[metric] = (
            Estimate.missing("this remedy's outputs are no probabilities")
            if np.isnan(value.value)
            else value.interval(design.level)
        )
    flagged = np.mean([s.flagged for s in arm.seeds], axis=0)
    recall = np.mean([s.recall for s in arm.seeds], axis=0)
    evaluation = evaluate(
        first.rule,
        test,
        confidence_level=design.level,
        train_counts=[trial.train_counts[n] for n in names],
    )
    return ArmRecord(
        method=arm.method,
        n_seeds=len(arm.seeds),
        record=record,
        flagged={n: tuple(flagged[i].tolist()) for i, n in enumerate(names)},
        recall={n: tuple(recall[i].tolist()) for i, n in enumerate(names)},
        exactness="exact" if correction is None else correction.exactness,
        gain=gain,
        evaluation=evaluation,
        curves=label_curves(first.rule, test),
        notes=_weight_notes(arm.seeds, correction.nominal_weight if correction else None, names),
    )


def _weight_notes(
    seeds: Sequence[SeedRecord], nominal: Sequence[float] | None, names: Sequence[str]
) -> tuple[str, ...]:
    """Say where the weight that the model expressed is far from the one asked for."""
    if nominal is None:
        return ()
    expressed = np.mean([s.rule.calibrator.effective_weight for s in seeds], axis=0)
    return tuple(
        f"{name}: weight {asked:.3g} asked for, {got:.3g} expressed"
        for name, asked, got in zip(names, nominal, expressed, strict=True)
        if np.isfinite(got) and abs(np.log(got / asked)) > np.log(1.5)
    )
