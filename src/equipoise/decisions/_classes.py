"""Tuning for classes: temperature, strength of the prior shift, and the offset before argmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.logistic import log_softmax
from equipoise._core.rng import generator
from equipoise.artifacts import Calibrator, Correction, Scores
from equipoise.artifacts.labels import effective_size
from equipoise.artifacts.rule import choose
from equipoise.decisions._folds import CLEARLY, SURE, WITHIN_NOISE, Tuned, deal_folds
from equipoise.decisions._offsets import (
    free_offsets,
    pick_strength,
    shared_offset,
    strength_counts,
)
from equipoise.decisions.calibration import OFFSET_FROM
from equipoise.decisions.class_calibration import ClassMethod, fit_class_calibrator
from equipoise.decisions.objectives import BalancedAccuracy, MacroF1, Objective, Rescale
from equipoise.decisions.priors import TargetPrior, shift_prior, smoothed_prior, to_target_prior

Classes = NDArray[np.int64]
_UNBIASED = "no tuning: assumes that training rows are an unbiased sample and scores are calibrated"


Offsets = Literal["none", "shared", "free"]
_WORDS: Mapping[Offsets, str] = {
    "none": "no offset",
    "shared": "one strength for all",
    "free": "one offset per class",
}
ROUNDS = 100
# How often classes are gone through for offsets, on all rows and on those outside a fold.
SWEEPS, FOLD_SWEEPS = 20, 4
# Mean probability over share of rows, either way, from which scores fit another prior.
OTHER_PRIOR = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What every fold has in common."""

    natural: Floats
    y: Classes
    objective: Objective
    train: Floats
    target: Floats
    prior_shift: Floats
    shift: Floats
    verified: bool
    units: NDArray[np.int64]
    seed: int
    row_weights: Floats | None

    def calibrate(
        self, rows: NDArray[np.int64], method: ClassMethod, start: Calibrator | None = None
    ) -> Calibrator:
        """Fit the calibrator on some rows; the textbook cut fits nothing."""
        if isinstance(self.objective, Rescale):
            return Calibrator.identity(self.target.size)
        return fit_class_calibrator(
            self.natural[rows],
            self.y[rows],
            shift=self.shift,
            verified=self.verified,
            highest=method,
            start=start,
            weight=self.counted(rows),
        )

    def counted(self, rows: NDArray[np.int64]) -> Floats | None:
        """Return by what weight some rows count; None where all count the same."""
        return None if self.row_weights is None else self.row_weights[rows]

    def offsets(
        self,
        rows: NDArray[np.int64],
        calibrator: Calibrator,
        how: Offsets,
        strength: float | None,
        sweeps: int = SWEEPS,
    ) -> Floats:
        """Return offsets before the argmax, with the strength given or best on these rows."""
        if isinstance(self.objective, Rescale):
            return np.asarray(-np.log(self.train) - self.prior_shift)
        if how == "none":
            return np.zeros(self.target.size)
        values = calibrator.apply(self.natural[rows]) + self.prior_shift
        measure = self.objective.measure("multiclass")
        weight = self.counted(rows)
        offset = shared_offset(values, self.y[rows], self.target, measure, strength, weight)
        if how == "shared":
            return offset
        return free_offsets(values, self.y[rows], offset, measure, sweeps, weight)

    def decide(self, rows: NDArray[np.int64], calibrator: Calibrator, offset: Floats) -> Classes:
        """Decide as the rule will."""
        values = log_softmax(calibrator.apply(self.natural[rows]) + self.prior_shift)
        if self.objective.choice is not None:
            return np.asarray(choose(values, self.objective.choice), dtype=np.int64)
        return np.asarray(np.argmax(values + offset, axis=1))

    def reached(self, decided: Classes) -> Floats:
        """Return the measure per class, (C,); NaN for a class without rows."""
        return self.objective.class_values(self.y, decided, self.target.size, self.row_weights)

    def worth(self, decided: Classes, weights: Floats | None = None) -> float:
        """Return what the objective maximises, on all rows, each ``weights`` times where given."""
        if self.row_weights is not None:
            weights = self.row_weights if weights is None else self.row_weights * weights
        return self.objective.class_worth(self.y, decided, self.target.size, weights)

    def beats(self, one: Classes, other: Classes) -> bool:
        """Whether the first decisions are worth more, at a one-sided level of 5 %.

        Several ways are tried on few rows, so a lead within the noise is no reason for the less
        simple one. Groups are drawn whole.
        """
        if self.worth(one) <= self.worth(other):
            return False
        rng, units = generator(self.seed, "ways"), int(self.units.max()) + 1
        gaps = []
        for _ in range(ROUNDS):
            weights = rng.poisson(1.0, units)[self.units].astype(np.float64)
            if weights.any():
                gaps.append(self.worth(one, weights) - self.worth(other, weights))
        return self.worth(one) - self.worth(other) > SURE * float(np.std(gaps))

    def losses(self, rows: NDArray[np.int64], calibrator: Calibrator) -> Floats:
        """Return the log loss of each of some rows."""
        log_p = log_softmax(calibrator.apply(self.natural[rows]))
        return np.asarray(-log_p[np.arange(rows.size), self.y[rows]])

    @property
    def has_strength(self) -> bool:
        """Whether a strength of the prior shift is to be chosen."""
        return _offsets_matter(self.objective) and bool(np.ptp(self.target) >= 1e-12)


@dataclass(frozen=True, slots=True, eq=False)
class _Folds:
    """The same calibrator fitted on the rows outside each fold, and how well that does there."""

    task: _Task
    parts: tuple[tuple[NDArray[np.int64], NDArray[np.int64], Calibrator], ...]
    whole: Calibrator

    @classmethod
    def of(cls, task: _Task, folds: list[NDArray[np.int64]], method: ClassMethod) -> _Folds:
        every = np.arange(task.y.size)
        others = [np.setdiff1d(every, fold) for fold in folds]
        # Both fits have one optimum each: where the search begins only saves steps.
        whole = task.calibrate(every, method)
        parts = tuple(
            (fold, rest, task.calibrate(rest, method, whole))
            for fold, rest in zip(folds, others, strict=True)
        )
        return cls(task, parts, whole)

    def losses(self) -> Floats:
        """Return the log loss of every row, (N,), by the calibrator that has not seen it."""
        found = np.empty(self.task.y.size)
        for fold, _, calibrator in self.parts:
            found[fold] = self.task.losses(fold, calibrator)
        return found

    def decide(self, how: Offsets) -> Classes:
        """Decide every row by calibrator and offsets made on the other folds."""
        decided = np.empty(self.task.y.size, dtype=np.int64)
        for fold, rest, calibrator in self.parts:
            offset = self.task.offsets(rest, calibrator, how, None, FOLD_SWEEPS)
            decided[fold] = self.task.decide(fold, calibrator, offset)
        return decided

    def strength(self) -> float | None:
        """Return the strength of the prior shift that is best on rows it was not chosen on."""
        task = self.task
        if not task.has_strength:
            return None
        hits: Any = 0
        flagged: Any = 0
        for fold, _, calibrator in self.parts:
            values = calibrator.apply(task.natural[fold]) + task.prior_shift
            more = strength_counts(values, task.y[fold], task.target, task.counted(fold))
            hits, flagged = hits + more[0], flagged + more[1]
        positives = np.bincount(task.y, task.row_weights, minlength=task.target.size)
        return pick_strength(hits, flagged, positives, task.objective.measure("multiclass"))


def tune_classes(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    objective: Objective,
    target_prior: TargetPrior,
    method: ClassMethod,
    seed: int,
) -> Tuned:
    """Fit calibration and class offsets; ``claimed`` holds the measure of each class."""
    labels = scores.require_labels()
    shares = smoothed_prior(*labels.weighed, "multiclass")
    validation, few = shares, labels.effective_counts[0] < OFFSET_FROM
    if correction is not None and few.any():
        # Of classes without rows the probabilities refer to the prior of their model.
        mean = np.average(np.exp(log_softmax(natural)), axis=0, weights=labels.weights) + 1e-9
        validation = np.where(few, mean, shares)
        validation = validation / validation.sum()
    target = to_target_prior(target_prior, validation, "multiclass")
    source = None if correction is None or correction.prior is None else np.maximum(
        np.asarray(correction.prior), 1e-12)  # fmt: skip
    given = objective.shares if isinstance(objective, Rescale) else None
    known = source if given is None else given
    free = objective.free_offsets if isinstance(objective, BalancedAccuracy | MacroF1) else None
    every = np.arange(len(scores))
    task = _Task(
        natural=natural,
        y=labels.values,
        objective=objective,
        train=shares if known is None else known,
        target=target,
        prior_shift=shift_prior(validation, target, "multiclass"),
        shift=0 * target if source is None else shift_prior(source, shares, "multiclass"),
        verified=correction is not None,
        units=every if labels.groups is None else np.unique(labels.groups, return_inverse=True)[1],
        seed=seed,
        row_weights=None if labels.weights is None else labels.weights / labels.weights.mean(),
    )
    folds = deal_folds(labels, seed)
    is_textbook = isinstance(objective, Rescale)
    common = [_UNBIASED] if is_textbook else []
    if is_textbook or not folds:
        calibrator = task.calibrate(every, method)
        how: Offsets = "free" if free else "shared" if task.has_strength else "none"
        offset = task.offsets(every, calibrator, how, None)
        decided = task.decide(every, calibrator, offset)
        claimed = task.reached(decided)
        crossed = claimed if is_textbook else np.full(target.size, np.nan)
        behind = 0
    else:
        tried = _pick_calibration(task, folds, method, common)
        by = _decide_in_ways(tried, free)
        how = next(iter(by))
        for way in list(by)[1:]:
            how = way if task.beats(by[way], by[how]) else how
        if free:
            shared = task.worth(tried.decide("shared"))
            common.append(
                f"one offset per class: {task.worth(by[how]):.3f} cross-fitted, {shared:.3f} with "
                "one strength for all"
            )
        elif len(by) > 1:
            others = [f"{_WORDS[h]} {task.worth(d):.3f}" for h, d in by.items() if h != how]
            best = f"{_WORDS[how]}: {task.worth(by[how]):.3f} cross-fitted"
            common.append(f"{best} ({', '.join(others)})")
        calibrator = tried.whole
        offset = task.offsets(every, calibrator, how, tried.strength())
        claimed, crossed = task.reached(task.decide(every, calibrator, offset)), by[how]
        largest = np.argmax(natural, axis=1)
        may_give_way = free is None and objective.choice is None
        if may_give_way and _behind(task, crossed, largest) == CLEARLY:
            said = _against(task, crossed, largest)
            common.append(
                f"all that is tuned decides worse than the largest score {said}: that decides"
            )
            calibrator = task.calibrate(every, "platt")
            # What calibration and prior add is taken back, so that the largest score decides.
            offset = -calibrator.offset - task.prior_shift
            claimed, crossed = task.reached(largest), largest
        as_it_came = np.argmax(scores.values, axis=1)
        behind = _behind(task, crossed, as_it_came)
        if behind:
            lag = "worse than" if behind == CLEARLY else "no better than"
            said = _against(task, crossed, as_it_came)
            common.append(f"decides {lag} the largest output would {said}")
        crossed = task.reached(crossed)
    decided = task.decide(every, calibrator, offset)
    return Tuned(
        calibrator=calibrator,
        prior_shift=task.prior_shift,
        thresholds=None,
        class_offset=offset,
        claimed=claimed,
        cross_fitted=crossed,
        notes=tuple(
            "; ".join(filter(None, [note, *common]))
            for note in _class_notes(task, scores, labels.counts)
        ),
        choice=objective.choice,
        prior=target,
        decided=_share_decided(decided, task.y, target / validation, task.row_weights),
        behind=np.full(target.size, behind, dtype=np.int8),
    )


def _pick_calibration(
    task: _Task, folds: list[NDArray[np.int64]], method: ClassMethod, common: list[str]
) -> _Folds:
    """Return the folds calibrated as asked for; "auto" takes what has the lower log loss there."""
    if method != "auto":
        return _Folds.of(task, folds, method)
    one, each = (_Folds.of(task, folds, m) for m in ("platt", "vector"))
    before, after = one.losses(), each.losses()
    gain, weight = before - after, task.row_weights
    mean, size = np.average(gain, weights=weight), gain.size * 1.0
    if weight is not None:
        size = effective_size(weight)
    spread = np.sqrt(np.average((gain - mean) ** 2, weights=weight))
    if mean > SURE * spread / np.sqrt(size):
        lost = [float(np.average(each, weights=weight)) for each in (after, before)]
        common.append(
            f"a slope and an offset per class: log loss {lost[0]:.3f} cross-fitted, "
            f"{lost[1]:.3f} with one temperature"
        )
        return each
    return one


def _decide_in_ways(tried: _Folds, free: bool | None) -> dict[Offsets, Classes]:
    """Return the cross-fitted decisions of the ways of setting offsets, the usual one first."""
    if not _offsets_matter(tried.task.objective):
        return {"none": tried.decide("none")}
    # Without a prior to move away from, one strength for all moves nothing.
    usual: Offsets = "shared" if tried.task.has_strength else "none"
    if free is not None:
        return {way: tried.decide(way) for way in (("free",) if free else (usual,))}
    return {way: tried.decide(way) for way in dict.fromkeys((usual, "none", "free"))}


def _offsets_matter(objective: Objective) -> bool:
    """Whether offsets before the argmax are searched; else probability or cost alone decides."""
    return isinstance(objective, BalancedAccuracy | MacroF1)


def _behind(task: _Task, decided: Classes, other: Classes) -> int:
    """Return whether decisions are worth less than others: within the noise, or clearly."""
    # Measures on these rows are those at the target prior only for recalls, or without a shift.
    is_recall = isinstance(task.objective, BalancedAccuracy)
    comparable = is_recall or not task.prior_shift.any()
    if not comparable or task.worth(decided) >= task.worth(other) - 1e-12:
        return 0
    return CLEARLY if task.beats(other, decided) else WITHIN_NOISE


def _against(task: _Task, decided: Classes, other: Classes) -> str:
    return f"({task.worth(decided):.3f} against {task.worth(other):.3f}, cross-fitted)"


def _class_notes(task: _Task, scores: Scores, counts: NDArray[np.int64]) -> list[str]:
    """Remark on classes without rows, and on scores that were made for another prior."""
    notes = ["no validation rows of this class" if n == 0 else "" for n in counts]
    if not scores.has_probabilities:
        return notes
    p = np.exp(log_softmax(task.natural))
    weight = np.ones(task.y.size) if task.row_weights is None else task.row_weights
    mean, n = np.average(p, axis=0, weights=weight), task.y.size
    noise = np.sqrt((weight**2) @ (p * (1 - p))) / n
    for c, share in enumerate(np.bincount(task.y, weight, minlength=counts.size) / n):
        far = max(mean[c], 1e-12) / max(share, 0.5 / n)
        off = not 1 / OTHER_PRIOR <= far <= OTHER_PRIOR and abs(mean[c] - share) > 3 * noise[c]
        if off and counts[c]:
            notes[c] = f"scores fit a share of {mean[c]:.3g}, these rows hold {share:.3g}"
    return notes


def _share_decided(decided: Classes, y: Classes, weights: Floats, counted: Floats | None) -> Floats:
    """Return the share of rows decided as each class, (C,), at the target prior."""
    each = weights[y] if counted is None else weights[y] * counted
    found = np.bincount(decided, each, minlength=weights.size)
    return np.asarray(found / found.sum())
