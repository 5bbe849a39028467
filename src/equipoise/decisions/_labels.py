"""Tuning for labels: calibration by the ladder, one threshold each or a shared choice, remarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.logistic import expit
from equipoise._core.rng import generator
from equipoise.artifacts import Calibrator, Correction, Labels, Scores
from equipoise.artifacts.estimate import FEW
from equipoise.artifacts.labels import effective_size
from equipoise.artifacts.rule import choose
from equipoise.artifacts.scores import default_flags
from equipoise.decisions._folds import CLEARLY, SURE, WITHIN_NOISE, Tuned, deal_folds
from equipoise.decisions.calibration import OFFSET_FROM, LabelMethod, fit_label_calibrator
from equipoise.decisions.certify import least_flagged
from equipoise.decisions.objectives import (
    Cost,
    FBeta,
    Mcc,
    NetBenefit,
    Objective,
    Precision,
    Recall,
    Rescale,
)
from equipoise.decisions.priors import TargetPrior, shift_prior, smoothed_prior, to_target_prior
from equipoise.decisions.thresholds import Cut, sorted_cut
from equipoise.metrics.sweep import Sweep, halfway

# A flood of flags, and a claim that other folds do not confirm.
FLOOD, OPTIMISM = 3.0, 0.05
# A weight that is not what was asked for, as a ratio.
FAR_WEIGHT = 1.5
_UNBIASED = "no tuning: assumes that training rows are an unbiased sample and scores are calibrated"


def label_notes(
    labels: Labels,
    objective: Objective,
    flags: NDArray[np.bool_],
    natural_cuts: Floats,
    weights: Floats,
    gap: Floats,
    counted: Floats | None = None,
) -> tuple[str, ...]:
    """Remark on every label.

    Args:
        labels: The truth of the rows tuned on.
        objective: What the rule is for.
        flags: (N, L) what the rule flags there.
        natural_cuts: (L,) thresholds at the validation prior.
        weights: (2, L) what a positive and a negative count for at the target prior.
        gap: (L,) claimed minus cross-fitted.
        counted: (N,) by what weight rows count, or None.
    """
    notes = []
    counted = np.ones(len(labels)) if counted is None else counted
    counts, shares = labels.effective_counts[0].tolist(), labels.prevalence.tolist()
    known_rows = labels.known.tolist()
    for column, cut in enumerate(natural_cuts):
        n_positive, n_known = counts[column], known_rows[column]
        if not n_known:
            notes.append("no known validation rows: never flagged")
            continue
        remarks = _on_evidence(objective, n_positive, float(cut))
        if n_positive and objective.choice is None:
            times = _flags_per_positive(
                labels.values[:, column], flags[:, column], weights[:, column], counted
            )
            if expit(cut) < shares[column] and not isinstance(objective, Rescale):
                remarks.append("threshold below prevalence")
            if times > FLOOD:
                remarks.append(f"flags {times:.1f} times as many rows as are positive")
        is_rate = not isinstance(objective, Cost | NetBenefit | Recall)
        if is_rate and gap[column] > OPTIMISM:
            remarks.append(f"claims {gap[column]:.2f} more than other folds confirm")
        notes.append("; ".join(remarks))
    return tuple(notes)


def weight_notes(nominal: Floats | None, effective: Floats) -> tuple[str, ...]:
    """Say where the weight that the model expressed is far from the one asked for.

    Example:
        >>> weight_notes(np.array([49.0]), np.array([6.0, 45.0]))
        ('weight 49 asked for, 6 expressed', '')
    """
    if nominal is None:
        return ("",) * effective.size
    return tuple(
        f"weight {asked:.3g} asked for, {got:.3g} expressed"
        if np.isfinite(got) and abs(np.log(got / asked)) > np.log(FAR_WEIGHT)
        else ""
        for asked, got in zip(np.broadcast_to(nominal, effective.shape), effective, strict=True)
    )


def _flags_per_positive(
    y: NDArray[np.int8], flags: NDArray[np.bool_], weights: Floats, counted: Floats
) -> float:
    """Return flagged rows over positive rows, at the target prior."""
    tp, fp = (counted[flags & (y == side)].sum() for side in (1, 0))
    return float((weights[0] * tp + weights[1] * fp) / (weights[0] * counted[y == 1].sum()))


def _on_evidence(objective: Objective, n_positive: float, cut: float) -> list[str]:
    if isinstance(objective, Rescale):
        return [_UNBIASED]
    remarks = []
    if isinstance(objective, Precision) and np.isinf(cut):
        wanted = objective.at_least
        least = least_flagged(wanted, confidence_level=objective.confidence_level)
        remarks.append(
            f"precision {wanted:g} is not certified: never flagged (at least {least} rows flagged, "
            "all rightly, are needed)"
        )
    elif n_positive == 0 and isinstance(objective, Recall):
        wanted = objective.at_least
        remarks.append(f"no validation positives: recall {wanted:g} is not promised, never flagged")
    elif n_positive == 0 and objective.is_fitted:
        remarks.append("no validation positives: never flagged")
    elif n_positive == 0:
        by = "the cut follows from the formula alone" if objective.choice is None else "no evidence"
        remarks.append(f"no validation positives: unverified, {by}")
    elif n_positive < OFFSET_FROM:
        remarks.append("fewer than 3 validation positives: probabilities unverified")
    return remarks


Rows = NDArray[np.bool_]
ROUNDS, FOLD_ROUNDS, ROUNDS_BEHIND = 100, 25, 200
# Below FEW positives a cut may flag no more than so many times as many rows.
MOST_TIMES = 3.0


@dataclass(frozen=True, eq=False)
class _Task:
    """What every fold has in common; ``truth`` is y by label, ``order`` sorts each descending.

    ``first`` is the place of the first label where these are some of many.
    """

    natural: Floats
    y: NDArray[np.int8]
    truth: NDArray[np.int8]
    order: NDArray[np.int64]
    objective: Objective
    train: Floats
    target: Floats
    prior_shift: Floats
    weights: Floats
    nominal: Floats | None
    verified: bool
    highest: LabelMethod
    seed: int
    default_at: Floats
    first: int
    row_weights: Floats | None

    @cached_property
    def counted(self) -> Floats:
        """By what weight rows count, (N,)."""
        return np.ones(len(self.y)) if self.row_weights is None else self.row_weights

    def calibrate(self, rows: Rows, start: Calibrator | None) -> Calibrator:
        """Fit the calibrator on some rows; the textbook cut fits nothing."""
        if isinstance(self.objective, Rescale):
            return Calibrator.identity(self.y.shape[1])
        natural, y = (self.natural, self.y) if rows.all() else (self.natural[rows], self.y[rows])
        weight = None if self.row_weights is None else self.row_weights[rows]
        return fit_label_calibrator(
            natural,
            y,
            nominal_weight=self.nominal,
            verified=self.verified,
            highest=self.highest,
            start=start,
            weight=weight,
        )

    def cuts(self, values: Floats, rows: Rows, rounds: int, stream: int) -> list[Cut]:
        """Choose one threshold per label on some rows of ``values``, (N, L)."""
        if self.objective.choice is not None:
            cut = _shared_cut(values[rows], self.objective.choice)
            return [Cut(cut)] * values.shape[1]
        columns = np.ascontiguousarray(values.T)
        return [self._cut(z, rows, column, rounds, stream) for column, z in enumerate(columns)]

    def _cut(self, z: Floats, rows: Rows, column: int, rounds: int, stream: int) -> Cut:
        if isinstance(self.objective, Rescale):
            cut = np.log(self.train[column]) - np.log1p(-self.train[column])
            return Cut(float(cut + self.prior_shift[column]))
        order, truth = self.order[column], self.truth[column]
        order = order[(rows & (truth >= 0))[order]]
        if order.size == 0:
            return Cut(np.inf)
        falling, positive = z[order], truth[order] == 1
        n_positive, counted = float(positive.sum()), None
        if self.row_weights is not None and n_positive:
            counted = self.row_weights[order]
            n_positive = effective_size(counted[positive])
            counted = counted * (n_positive / counted[positive].sum())
        if n_positive == 0 and self.objective.is_fitted:
            # Without a positive there is nothing to fit to: any cut would be a guess that floods.
            return Cut(np.inf)
        weights = (float(self.weights[0, column]), float(self.weights[1, column]))
        rng = generator(self.seed, "thresholds", self.first + column, stream)
        objective, prior = self.objective.at(column), float(self.target[column])
        cut = sorted_cut(falling, positive, rng, objective, weights, prior, rounds, counted)
        if n_positive < FEW and isinstance(objective, FBeta | Mcc):
            beta = objective.beta if isinstance(objective, FBeta) else 1.0
            points = Sweep.from_sorted(falling, positive, counted)
            strictest = _flood_limit(points, weights, beta)
            cut = cut._replace(threshold=max(cut.threshold, strictest))
        return cut

    def values_at(self, calibrator: Calibrator) -> Floats:
        """Return the cut, (L,), that decides as the default rule does: 0.5 on what came in."""
        return np.asarray(calibrator.apply(self.default_at[None, :])[0] + self.prior_shift)

    def behind(
        self, flags: NDArray[np.bool_] | None, default: NDArray[np.bool_]
    ) -> NDArray[np.int8]:
        """Return, (L,), where flags reach less than the default's: 1 within the noise, 2 clearly.

        Clearly is at a one-sided level of 5 %, by bootstrap of the eight cells of truth, flag and
        default flag. Without cross-fitted flags, or where the objective does not compare, 0.
        """
        found = np.zeros(self.y.shape[1], dtype=np.int8)
        if flags is None or not self.objective.is_compared:
            return found
        sign = self.objective.sign
        with np.errstate(invalid="ignore"):
            less = sign * self.reached(flags) < sign * self.reached(default) - 1e-12
        for column in np.flatnonzero(less).tolist():
            known = self.y[:, column] >= 0
            cells = 4 * (self.y[known, column] == 1) + 2 * flags[known, column]
            cells = cells + default[known, column]
            counts, n = np.bincount(cells, minlength=8), int(known.sum())
            if self.row_weights is not None:
                counted = self.row_weights[known]
                n = int(effective_size(counted) + 1e-9)
                counts = np.bincount(cells, counted * (n / counted.sum()), minlength=8)
            rng = generator(self.seed, "behind", self.first + column)
            drawn = rng.multinomial(n, counts / counts.sum(), ROUNDS_BEHIND)
            # The cells themselves, and below them what the bootstrap drew.
            cells = np.concatenate([counts[None, :], drawn])
            gaps = sign * np.subtract(self._value(cells, column, 1), self._value(cells, column, 2))
            clear = float(gaps[0]) > SURE * float(np.nanstd(gaps[1:]))
            found[column] = CLEARLY if clear else WITHIN_NOISE
        return found

    def _value(self, cells: NDArray[Any], column: int, bit: int) -> Floats:
        """Return the value of one label from counts of the eight cells, (..., 8)."""
        flagged = (np.arange(4) & bit) > 0
        positive, negative = (
            w * cells[..., part]
            for w, part in zip(self.weights[:, column], (slice(4, 8), slice(0, 4)), strict=True)
        )
        return self.objective.at(column).value(
            positive[..., flagged].sum(-1),
            negative[..., flagged].sum(-1),
            positive.sum(-1),
            negative.sum(-1),
        )

    def decide(self, values: Floats, cuts: Floats) -> NDArray[np.bool_]:
        """Flag as the rule will."""
        if self.objective.choice is not None:
            return np.asarray(choose(values, self.objective.choice) == 1)
        return np.asarray(values >= cuts)

    def total(self, entries: NDArray[np.bool_]) -> NDArray[Any]:
        """Return how many of some entries there are per label, (L,), or their weights."""
        if self.row_weights is None:
            return np.asarray(entries.sum(axis=0))
        return np.asarray(self.row_weights @ entries)

    def reached(self, flags: NDArray[np.bool_] | None) -> Floats:
        """Return the measure per label at the target prior, (L,); NaN where it is not defined."""
        if flags is None:
            return np.full(self.y.shape[1], np.nan)
        yes, no = self.y == 1, self.y == 0
        tp, positives = (self.weights[0] * self.total(m) for m in (yes & flags, yes))
        fp, negatives = (self.weights[1] * self.total(m) for m in (no & flags, no))
        return self.objective.value(tp, fp, positives, negatives)


def tune_labels(
    scores: Scores,
    correction: Correction | None,
    natural: Floats,
    objective: Objective,
    target_prior: TargetPrior,
    calibration: LabelMethod,
    seed: int,
    default_at: Floats,
    *,
    folds: list[NDArray[np.int64]] | None = None,
    first: int = 0,
) -> Tuned:
    """Fit calibration and thresholds; ``claimed`` holds the measure per label at the target.

    Args:
        folds: As dealt by all labels, where these are some of many.
        first: The place of the first of these among them.
    """
    labels = scores.require_labels()
    y = labels.values
    shares = smoothed_prior(*labels.weighed, "multilabel")
    # Too few positives to calibrate by: such probabilities refer to the prior of their model, and
    # from a share of one row in nothing a shift to another prior would count that prior twice.
    few = np.minimum(*labels.effective_counts) < OFFSET_FROM
    trusted = few & (labels.known > 0) & (correction is not None)
    validation = np.where(trusted, _mean_probability(natural, y >= 0, labels.weights), shares)
    target = to_target_prior(target_prior, validation, "multilabel")
    nominal = correction.nominal_weight if correction is not None else None
    train = objective.shares if isinstance(objective, Rescale) else None
    task = _Task(
        natural=natural,
        y=y,
        truth=np.ascontiguousarray(y.T),
        # A shared choice cuts no label by itself.
        order=np.argsort(-natural.T, axis=1, kind="stable")
        if objective.choice is None
        else np.zeros((0, 0), dtype=np.int64),
        objective=objective,
        train=shares if train is None else train,
        target=target,
        prior_shift=shift_prior(validation, target, "multilabel"),
        weights=np.stack([target / validation, (1 - target) / (1 - validation)]),
        nominal=None if nominal is None else np.asarray(nominal),
        verified=correction is not None,
        highest=calibration,
        seed=seed,
        default_at=default_at,
        first=first,
        row_weights=None if labels.weights is None else labels.weights / labels.weights.mean(),
    )
    every = np.ones(len(scores), dtype=np.bool_)
    calibrator = task.calibrate(every, None)
    values = calibrator.apply(natural) + task.prior_shift
    found = task.cuts(values, every, ROUNDS, 0)
    cuts = np.array([cut.threshold for cut in found])
    claimed = task.reached(task.decide(values, cuts))
    folds = deal_folds(labels, seed) if folds is None else folds
    flags_crossed = _cross_fit(task, calibrator, folds)
    crossed = task.reached(flags_crossed)
    at_half = natural >= default_at
    kept = (task.behind(flags_crossed, at_half) == CLEARLY) & objective.is_fitted
    remarks = [
        f"a tuned cut decides worse than 0.5 ({c:.3f} against {d:.3f}, cross-fitted): 0.5 is kept"
        if k else "" for k, c, d in zip(kept, crossed, task.reached(at_half), strict=True)
    ]  # fmt: skip
    if flags_crossed is not None and kept.any():
        cuts = np.where(kept, task.values_at(calibrator), cuts)
        claimed = np.where(kept, task.reached(at_half), claimed)
        flags_crossed = np.where(kept, at_half, flags_crossed)
        crossed = task.reached(flags_crossed)
    as_it_came = default_flags(scores)
    behind = task.behind(flags_crossed, as_it_came)
    for column in np.flatnonzero(behind):
        how = "worse than" if behind[column] == CLEARLY else "no better than"
        against = f"{crossed[column]:.3f} against {task.reached(as_it_came)[column]:.3f}"
        remarks[column] = remarks[column] or (
            f"decides {how} 0.5 on the scores as they came ({against}, cross-fitted)"
        )
    flags = task.decide(values, cuts)
    notes = label_notes(
        labels,
        objective,
        flags,
        cuts - task.prior_shift,
        task.weights,
        claimed - crossed,
        task.counted,
    )
    expressed = weight_notes(task.nominal, calibrator.effective_weight)
    return Tuned(
        calibrator=calibrator,
        prior_shift=task.prior_shift,
        thresholds=cuts,
        class_offset=None,
        claimed=claimed,
        cross_fitted=claimed if isinstance(objective, Rescale) else crossed,
        notes=tuple(
            "; ".join(filter(None, n)) for n in zip(notes, expressed, remarks, strict=True)
        ),
        low=np.where(kept, np.nan, [cut.low for cut in found]),
        high=np.where(kept, np.nan, [cut.high for cut in found]),
        choice=objective.choice,
        prior=target,
        decided=_share_decided(task, flags),
        behind=behind,
    )


def _mean_probability(natural: Floats, known: NDArray[np.bool_], weights: Floats | None) -> Floats:
    """Return the mean probability of the known rows, (L,), strictly between 0 and 1."""
    if weights is not None:
        mass = weights[:, None] / weights.mean() * known
        return np.asarray(((mass * expit(natural)).sum(axis=0) + 1e-3) / (mass.sum(axis=0) + 2e-3))
    total = np.where(known, expit(natural), 0.0).sum(axis=0)
    return np.asarray((total + 1e-3) / (known.sum(axis=0) + 2e-3))


def _share_decided(task: _Task, flags: NDArray[np.bool_]) -> Floats:
    """Return the share of known rows that are flagged, (L,), at the target prior."""
    yes, no = task.y == 1, task.y == 0
    of_yes, of_no = task.weights
    hit = of_yes * task.total(yes & flags) + of_no * task.total(no & flags)
    total = of_yes * task.total(yes) + of_no * task.total(no)
    share = np.zeros(hit.size)
    np.divide(hit, total, out=share, where=total > 0)
    return share


def _flood_limit(points: Sweep, weights: tuple[float, float], beta: float) -> float:
    """Return the least cut that flags no more rows than a few positives can stand for."""
    flagged = weights[0] * points.tp + weights[1] * points.fp
    allowed = MOST_TIMES * max(1.0, beta * beta) * weights[0] * float(points.tp[-1])
    return points.cut_below(int(np.searchsorted(flagged, allowed, side="right")) - 1)


def _shared_cut(values: Floats, choice: Mapping[str, Any]) -> float:
    """Return the cut that flags what a budget flagged here; nothing is cut by top-k."""
    if choice["form"] == "top_k":
        return float("-inf")
    flags = choose(values, choice) == 1
    if flags.all() or not flags.any():
        return float(values.min() if flags.all() else np.nextafter(values.max(), np.inf))
    return halfway(float(values[~flags].max()), float(values[flags].min()))


def _cross_fit(
    task: _Task, calibrator: Calibrator, folds: list[NDArray[np.int64]]
) -> NDArray[np.bool_] | None:
    """Return flags, (N, L), with calibration and thresholds made on the other folds."""
    if not folds:
        return None
    crossed = np.zeros(task.y.shape, dtype=np.bool_)
    for number, fold in enumerate(folds, start=1):
        rows = np.ones(len(task.y), dtype=np.bool_)
        rows[fold] = False
        part = task.calibrate(rows, calibrator)
        values = part.apply(task.natural) + task.prior_shift
        cuts = task.cuts(values, rows, FOLD_ROUNDS, number)
        crossed[fold] = task.decide(values[fold], np.array([cut.threshold for cut in cuts]))
    return crossed
