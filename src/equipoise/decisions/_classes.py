"""Tuning for classes: temperature, strength of the prior shift, and the offset before argmax."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import one_of
from equipoise.artifacts import Calibrator, Correction, Scores
from equipoise.decisions._folds import Tuned, deal_folds
from equipoise.decisions.class_calibration import fit_class_calibrator
from equipoise.decisions.priors import (
    TargetPrior,
    shift_prior,
    smoothed_prior,
    to_target_prior,
)
from equipoise.metrics import balanced_accuracy

__all__ = ["tune_classes"]

Floats = NDArray[np.float64]
STRENGTHS = np.round(np.arange(0.0, 2.0001, 0.05), 2)


def tune_classes(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    objective: str,
    target_prior: TargetPrior,
    seed: int,
) -> Tuned:
    """Fit calibration and class offsets; ``claimed`` holds the recall of each class."""
    one_of("objective", objective, ("balanced_accuracy", "accuracy"))
    labels = scores.require_labels()
    y, width = labels.values, labels.num_classes
    validation = smoothed_prior(labels.counts, labels.known, "multiclass")
    target = to_target_prior(target_prior, validation, "multiclass")
    prior_shift = shift_prior(validation, target, "multiclass")
    shift = np.zeros(width)
    if correction is not None and correction.prior is not None:
        source = np.maximum(np.asarray(correction.prior), 1e-12)
        shift = shift_prior(source, validation, "multiclass")

    def fit(rows: NDArray[np.int64]) -> tuple[Calibrator, Floats]:
        calibrator = fit_class_calibrator(
            natural[rows], y[rows], shift=shift, verified=correction is not None
        )
        values = calibrator.apply(natural[rows]) + prior_shift
        return calibrator, _class_offset(values, y[rows], target, objective)

    def recalls(decided: NDArray[np.int64]) -> Floats:
        out = np.full(width, np.nan)
        hits = np.bincount(y, weights=decided == y, minlength=width)
        np.divide(hits, labels.counts, out=out, where=labels.counts > 0)
        return out

    calibrator, offset = fit(np.arange(y.size))
    folds = deal_folds(labels, seed)
    crossed = np.empty(y.size, dtype=np.int64)
    for fold in folds:
        part, part_offset = fit(np.setdiff1d(np.arange(y.size), fold))
        crossed[fold] = np.argmax(part.apply(natural[fold]) + prior_shift + part_offset, axis=1)
    decided = np.argmax(calibrator.apply(natural) + prior_shift + offset, axis=1)
    return Tuned(
        calibrator=calibrator,
        prior_shift=prior_shift,
        thresholds=None,
        class_offset=offset,
        claimed=recalls(decided),
        cross_fitted=recalls(crossed) if folds else np.full(width, np.nan),
        notes=tuple("no validation rows of this class" if n == 0 else "" for n in labels.counts),
    )


def _class_offset(values: Floats, y: NDArray[np.int64], target: Floats, objective: str) -> Floats:
    """Return -tau log(prior), with the scalar tau that is best on these rows, nearest to 1."""
    if objective == "accuracy" or np.ptp(target) < 1e-12:
        return np.zeros(target.size)
    reached = [
        balanced_accuracy(
            y, np.argmax(values - t * np.log(target), axis=1), num_classes=target.size
        )
        for t in STRENGTHS
    ]
    best = STRENGTHS[np.flatnonzero(np.isclose(reached, max(reached)))]
    return np.asarray(-best[np.argmin(np.abs(best - 1.0))] * np.log(target))
