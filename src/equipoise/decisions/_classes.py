"""Tuning for classes: temperature, strength of the prior shift, and the offset before argmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.logistic import log_softmax
from equipoise.artifacts import Calibrator, Correction, Scores
from equipoise.artifacts._choice import choose
from equipoise.decisions._folds import Tuned, deal_folds
from equipoise.decisions._offsets import (
    class_values,
    free_offsets,
    pick_strength,
    shared_offset,
    strength_counts,
)
from equipoise.decisions.class_calibration import ClassMethod, fit_class_calibrator
from equipoise.decisions.objectives import Goal
from equipoise.decisions.priors import TargetPrior, shift_prior, smoothed_prior, to_target_prior

__all__ = ["tune_classes"]

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
_UNBIASED = "no tuning: assumes that training rows are an unbiased sample and scores are calibrated"


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What every fold has in common."""

    natural: Floats
    y: Classes
    goal: Goal
    train: Floats
    target: Floats
    prior_shift: Floats
    shift: Floats
    verified: bool
    method: ClassMethod

    def fit(
        self, rows: NDArray[np.int64], free: bool, strength: float | None = None
    ) -> tuple[Calibrator, Floats]:
        """Fit calibrator and offsets on some rows, with the strength given or best on them."""
        width = self.target.size
        if self.goal.name == "rescale":
            return Calibrator.identity(width), -np.log(self.train) - self.prior_shift
        calibrator = fit_class_calibrator(
            self.natural[rows],
            self.y[rows],
            shift=self.shift,
            verified=self.verified,
            highest=self.method,
        )
        if self.goal.name in ("accuracy", "cost"):
            return calibrator, np.zeros(width)
        values = calibrator.apply(self.natural[rows]) + self.prior_shift
        measure = self.goal.shown
        offset = shared_offset(values, self.y[rows], self.target, measure, strength)
        return calibrator, free_offsets(values, self.y[rows], offset, measure) if free else offset

    def decide(self, rows: NDArray[np.int64], calibrator: Calibrator, offset: Floats) -> Classes:
        """Decide as the rule will."""
        values = log_softmax(calibrator.apply(self.natural[rows]) + self.prior_shift)
        if self.goal.choice is not None:
            return np.asarray(choose(values, self.goal.choice), dtype=np.int64)
        return np.asarray(np.argmax(values + offset, axis=1))

    def reached(self, decided: Classes) -> Floats:
        """Return the measure per class, (C,); NaN for a class without rows."""
        width = self.target.size
        if self.goal.costs is None:
            return class_values(self.goal.shown, self.y, decided, width)
        paid = np.bincount(self.y, self.goal.costs[self.y, decided], minlength=width)
        out = np.full(width, np.nan)
        counts = np.bincount(self.y, minlength=width)
        np.divide(paid, counts, out=out, where=counts > 0)
        return out

    @property
    def has_strength(self) -> bool:
        """Whether a strength of the prior shift is to be chosen."""
        fixed = self.goal.name in ("accuracy", "cost", "rescale")
        return not fixed and bool(np.ptp(self.target) >= 1e-12)

    def cross_fit(self, folds: list[NDArray[np.int64]], free: bool) -> tuple[Floats, float | None]:
        """Return the measure with all made on the other folds, and the strength best there."""
        if not folds:
            return np.full(self.target.size, np.nan), None
        crossed = np.empty(self.y.size, dtype=np.int64)
        hits: Any = 0
        flagged: Any = 0
        for fold in folds:
            part, offset = self.fit(np.setdiff1d(np.arange(self.y.size), fold), free)
            crossed[fold] = self.decide(fold, part, offset)
            if self.has_strength:
                values = part.apply(self.natural[fold]) + self.prior_shift
                more = strength_counts(values, self.y[fold], self.target)
                hits, flagged = hits + more[0], flagged + more[1]
        strength = None
        if self.has_strength:
            positives = np.bincount(self.y, minlength=self.target.size)
            strength = pick_strength(hits, flagged, positives, self.goal.shown)
        return self.reached(crossed), strength


def tune_classes(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    goal: Goal,
    target_prior: TargetPrior,
    method: ClassMethod,
    free: bool,
    seed: int,
) -> Tuned:
    """Fit calibration and class offsets; ``claimed`` holds the measure of each class."""
    labels = scores.require_labels()
    validation = smoothed_prior(labels.counts, labels.known, "multiclass")
    target = to_target_prior(target_prior, validation, "multiclass")
    source = None if correction is None or correction.prior is None else np.maximum(
        np.asarray(correction.prior), 1e-12)  # fmt: skip
    known = goal.train_prior if goal.train_prior is not None else source
    task = _Task(
        natural=natural,
        y=labels.values,
        goal=goal,
        train=validation if known is None else known,
        target=target,
        prior_shift=shift_prior(validation, target, "multiclass"),
        shift=0 * target if source is None else shift_prior(source, validation, "multiclass"),
        verified=correction is not None,
        method=method,
    )
    every, folds = np.arange(len(scores)), deal_folds(labels, seed)
    crossed, strength = task.cross_fit([] if goal.name == "rescale" else folds, free)
    calibrator, offset = task.fit(every, free, strength)
    claimed = task.reached(task.decide(every, calibrator, offset))
    crossed = claimed if goal.name == "rescale" else crossed
    common = [_UNBIASED] if goal.name == "rescale" else []
    if free and folds:
        shared = np.nanmean(task.cross_fit(folds, False)[0])
        common.append(
            f"one offset per class: {np.nanmean(crossed):.3f} cross-fitted, {shared:.3f} with one "
            "strength for all"
        )
    empty = ["no validation rows of this class" if n == 0 else "" for n in labels.counts]
    return Tuned(
        calibrator=calibrator,
        prior_shift=task.prior_shift,
        thresholds=None,
        class_offset=offset,
        claimed=claimed,
        cross_fitted=crossed,
        notes=tuple("; ".join(filter(None, [note, *common])) for note in empty),
        choice=goal.choice,
    )
