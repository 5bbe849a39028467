"""From trials to a comparison: records, paired gains, verdicts, recommendation."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.messages import one_of, say
from equipoise.artifacts import ArmRecord, Comparison, Estimate, Gain, Scores, Trial
from equipoise.artifacts.correction import Exactness
from equipoise.artifacts.estimate import FEW
from equipoise.comparison.baseline import baseline_findings
from equipoise.comparison.curves import label_curves
from equipoise.comparison.evaluate import evaluate
from equipoise.comparison.forecast import forecast
from equipoise.comparison.gain import QUESTIONS, Arm, Design, Field, Race, gains, race
from equipoise.comparison.record import (
    METRICS,
    SeedRecord,
    crossed_ranking,
    crossed_record,
    seed_record,
)
from equipoise.comparison.summary import describe_data, recommend
from equipoise.decisions.objectives import Objective
from equipoise.decisions.priors import TargetPrior
from equipoise.errors import DataError, UsageError
from equipoise.metrics import Influence

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
    looks: Sequence[int] | None = None,
    title: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Comparison:
    """Set methods side by side and say what each really bought.

    Every arm is tuned by the same tuner on its own validation scores and judged on the same test
    rows; differences from the baseline are paired over seeds and rows. The baseline with tuned
    thresholds is always one of the arms. Trials with a ``fold`` are cross-fitted: the folds of a
    seed together test every row once, and rules are tuned on the other folds' scores.

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
        confidence_level: Coverage of the intervals; gains and harms hold for all remedies
            together, bounds against the region for each alone.
        looks: Seeds after which a study that stops by itself looks at its arms, the last its
            maximum: methods may then have fewer seeds than the baseline. None where the number of
            seeds was fixed beforehand.
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
        >>> result.recommended, result.regret
        ('better', 0.0)

    References:
        Satterthwaite (1946) for the degrees of freedom; Smyth (2004) for moderated variances; Holm
        (1979); Lan and DeMets (1983) for the levels of looks; Hsu (1984) for the bound of regret.
    """
    contest = Contest(
        baseline=baseline,
        references=references,
        primary=primary,
        objective=objective,
        target_prior=target_prior,
        rope=rope,
        confidence_level=confidence_level,
        looks=looks,
    )
    contest.add(trials)
    return contest.result(title=title, provenance=provenance)


class Contest:
    """A comparison that trials are added to: what stands is judged once, and looked at again.

    Takes the arguments of :func:`compare`.
    """

    def __init__(
        self,
        *,
        baseline: str = "none",
        references: Collection[str] = (),
        primary: str | None = None,
        objective: str | Objective | None = None,
        target_prior: TargetPrior = "validation",
        rope: float = 0.01,
        confidence_level: float = 0.95,
        looks: Sequence[int] | None = None,
    ) -> None:
        self.baseline, self.references = baseline, tuple(references)
        self.primary = None if primary is None else one_of("primary", primary, PRIMARIES)
        self.objective, self.target_prior = objective, target_prior
        self.rope = to_positive("rope", rope, zero=True)
        self.level = to_fraction("confidence_level", confidence_level)
        self.looks = None if looks is None else tuple(looks)
        self._trials: list[Trial] = []
        self._refits: list[Trial] = []
        self._pools: list[Trial] = []
        self._records: dict[tuple[str, int], SeedRecord] = {}
        self._order: NDArray[Any] | None = None

    def add(self, trials: Iterable[Trial]) -> None:
        """Add trials; each is tuned and judged when it is first looked at.

        Those on a ``share`` of the training rows, or of a ``pool`` of them, are for the forecast
        and for the error of another sample.
        """
        for trial in trials:
            if not isinstance(trial, Trial):
                do = "Take what equipoise.fit returns, or Trial.load(folder)."
                raise UsageError(say("trials", "hold trials", type(trial).__name__, do))
            beside = self._refits if "share" in trial.config else self._pools
            kept = beside if {"share", "pool"} & set(trial.config) else self._trials
            kept.append(trial)

    @property
    def tuned(self) -> str:
        """Name of the baseline with tuned thresholds."""
        return f"{self.baseline} + thresholds"

    def standing(self) -> Race:
        """Return where the comparison stands: what is settled, and what more seeds may settle."""
        arms, design, _ = self._arms()
        return race(arms, design)

    def result(self, *, title: str = "", provenance: Mapping[str, Any] | None = None) -> Comparison:
        """Return the comparison of all trials that were added."""
        arms, design, by_method = self._arms()
        found = race(arms, design)
        labels = arms.baseline.seeds[0].judged.require_labels()
        bought = gains(arms, design, found)
        every = [arms.baseline, *arms.others]
        rest = [method for method in by_method if method != self.baseline]
        place = {method: i for i, method in enumerate((self.baseline, self.tuned, *rest))}
        every.sort(key=lambda arm: place[arm.method])
        records = tuple(
            _record(arm, design, bought.get(arm.method), arm.method in self.references)
            for arm in every
        )
        rule_metric = "macro F1" if labels.kind == "multilabel" else "balanced accuracy"
        advice = recommend(records, arms, design, rule_metric)
        summary = advice.summary
        flat = [trial for seed in arms.baseline.trials for trial in seed]
        doubts = baseline_findings(flat)
        if doubts:
            # What a verdict rests on is read before the verdict, and has no price.
            lead = f"{doubts[0].message.split(': arms')[0]}. {advice.sentence}"
            summary = (lead, summary[1])
            advice = replace(advice, regret=math.nan, rival="")
        return Comparison(
            title=title or "Comparison",
            kind=labels.kind,
            names=labels.names,
            baseline=self.baseline,
            primary=design.primary,
            rule_metric=rule_metric,
            rope=self.rope,
            arms=records,
            recommended=advice.pick,
            summary=summary,
            data=describe_data(arms.baseline, self.target_prior, crossed=design.crossed),
            provenance=dict(provenance or {}),
            findings=tuple(doubts),
            question=QUESTIONS[_asked(design)],
            forecast=self._forecast(arms.baseline, design),
            regret=advice.regret,
            rival=advice.rival,
            looks=self.looks or (),
        )

    def _arms(self) -> tuple[Field, Design, dict[str, Seeds]]:
        """Return the arms with their records, and what they share."""
        by_method = _group(self._trials, self.baseline, exact=self.looks is None)
        if self.tuned in by_method:
            do = "That arm is made here, from the baseline: leave it out."
            raise UsageError(say("trials", f"hold no method called '{self.tuned}'", "one", do))
        for name in self.references:
            if name == self.baseline or name not in by_method:
                raise DataError(say("references", "name methods beside the baseline", repr(name)))
        first = by_method[self.baseline][0]
        crossed = first[0].fold is not None
        ids = np.concatenate([np.asarray(t.scores["test"].ids) for t in first]) if crossed else None
        order = None if ids is None else np.sort(ids)
        self._order = order
        arms = {
            method: Arm(method, seeds, [self._judged(trials) for trials in seeds])
            for method, seeds in by_method.items()
        }
        base = arms.pop(self.baseline)
        labels = base.seeds[0].judged.require_labels()
        groups = labels.groups
        chosen = self.primary or ("macro_ap" if labels.kind == "multilabel" else "tuned")
        counts = labels.effective_counts[0]
        tested = int(counts.sum() + 1e-9)
        if labels.kind == "multiclass":
            tested -= int(counts.max())
        present = counts[counts > 0]
        per_fold = float(present.min()) / len(first) if crossed and present.size else np.inf
        design = Design(
            chosen,
            self.rope,
            self.level,
            _codes(groups),
            crossed,
            self.looks,
            tested,
            per_fold,
        )
        if self._pools:
            design = replace(design, pools=self._samples())
        field = Field(
            base,
            _with_thresholds(base, self.tuned),
            [arm for method, arm in arms.items() if method not in self.references],
            [arm for method, arm in arms.items() if method in self.references],
        )
        return field, design, by_method

    def _samples(self) -> dict[str, list[list[SeedRecord]]]:
        """Return the records of trainings on other samples: method -> sample -> run."""
        found: dict[str, dict[int, list[SeedRecord]]] = {}
        for trial in sorted(self._pools, key=lambda t: t.seed):
            key = f"{trial.method}, sample {trial.config['pool']}", trial.seed
            if key not in self._records:
                self._records[key] = seed_record(trial, **self._how)
            held = found.setdefault(trial.method, {})
            held.setdefault(int(trial.config["pool"]), []).append(self._records[key])
        return {method: list(by.values()) for method, by in found.items()}

    def _forecast(self, base: Arm, design: Design) -> Estimate | None:
        """Return what twice the rows would buy, from the baseline's refits on fewer."""
        by_seed: dict[int, dict[float, list[Trial]]] = {}
        for trial in self._refits:
            shares = by_seed.setdefault(trial.seed, {})
            shares.setdefault(float(trial.config["share"]), []).append(trial)
        parts: list[list[Influence]] = [[], [], []]
        for trials, record in zip(base.trials, base.seeds, strict=True):
            shares = by_seed.get(trials[0].seed, {})
            if len(shares) < 2 or any(len(t) < len(trials) for t in shares.values()):
                continue
            for part, share in zip(parts, sorted(shares), strict=False):
                held = sorted(shares[share], key=lambda t: -1 if t.fold is None else t.fold)
                part.append(self._metric_of(held, design.primary))
            parts[2].append(record.metrics[design.primary])
        if len(parts[2]) < 2 or design.tested < FEW:
            return None
        return forecast(*parts, groups=design.groups, crossed=design.crossed)

    def _record_of(self, trials: Sequence[Trial]) -> SeedRecord:
        if self._order is None:
            return seed_record(trials[0], **self._how)
        return crossed_record(trials, self._order, **self._how)

    def _metric_of(self, trials: Sequence[Trial], metric: str) -> Influence:
        """Return one metric of a seed that is asked for nothing else."""
        labels = trials[0].scores["test"].kind == "multilabel"
        if self._order is not None and labels and metric in ("macro_ap", "macro_auroc"):
            return crossed_ranking(trials, self._order)[metric]
        return self._record_of(trials).metrics[metric]

    @property
    def _how(self) -> dict[str, Any]:
        return {"objective": self.objective, "target_prior": self.target_prior}

    def _judged(self, trials: Sequence[Trial]) -> SeedRecord:
        """Return the record of one method and seed, made once."""
        key = trials[0].method, trials[0].seed
        if key not in self._records:
            self._records[key] = self._record_of(trials)
        return self._records[key]


Seeds = list[list[Trial]]
"""The trials of a method: for each seed one, or one per fold."""


def _asked(design: Design) -> str:
    """Return which question the trials answer."""
    if design.crossed:
        return "crossed"
    return "new sample" if design.pools else "these data"


def _codes(groups: NDArray[Any] | None) -> NDArray[np.int64] | None:
    if groups is None:
        return None
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _group(trials: Sequence[Trial], baseline: str, *, exact: bool) -> dict[str, Seeds]:
    """Sort trials by method and seed, and check that they can be paired.

    Args:
        trials: In any order.
        baseline: The untreated method.
        exact: Whether every method must have the baseline's seeds; else the first of them do.
    """
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
    names = by_method[baseline][0].scores.get("test")
    found: dict[str, Seeds] = {}
    for method, group in by_method.items():
        for trial in group:
            _check_parts(trial)
        named = group if names is None else [_named(trial, names.names) for trial in group]
        found[method] = _by_seed(method, named)
    base = found[baseline]
    seeds = [s[0].seed for s in base]
    for method, every in found.items():
        own = [s[0].seed for s in every]
        if own != seeds[: None if exact else len(own)]:
            got = f"{own} for {method}"
            raise DataError(say("seeds", f"be {seeds} for every method", got, "Train the rest."))
        for one, twin in zip(every, base, strict=False):
            _check_pair(method, one, twin, base[0])
    return found


def _by_seed(method: str, group: Sequence[Trial]) -> Seeds:
    """Return the trials of a method seed by seed, those of a seed by fold."""
    seeds: dict[int, list[Trial]] = {}
    for trial in sorted(group, key=lambda t: (t.seed, -1 if t.fold is None else t.fold)):
        seeds.setdefault(trial.seed, []).append(trial)
    for seed, trials in seeds.items():
        folds = [t.fold for t in trials]
        if len(set(folds)) < len(folds):
            every = sorted(t.seed for t in group)
            do = "Keep one trial per method, seed and fold."
            raise DataError(say("seeds", "be different within a method", every, do))
        if len(folds) > 1 and None in folds:
            got = f"both in {method}, seed {seed}"
            raise DataError(say("trials", "all be of folds, or none", got))
    return list(seeds.values())


def _check_pair(
    method: str, one: Sequence[Trial], twin: Sequence[Trial], first: Sequence[Trial]
) -> None:
    """Raise unless a seed of a method stands on the same rows as the baseline's."""
    where = f"{method}, seed {one[0].seed}"
    if [t.fold for t in one] != [t.fold for t in twin]:
        do = "Train the rest."
        raise DataError(say("folds", f"be {[t.fold for t in twin]}", f"others in {where}", do))
    crossed = one[0].fold is not None
    # Folds are drawn anew in each seed; a test set never is.
    for trial, other in zip(one, twin if crossed else first, strict=True):
        if not _same_rows(trial.scores["test"], other.scores["test"]):
            do = "Judge all trials on one test set."
            if crossed:
                do = "Share the folds of a seed among all methods."
            raise DataError(
                say("test rows", "be the same for all trials", f"others in {where}", do)
            )
        if crossed and trial.scores["test"].ids is None:
            do = "Folds are put together by the ids of their rows."
            raise DataError(say("test scores", "have ids", f"none in {where}", do))
    for trial, other in zip(one, twin, strict=True):
        if not _same_rows(trial.scores["val"], other.scores["val"]):
            do = "Redraw validation rows by seed, not by method."
            got = f"others in {where}"
            raise DataError(say("validation rows", "be the same within a seed", got, do))
    if crossed:
        ids, known = (
            np.sort(np.concatenate([np.asarray(t.scores["test"].ids) for t in trials]))
            for trials in (one, first)
        )
        if not np.array_equal(ids, known) or np.unique(ids).size < ids.size:
            do = "The folds of a seed must hold every row once."
            raise DataError(
                say("folds", "test the same rows in every seed", f"others in {where}", do)
            )


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
    weights = [held.require_labels().weights for held in (one, other)]
    if any(w is None for w in weights) != all(w is None for w in weights):
        return False
    if weights[0] is not None and not np.array_equal(weights[0], np.asarray(weights[1])):
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
    first, trial = arm.seeds[0], arm.trials[0][0]
    test = trial.scores["test"]
    names = first.judged.names
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
        first.judged,
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
        curves=label_curves(first.rule, first.judged),
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
    if nominal is None or seeds[0].rule.correction is None:
        return ()
    expressed = np.mean([s.rule.calibrator.effective_weight for s in seeds], axis=0)
    asked_for = np.broadcast_to(np.asarray(nominal), expressed.shape)
    return tuple(
        f"{name}: weight {asked:.3g} asked for, {got:.3g} expressed"
        for name, asked, got in zip(names, asked_for, expressed, strict=True)
        if np.isfinite(got) and 0 < asked < np.inf and abs(np.log(got / asked)) > np.log(1.5)
    )
