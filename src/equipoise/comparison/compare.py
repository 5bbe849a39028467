"""From trials to a comparison: records, paired gains, verdicts, recommendation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.messages import one_of, say
from equipoise.artifacts import ArmRecord, Comparison, Estimate, Gain, Scores, Trial
from equipoise.artifacts.correction import Exactness
from equipoise.comparison.baseline import baseline_findings
from equipoise.comparison.curves import label_curves
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.gain import Arm, Design, gains
from equipoise.comparison.record import METRICS, SeedRecord, seed_record
from equipoise.comparison.summary import describe_data, recommend
from equipoise.decisions.objectives import Objective
from equipoise.decisions.priors import TargetPrior
from equipoise.errors import DataError, UsageError

PRIMARIES = ("macro_ap", "macro_auroc", "tuned")


def compare(
    trials: Iterable[Trial],
    *,
    baseline: str = "none",
    references: Collection[str] = (),
    primary: str | None = None,
    objective: str | Objective | None = None,
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
        references: Methods that are no remedies, such as logistic regression on the same features:
            they stand beside the others, are not in the adjustment and are never recommended.
        primary: The metric of the verdict: "macro_ap" (default for labels), "macro_auroc", or
            "tuned" (default for classes: balanced accuracy with the tuned rule; macro F1 for
            labels). A threshold that is free for all cannot win there.
        objective: What the tuner maximises; see :func:`equipoise.tune`.
        target_prior: What the decisions are for; see :func:`equipoise.tune`.
        rope: Differences within +-rope count as practically equal.
        confidence_level: Coverage of the intervals; those of the primary gain are Holm-adjusted
            over the remedies. The region of practical equivalence is always read at 90 %.
        title: What was compared, in words.
        provenance: Versions, command, times; kept as given.

    Returns:
        A :class:`Comparison`; per gain, total = ranking_part + operating_part.

    Raises:
        DataError: no baseline, no such reference, different seeds per method, different test rows,
            or a trial without validation or test scores.
        LeakageError: test rows among the validation rows of a trial.
        UsageError: an unknown metric or objective.

    Example:
        >>> from equipoise.artifacts import Labels, Scores
        >>> def trial(method, seed, strength):
        ...     scores = {}
        ...     for part, stream in (("val", 100 + seed), ("test", 7)):
        ...         rng = np.random.default_rng(stream)
        ...         y = (rng.random(500) < 0.2).astype(int)
        ...         labels = Labels.from_array(y, kind="multilabel", names=["A"])
        ...         logits = strength * y - 4 + rng.normal(size=500)
        ...         scores[part] = Scores.from_arrays(labels, logits=logits, split=part)
        ...     return Trial(method, seed, {}, 900, 100, {"A": 180}, {}, [], scores)
        >>> arms = {"none": 1.5, "better": 2.5}
        >>> result = compare(trial(m, s, d) for m, d in arms.items() for s in range(3))
        >>> [(arm.method, arm.gain.verdict) for arm in result.arms if arm.gain]
        [('none + thresholds', 'threshold only'), ('better', 'ranking gain')]

    References:
        Nadeau and Bengio (2003), section 3, for the overlap of training sets; Holm (1979).
    """
    by_method = _group(list(trials), baseline)
    labels = by_method[baseline][0].scores["test"].require_labels()
    chosen = primary or ("macro_ap" if labels.kind == "multilabel" else "tuned")
    one_of("primary", chosen, PRIMARIES)
    level = to_fraction("confidence_level", confidence_level)
    tuned = f"{baseline} + thresholds"
    if tuned in by_method:
        do = "That arm is made here, from the baseline: leave it out."
        raise UsageError(say("trials", f"hold no method called '{tuned}'", "one", do))
    for name in references:
        if name == baseline or name not in by_method:
            raise DataError(say("references", "name methods beside the baseline", repr(name)))
    every = [t for group in by_method.values() for t in group]
    overlap = float(np.mean([t.n_val / max(t.n_train, 1) for t in every]))
    width = to_positive("rope", rope, zero=True)
    design = Design(chosen, width, level, overlap, _codes(labels.groups))
    judged = {
        method: Arm(
            method,
            group,
            [seed_record(t, objective=objective, target_prior=target_prior) for t in group],
        )
        for method, group in by_method.items()
    }
    base = judged.pop(baseline)
    arms = {baseline: base, tuned: _with_thresholds(base, tuned)} | judged
    bought = gains(arms, design, baseline, tuned, references)
    records = tuple(
        _record(arm, design, bought.get(arm.method), arm.method in references)
        for arm in arms.values()
    )
    rule_metric = "macro F1" if labels.kind == "multilabel" else "balanced accuracy"
    recommended, summary = recommend(
        records, arms, design, baseline, tuned, rule_metric, references
    )
    doubts = baseline_findings(by_method[baseline])
    if doubts:
        # What a verdict rests on is read before the verdict.
        summary = (f"{doubts[0].message.split(': arms')[0]}. {summary[0]}", summary[1])
    return Comparison(
        title=title or "Comparison",
        kind=labels.kind,
        names=labels.names,
        baseline=baseline,
        primary=chosen,
        rule_metric=rule_metric,
        rope=rope,
        arms=records,
        recommended=recommended,
        summary=summary,
        data=describe_data(by_method[baseline], target_prior),
        provenance=dict(provenance or {}),
        findings=tuple(doubts),
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
        for trial in group:
            _check_parts(trial)
    names = by_method[baseline][0].scores["test"].names
    for method, group in by_method.items():
        by_method[method] = [_named(trial, names) for trial in group]
    base = by_method[baseline]
    seeds = [t.seed for t in base]
    if len(set(seeds)) < len(seeds):
        do = "Keep one trial per method and seed."
        raise DataError(say("seeds", "be different within a method", seeds, do))
    for method, group in by_method.items():
        if [t.seed for t in group] != seeds:
            got = f"{[t.seed for t in group]} for {method}"
            raise DataError(say("seeds", f"be {seeds} for every method", got, "Train the rest."))
        for trial, twin in zip(group, base, strict=True):
            if not _same_rows(trial.scores["test"], base[0].scores["test"]):
                do = "Judge all trials on one test set."
                got = f"others in {method}, seed {trial.seed}"
                raise DataError(say("test rows", "be the same for all trials", got, do))
            if not _same_rows(trial.scores["val"], twin.scores["val"]):
                do = "Redraw validation rows by seed, not by method."
                got = f"others in {method}, seed {trial.seed}"
                raise DataError(say("validation rows", "be the same within a seed", got, do))
    return by_method


def _named(trial: Trial, names: Sequence[str]) -> Trial:
    """Return the trial with the columns of its scores in the order of ``names``, matched by name.

    Scores of other names are left as they are, for the check on their rows to refuse.
    """
    same = {part: set(scores.names) == set(names) for part, scores in trial.scores.items()}
    moved = {p: s.in_order(names) if same[p] else s for p, s in trial.scores.items()}
    return replace(trial, scores=moved)


def _check_parts(trial: Trial) -> None:
    for part in ("val", "test"):
        if part not in trial.scores:
            got = f"{sorted(trial.scores)} in {trial.method}, seed {trial.seed}"
            do = "Write scores of both parts when training."
            raise DataError(say("scores", f"hold the part '{part}'", got, do))
        trial.scores[part].require_labels()


def _same_rows(one: Scores, other: Scores) -> bool:
    """Compare names, labels and, where both have them, ids."""
    if one.names != other.names or len(one) != len(other):
        return False
    if not np.array_equal(one.require_labels().values, other.require_labels().values):
        return False
    both = one.ids is not None and other.ids is not None
    return not both or np.array_equal(np.asarray(one.ids), np.asarray(other.ids))


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


def _record(arm: Arm, design: Design, gain: Gain | None, is_reference: bool) -> ArmRecord:
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
            else value.interval_within(
                design.confidence_level, 0.0, np.inf if "loss" in metric else 1.0
            )
        )
    flagged = np.mean([s.flagged for s in arm.seeds], axis=0)
    recall = np.mean([s.recall for s in arm.seeds], axis=0)
    evaluation = evaluate(
        first.rule,
        test,
        confidence_level=design.confidence_level,
        train_counts=[trial.train_counts[n] for n in names],
    )
    return ArmRecord(
        method=arm.method,
        n_seeds=len(arm.seeds),
        record=record,
        flagged={n: tuple(flagged[i].tolist()) for i, n in enumerate(names)},
        recall={n: tuple(recall[i].tolist()) for i, n in enumerate(names)},
        exactness=_exactness(test),
        gain=gain,
        evaluation=evaluation,
        curves=label_curves(first.rule, test),
        is_reference=is_reference,
        notes=_weight_notes(arm.seeds, correction.nominal_weight if correction else None, names),
    )


def _exactness(scores: Scores) -> Exactness:
    if not scores.has_probabilities:
        return "none"
    return "exact" if scores.correction is None else scores.correction.exactness


def _weight_notes(
    seeds: Sequence[SeedRecord], nominal: Sequence[float] | None, names: Sequence[str]
) -> tuple[str, ...]:
    """Say where the weight that the model expressed is far from the one asked for."""
    if nominal is None:
        return ()
    expressed = np.mean([s.rule.calibrator.effective_weight for s in seeds], axis=0)
    asked_for = np.broadcast_to(np.asarray(nominal), expressed.shape)
    return tuple(
        f"{name}: weight {asked:.3g} asked for, {got:.3g} expressed"
        for name, asked, got in zip(names, asked_for, expressed, strict=True)
        if np.isfinite(got) and 0 < asked < np.inf and abs(np.log(got / asked)) > np.log(1.5)
    )
