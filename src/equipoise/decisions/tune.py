"""From validation scores to a decision rule: correction, calibration, prior shift, thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.checks import one_of, say
from equipoise._core.rng import generator
from equipoise.artifacts import Calibrator, Correction, DecisionRule, Scores
from equipoise.artifacts.rule import hash_ids
from equipoise.decisions.calibration import fit_class_calibrator, fit_label_calibrator
from equipoise.decisions.priors import (
    TargetPrior,
    shift_prior,
    smoothed_prior,
    to_target_prior,
)
from equipoise.decisions.thresholds import parse_f_beta, tune_threshold
from equipoise.errors import LeakageError
from equipoise.metrics import balanced_accuracy, f_beta

__all__ = ["tune"]

Floats = NDArray[np.float64]
GRADES = ((100, "A"), (50, "B"), (10, "C"), (0, "D"))
STRENGTHS = np.round(np.arange(0.0, 2.0001, 0.05), 2)
FOLDS = 5


def tune(
    scores: Scores,
    *,
    objective: str | None = None,
    target_prior: TargetPrior = "validation",
    seed: int = 0,
) -> DecisionRule:
    """Make a decision rule from validation (or out-of-fold) scores.

    Args:
        scores: With labels, of split "val" or "oof"; anything else is refused.
        objective: "f1", "f2", "f0.5", ... for labels (default "f1"); "balanced_accuracy" (default)
            or "accuracy" for classes.
        target_prior: What share of each class or label the decisions are for: "validation",
            "uniform", or one share each.
        seed: For the bootstrap rounds of the thresholds and the folds of the cross-fitted value.

    Returns:
        A rule whose probabilities refer to ``target_prior``. ``claimed`` is the objective on these
        rows, ``cross_fitted`` the same with calibration and threshold made on other folds.

    Raises:
        LeakageError: the scores are of training, test or new rows.
        DataError: the scores carry no labels.

    Example:
        >>> from equipoise.artifacts import Labels
        >>> rng = np.random.default_rng(0)
        >>> y = (rng.random(500) < 0.1).astype(int)
        >>> labels = Labels.from_array(y, kind="multilabel", names=["A"])
        >>> logits = 2 * y - 3 + rng.normal(size=500)
        >>> rule = tune(Scores.from_arrays(labels, logits=logits, split="val"))
        >>> rule.grades, rule.calibrator.method
        (('C',), ('platt',))
    """
    if scores.split not in ("val", "oof"):
        raise LeakageError(
            say(
                "scores.split",
                "be 'val' or 'oof'",
                repr(scores.split),
                "Thresholds are chosen on validation data and judged on test data, never on the "
                "same rows.",
            )
        )
    scores.require_labels()
    if scores.kind == "multiclass":
        return _tune_classes(scores, objective or "balanced_accuracy", target_prior)
    return _tune_labels(scores, objective or "f1", target_prior, seed)


def _natural(scores: Scores) -> tuple[Correction | None, Floats]:
    if not scores.has_probabilities:
        return None, scores.logits()
    correction = scores.correction or Correction.identity(scores.kind)
    return correction, correction.apply(scores.logits())


def _common(scores: Scores, target_prior: TargetPrior, counts: NDArray[np.int64]) -> dict[str, Any]:
    named = target_prior if isinstance(target_prior, str) else tuple(float(p) for p in target_prior)
    return {
        "kind": scores.kind,
        "names": scores.names,
        "target_prior": named,
        "tuned_on": {
            "split": scores.split,
            "n_rows": len(scores),
            "fingerprint": scores.fingerprint,
        },
        "id_hashes": None if scores.ids is None else hash_ids(scores.ids),
        "grades": tuple(next(g for least, g in GRADES if n >= least) for n in counts),
    }


def _tune_classes(scores: Scores, objective: str, target_prior: TargetPrior) -> DecisionRule:
    one_of("objective", objective, ("balanced_accuracy", "accuracy"))
    labels = scores.require_labels()
    correction, natural = _natural(scores)
    validation = smoothed_prior(labels.counts, labels.known, "multiclass")
    source = correction.prior if correction is not None else None
    shift = np.zeros(validation.size)
    if source is not None:
        shift = shift_prior(np.maximum(np.asarray(source), 1e-12), validation, "multiclass")
    target = to_target_prior(target_prior, validation, "multiclass")
    prior_shift = shift_prior(validation, target, "multiclass")
    y = labels.values

    def fit(rows: NDArray[np.int64]) -> tuple[Calibrator, Floats]:
        calibrator = fit_class_calibrator(
            natural[rows], y[rows], shift=shift, verified=correction is not None
        )
        values = calibrator.apply(natural[rows]) + prior_shift
        return calibrator, _class_offset(values, y[rows], target, objective)

    def recalls(hit: NDArray[np.bool_]) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.bincount(y, weights=hit, minlength=target.size) / labels.counts

    calibrator, offset = fit(np.arange(y.size))
    decided = np.argmax(calibrator.apply(natural) + prior_shift + offset, axis=1)
    crossed = np.empty_like(decided)
    for fold in _folds(labels.one_hot(), scores, 0):
        other = np.setdiff1d(np.arange(y.size), fold)
        if other.size:
            part, part_offset = fit(other)
            values = part.apply(natural[fold]) + prior_shift + part_offset
            crossed[fold] = np.argmax(values, axis=1)
    return DecisionRule(
        correction=correction,
        calibrator=calibrator,
        prior_shift=prior_shift,
        thresholds=None,
        class_offset=offset,
        objective=objective,
        claimed=recalls(decided == y),
        cross_fitted=recalls(crossed == y),
        notes=("",) * target.size,
        **_common(scores, target_prior, labels.counts),
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


def _tune_labels(
    scores: Scores, objective: str, target_prior: TargetPrior, seed: int
) -> DecisionRule:
    beta = parse_f_beta(objective)
    labels = scores.require_labels()
    correction, natural = _natural(scores)
    verified = correction is not None
    validation = smoothed_prior(labels.counts, labels.known, "multilabel")
    target = to_target_prior(target_prior, validation, "multilabel")
    prior_shift = shift_prior(validation, target, "multilabel")
    weights = np.stack([target / validation, (1 - target) / (1 - validation)], axis=1)
    y = labels.values
    nominal = None
    if correction is not None and correction.nominal_weight is not None:
        nominal = np.asarray(correction.nominal_weight)

    def fit(rows: NDArray[np.int64], rounds: int, stream: int) -> tuple[Calibrator, Floats]:
        calibrator = fit_label_calibrator(
            natural[rows], y[rows], nominal_weight=nominal, verified=verified
        )
        values = calibrator.apply(natural[rows]) + prior_shift
        cuts = np.empty(y.shape[1])
        for column in range(y.shape[1]):
            known = y[rows, column] >= 0
            if not known.any():
                cuts[column] = np.inf
                continue
            cuts[column] = tune_threshold(
                values[known, column],
                y[rows][known, column] == 1,
                generator(seed, "thresholds", column, stream),
                beta=beta,
                weights=(float(weights[column, 0]), float(weights[column, 1])),
                rounds=rounds,
            )
        return calibrator, cuts

    calibrator, cuts = fit(np.arange(len(scores)), 100, 0)
    values = calibrator.apply(natural) + prior_shift
    claimed = f_beta(y, (values >= cuts).astype(np.int8), beta=beta)
    crossed = np.zeros(y.shape, dtype=np.int8)
    for number, fold in enumerate(_folds(y, scores, seed), start=1):
        other = np.setdiff1d(np.arange(len(scores)), fold)
        if other.size:
            part, part_cuts = fit(other, 25, number)
            crossed[fold] = part.apply(natural[fold]) + prior_shift >= part_cuts
    return DecisionRule(
        correction=correction,
        calibrator=calibrator,
        prior_shift=prior_shift,
        thresholds=cuts,
        class_offset=None,
        objective=objective,
        claimed=claimed,
        cross_fitted=f_beta(y, crossed, beta=beta),
        notes=_notes(values, cuts, y, labels.counts),
        **_common(scores, target_prior, labels.counts),
    )


def _folds(y: NDArray[Any], scores: Scores, seed: int) -> list[NDArray[np.int64]]:
    """Deal rows (or groups) into folds so that rows with rare labels spread evenly."""
    labels = scores.require_labels()
    rng = generator(seed, "cross-fit")
    if labels.groups is not None:
        _, codes = np.unique(labels.groups, return_inverse=True)
        dealt = rng.permutation(int(codes.max()) + 1)[codes] % FOLDS
    else:
        positive = (y == 1).astype(np.float64)
        rarity = positive / np.maximum(positive.sum(axis=0), 1.0)
        order = np.lexsort((rng.random(y.shape[0]), -rarity.max(axis=1), rarity.argmax(axis=1)))
        dealt = np.empty(y.shape[0], dtype=np.int64)
        dealt[order] = np.arange(y.shape[0]) % FOLDS
    return [np.flatnonzero(dealt == fold) for fold in range(FOLDS) if (dealt == fold).any()]


def _notes(
    values: Floats, cuts: Floats, y: NDArray[np.int8], counts: NDArray[np.int64]
) -> tuple[str, ...]:
    notes = []
    for column, cut in enumerate(cuts):
        known = y[:, column] >= 0
        share = counts[column] / max(int(known.sum()), 1)
        flagged = float((values[known, column] >= cut).mean()) if known.any() else 0.0
        remarks = []
        if counts[column] == 0:
            remarks.append("no validation positives: threshold from the formula alone")
        elif counts[column] < 3:
            remarks.append("fewer than 3 validation positives: probabilities unverified")
        if counts[column] and expit(cut) < share:
            remarks.append("threshold below prevalence")
        if counts[column] and flagged > 3 * share:
            remarks.append(f"flags {flagged / share:.1f} times as many rows as are positive")
        notes.append("; ".join(remarks))
    return tuple(notes)
