"""Tuning for labels: calibration by the ladder, then one threshold per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.rng import generator
from equipoise.artifacts import Calibrator, Correction, Scores
from equipoise.decisions._folds import Tuned, deal_folds
from equipoise.decisions.calibration import OFFSET_FROM, fit_label_calibrator
from equipoise.decisions.priors import (
    TargetPrior,
    shift_prior,
    smoothed_prior,
    to_target_prior,
)
from equipoise.decisions.thresholds import parse_f_beta, tune_threshold

__all__ = ["tune_labels"]

Floats = NDArray[np.float64]
Truth = NDArray[np.int8]
ROUNDS, FOLD_ROUNDS = 100, 25


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What every fold has in common."""

    natural: Floats
    y: Truth
    prior_shift: Floats
    weights: Floats
    beta: float
    nominal: Floats | None
    verified: bool
    seed: int

    def fit(self, rows: NDArray[np.int64], rounds: int, stream: int) -> tuple[Calibrator, Floats]:
        """Fit calibrator and thresholds, (L,), on some rows."""
        y, natural = self.y[rows], self.natural[rows]
        calibrator = fit_label_calibrator(
            natural, y, nominal_weight=self.nominal, verified=self.verified
        )
        values = calibrator.apply(natural) + self.prior_shift
        cuts = np.full(y.shape[1], np.inf)
        for column in range(y.shape[1]):
            known = y[:, column] >= 0
            if known.any():
                cuts[column] = tune_threshold(
                    values[known, column],
                    y[known, column] == 1,
                    generator(self.seed, "thresholds", column, stream),
                    beta=self.beta,
                    weights=(float(self.weights[0, column]), float(self.weights[1, column])),
                    rounds=rounds,
                )
        return calibrator, cuts

    def reached(self, flags: NDArray[np.bool_]) -> Floats:
        """Return F-beta per label at the target prior, (L,); NaN without positives."""
        yes, no = self.y == 1, self.y == 0
        tp = self.weights[0] * (yes & flags).sum(axis=0)
        fn = self.weights[0] * (yes & ~flags).sum(axis=0)
        fp = self.weights[1] * (no & flags).sum(axis=0)
        square = self.beta * self.beta
        out = np.full(self.y.shape[1], np.nan)
        below = (1 + square) * tp + square * fn + fp
        np.divide((1 + square) * tp, below, out=out, where=tp + fn > 0)
        return out


def tune_labels(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    objective: str,
    target_prior: TargetPrior,
    seed: int,
) -> Tuned:
    """Fit calibration and thresholds; ``claimed`` holds F-beta per label at the target prior."""
    beta = parse_f_beta(objective)
    labels = scores.require_labels()
    y = labels.values
    validation = smoothed_prior(labels.counts, labels.known, "multilabel")
    target = to_target_prior(target_prior, validation, "multilabel")
    nominal = correction.nominal_weight if correction is not None else None
    task = _Task(
        natural=natural,
        y=y,
        prior_shift=shift_prior(validation, target, "multilabel"),
        weights=np.stack([target / validation, (1 - target) / (1 - validation)]),
        beta=beta,
        nominal=None if nominal is None else np.asarray(nominal),
        verified=correction is not None,
        seed=seed,
    )
    calibrator, cuts = task.fit(np.arange(len(scores)), ROUNDS, 0)
    values = calibrator.apply(natural) + task.prior_shift
    folds = deal_folds(labels, seed)
    crossed = np.zeros(y.shape, dtype=np.bool_)
    for number, fold in enumerate(folds, start=1):
        part, part_cuts = task.fit(np.setdiff1d(np.arange(len(scores)), fold), FOLD_ROUNDS, number)
        crossed[fold] = part.apply(natural[fold]) + task.prior_shift >= part_cuts
    return Tuned(
        calibrator=calibrator,
        prior_shift=task.prior_shift,
        thresholds=cuts,
        class_offset=None,
        claimed=task.reached(values >= cuts),
        cross_fitted=task.reached(crossed) if folds else np.full(y.shape[1], np.nan),
        notes=_notes(y, values >= cuts, cuts - task.prior_shift, labels.counts),
    )


def _notes(
    y: Truth,
    flags: NDArray[np.bool_],
    natural_cuts: Floats,
    counts: Sequence[int] | NDArray[np.int64],
) -> tuple[str, ...]:
    """Remark what a reader should know; cuts are at the validation prior here."""
    notes = []
    for column, cut in enumerate(natural_cuts):
        known = y[:, column] >= 0
        remarks = []
        if not known.any():
            remarks.append("no known validation rows: never flagged")
        elif counts[column] == 0:
            remarks.append("no validation positives: threshold from the formula alone")
        else:
            share = counts[column] / int(known.sum())
            flagged = float(flags[known, column].mean())
            if counts[column] < OFFSET_FROM:
                remarks.append("fewer than 3 validation positives: probabilities unverified")
            if expit(cut) < share:
                remarks.append("threshold below prevalence")
            if flagged > 3 * share:
                remarks.append(f"flags {flagged / share:.1f} times as many rows as are positive")
        notes.append("; ".join(remarks))
    return tuple(notes)
