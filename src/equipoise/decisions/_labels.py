"""Tuning for labels: calibration by the ladder, then one threshold per label or a shared choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.rng import generator
from equipoise.artifacts import Calibrator, Correction, Scores
from equipoise.artifacts._choice import choose
from equipoise.decisions._folds import Tuned, deal_folds
from equipoise.decisions._remarks import label_notes, weight_notes
from equipoise.decisions.calibration import LabelMethod, fit_label_calibrator
from equipoise.decisions.certify import certified_cut
from equipoise.decisions.measures import Measure
from equipoise.decisions.objectives import Goal
from equipoise.decisions.priors import TargetPrior, shift_prior, smoothed_prior, to_target_prior
from equipoise.decisions.thresholds import Cut, sorted_cut
from equipoise.metrics.sweep import Sweep, halfway

__all__ = ["tune_labels"]

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]
ROUNDS, FOLD_ROUNDS = 100, 25
F1 = Measure("f_beta")


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What every fold has in common; ``truth`` is y by label, ``order`` sorts each descending."""

    natural: Floats
    y: NDArray[np.int8]
    truth: NDArray[np.int8]
    order: NDArray[np.int64]
    goal: Goal
    train: Floats
    target: Floats
    prior_shift: Floats
    weights: Floats
    nominal: Floats | None
    verified: bool
    highest: LabelMethod
    seed: int

    def calibrate(self, rows: Rows, start: Calibrator | None) -> Calibrator:
        """Fit the calibrator on some rows; the textbook cut fits nothing."""
        if self.goal.name == "rescale":
            return Calibrator.identity(self.y.shape[1])
        natural, y = (self.natural, self.y) if rows.all() else (self.natural[rows], self.y[rows])
        return fit_label_calibrator(
            natural,
            y,
            nominal_weight=self.nominal,
            verified=self.verified,
            highest=self.highest,
            start=start,
        )

    def cuts(self, values: Floats, rows: Rows, rounds: int, stream: int) -> list[Cut]:
        """Choose one threshold per label on some rows of ``values``, (N, L)."""
        if self.goal.choice is not None:
            cut = _shared_cut(values[rows], self.goal.choice)
            return [Cut(cut)] * values.shape[1]
        columns = np.ascontiguousarray(values.T)
        return [self._cut(z, rows, column, rounds, stream) for column, z in enumerate(columns)]

    def _cut(self, z: Floats, rows: Rows, column: int, rounds: int, stream: int) -> Cut:
        if self.goal.name == "rescale":
            cut = np.log(self.train[column]) - np.log1p(-self.train[column])
            return Cut(float(cut + self.prior_shift[column]))
        order, truth = self.order[column], self.truth[column]
        order = order[(rows & (truth >= 0))[order]]
        if order.size == 0:
            return Cut(np.inf)
        falling, positive = z[order], truth[order] == 1
        weights = (float(self.weights[0, column]), float(self.weights[1, column]))
        if self.goal.name == "precision":
            points, wanted = Sweep.from_sorted(falling, positive), self.goal.measure.at_least
            level = self.goal.confidence_level
            return Cut(certified_cut(points, wanted, confidence_level=level, weights=weights))
        rng = generator(self.seed, "thresholds", column, stream)
        measure, prior_ = self.goal.measure.at(column), float(self.target[column])
        return sorted_cut(falling, positive, rng, measure, weights, prior_, rounds)

    def decide(self, values: Floats, cuts: Floats) -> NDArray[np.bool_]:
        """Flag as the rule will."""
        if self.goal.choice is not None:
            return np.asarray(choose(values, self.goal.choice) == 1)
        return np.asarray(values >= cuts)

    def reached(self, flags: NDArray[np.bool_]) -> Floats:
        """Return the measure per label at the target prior, (L,); NaN where it is not defined."""
        yes, no = self.y == 1, self.y == 0
        tp, positives = (self.weights[0] * m.sum(axis=0) for m in (yes & flags, yes))
        fp, negatives = (self.weights[1] * m.sum(axis=0) for m in (no & flags, no))
        measure = self.goal.measure
        if self.goal.shown == "f1":
            measure = F1
        return measure.value(tp, fp, positives, negatives)


def tune_labels(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    goal: Goal,
    target_prior: TargetPrior,
    calibration: LabelMethod,
    seed: int,
) -> Tuned:
    """Fit calibration and thresholds; ``claimed`` holds the measure per label at the target."""
    labels = scores.require_labels()
    y = labels.values
    validation = smoothed_prior(labels.counts, labels.known, "multilabel")
    target = to_target_prior(target_prior, validation, "multilabel")
    nominal = correction.nominal_weight if correction is not None else None
    train = goal.train_prior
    task = _Task(
        natural=natural,
        y=y,
        truth=np.ascontiguousarray(y.T),
        order=np.argsort(-natural.T, axis=1, kind="stable"),
        goal=goal,
        train=validation if train is None else train,
        target=target,
        prior_shift=shift_prior(validation, target, "multilabel"),
        weights=np.stack([target / validation, (1 - target) / (1 - validation)]),
        nominal=None if nominal is None else np.asarray(nominal),
        verified=correction is not None,
        highest=calibration,
        seed=seed,
    )
    every = np.ones(len(scores), dtype=np.bool_)
    calibrator = task.calibrate(every, None)
    values = calibrator.apply(natural) + task.prior_shift
    found = task.cuts(values, every, ROUNDS, 0)
    cuts = np.array([cut.threshold for cut in found])
    flags = task.decide(values, cuts)
    claimed = task.reached(flags)
    crossed = _cross_fit(task, calibrator, deal_folds(labels, seed))
    notes = label_notes(
        labels, goal, flags, cuts - task.prior_shift, task.weights, claimed - crossed
    )
    expressed = weight_notes(task.nominal, calibrator.effective_weight)
    return Tuned(
        calibrator=calibrator,
        prior_shift=task.prior_shift,
        thresholds=cuts,
        class_offset=None,
        claimed=claimed,
        cross_fitted=claimed if goal.name == "rescale" else crossed,
        notes=tuple("; ".join(filter(None, two)) for two in zip(notes, expressed, strict=True)),
        low=np.array([cut.low for cut in found]),
        high=np.array([cut.high for cut in found]),
        choice=goal.choice,
    )


def _shared_cut(values: Floats, choice: Mapping[str, Any]) -> float:
    """Return the cut that flags what a budget flagged here; nothing is cut by top-k."""
    if choice["form"] == "top_k":
        return float("-inf")
    flags = choose(values, choice) == 1
    if flags.all() or not flags.any():
        return float(values.min() if flags.all() else np.nextafter(values.max(), np.inf))
    return halfway(float(values[~flags].max()), float(values[flags].min()))


def _cross_fit(task: _Task, calibrator: Calibrator, folds: list[NDArray[np.int64]]) -> Floats:
    """Return the measure with calibration and thresholds made on the other folds."""
    if not folds:
        return np.full(task.y.shape[1], np.nan)
    crossed = np.zeros(task.y.shape, dtype=np.bool_)
    for number, fold in enumerate(folds, start=1):
        rows = np.ones(len(task.y), dtype=np.bool_)
        rows[fold] = False
        part = task.calibrate(rows, calibrator)
        values = part.apply(task.natural) + task.prior_shift
        cuts = task.cuts(values, rows, FOLD_ROUNDS, number)
        crossed[fold] = task.decide(values[fold], np.array([cut.threshold for cut in cuts]))
    return task.reached(crossed)
