"""Tuning of wide scores: some labels, or some rows, at a time, so that nothing is copied whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise.artifacts import Calibrator, Evidence, Labels, Scores
from equipoise.artifacts.calibrator import Knots
from equipoise.artifacts.rule import top_cells
from equipoise.decisions._folds import Tuned, deal_folds
from equipoise.decisions._labels import label_notes, tune_labels, weight_notes
from equipoise.decisions.calibration import (
    OFFSET_FROM,
    LabelMethod,
    fit_label_calibrator,
    rare_offsets,
    rungs,
)
from equipoise.decisions.evidence import default_at, natural_log_odds, way_back
from equipoise.decisions.objectives import Budget, Cost, Objective, Rescale, TopK
from equipoise.decisions.priors import TargetPrior, shift_prior, smoothed_prior, to_target_prior

# Labels whose columns are taken together, and entries of the rows that are.
LABELS, ENTRIES = 64, 1 << 22


def goes_in_blocks(scores: Scores, objective: Objective, target_prior: TargetPrior) -> bool:
    """Whether labels are tuned some at a time.

    A budget is spent on all of them at once, EM starts from all rows and labels, and costs or
    shares of each label are those of all.
    """
    whole = isinstance(objective, Budget) or (
        isinstance(target_prior, str) and target_prior == "em"
    )
    if isinstance(objective, Cost):
        whole = whole or np.ndim(objective.costs) > 1
    if isinstance(objective, Rescale):
        whole = whole or objective.shares is not None
    return scores.is_wide and not whole


def _blocks(width: int) -> Iterator[tuple[int, int]]:
    for start in range(0, width, LABELS):
        yield start, min(start + LABELS, width)


def tune_wide(
    scores: Scores,
    evidence: Evidence | None,
    objective: Objective,
    target_prior: TargetPrior,
    calibration: LabelMethod,
    seed: int,
) -> Tuned:
    """Return what :func:`tune_labels` does; offsets of rare labels are the same but for rounding.

    Args:
        scores: With labels.
        evidence: The limit on what one probability says.
        objective: One that :func:`goes_in_blocks` lets pass.
        target_prior: As stated.
        calibration: The highest rung.
        seed: Of folds and thresholds.
    """
    labels = scores.require_labels()
    if isinstance(objective, TopK):
        return _tune_top_k(scores, evidence, objective, target_prior, calibration, seed)
    folds, made = deal_folds(labels, seed), []
    for start, stop in _blocks(labels.num_classes):
        some = scores.narrow(start, stop)
        limit = None if evidence is None else evidence.narrow(start, stop)
        prior = target_prior if isinstance(target_prior, str) else target_prior[start:stop]
        made.append(
            tune_labels(
                some, way_back(some), natural_log_odds(some, limit), objective, prior,
                calibration, seed, default_at(some, limit), folds=folds, first=start,
            )
        )  # fmt: skip
    return _join(made)


def _join(parts: Sequence[Tuned]) -> Tuned:
    def joined(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in parts])

    arrays = ("prior_shift", "thresholds", "claimed", "cross_fitted", "low", "high", "prior",
              "decided", "behind")  # fmt: skip
    return Tuned(
        calibrator=_join_calibrators([part.calibrator for part in parts]),
        class_offset=None,
        notes=tuple(chain.from_iterable(part.notes for part in parts)),
        **{name: joined(name) for name in arrays},  # type: ignore[arg-type]
    )


def _join_calibrators(parts: Sequence[Calibrator]) -> Calibrator:
    knots = [part.knots or (None,) * part.scale.size for part in parts]
    return Calibrator(
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.offset for part in parts]),
        tuple(chain.from_iterable(part.method for part in parts)),
        np.concatenate([part.effective_weight for part in parts]),
        tuple(chain.from_iterable(knots)) if any(part.knots for part in parts) else (),
    )


def _tune_top_k(
    scores: Scores,
    evidence: Evidence | None,
    objective: TopK,
    target_prior: TargetPrior,
    calibration: LabelMethod,
    seed: int,
) -> Tuned:
    """Calibrate some labels at a time, then choose among all labels of some rows at a time."""
    labels = scores.require_labels()
    n, width, correction = len(labels), labels.num_classes, way_back(scores)
    folds, folded = deal_folds(labels, seed), np.full(n, -1)
    for number, fold in enumerate(folds):
        folded[fold] = number
    validation = smoothed_prior(labels.counts, labels.known, "multilabel")
    few = np.minimum(labels.counts, labels.known - labels.counts) < OFFSET_FROM
    trusted = few & (labels.known > 0) & (correction is not None)
    stated = None if correction is None else correction.nominal_weight
    nominal = None if stated is None else np.broadcast_to(np.asarray(stated), (width,))
    fitted: list[list[Calibrator]] = [[] for _ in range(len(folds) + 1)]
    for start, stop in _blocks(width):
        limit = None if evidence is None else evidence.narrow(start, stop)
        some = scores.narrow(start, stop)
        natural, y = natural_log_odds(some, limit), some.require_labels().values
        if trusted[start:stop].any():
            rare = trusted[start:stop]
            validation[start:stop][rare] = _mean_probability(natural, y)[rare]
        asked = None if nominal is None else nominal[start:stop]
        made = _calibrators(natural, y, folded, len(folds), asked, calibration, correction is None)
        for parts, part in zip(fitted, made, strict=True):
            parts.append(part)
    calibrator, *crossed = (_join_calibrators(parts) for parts in fitted)
    target = to_target_prior(target_prior, validation, "multilabel")
    shift = shift_prior(validation, target, "multilabel")
    weights = np.stack([target / validation, (1 - target) / (1 - validation)])
    tally = _Tally(labels)
    mine, theirs = [], []
    for at in range(0, n, max(1, ENTRIES // width)):
        rows = slice(at, min(at + max(1, ENTRIES // width), n))
        natural = natural_log_odds(scores[rows], evidence)
        mine.append(_flagged(calibrator.apply(natural) + shift, objective.k, np.arange(n)[rows]))
        for number in np.unique(folded[rows]).tolist() if folds else ():
            held = np.flatnonzero(folded[rows] == number)
            values = crossed[number].apply(natural[held]) + shift
            theirs.append(_flagged(values, objective.k, at + held))
    hit, alarm = tally.count(mine)
    claimed = tally.reached(objective, weights, hit, alarm)
    cross_fitted = np.full(width, np.nan)
    if folds:
        cross_fitted = tally.reached(objective, weights, *tally.count(theirs))
    cuts = np.full(width, -np.inf)
    none = np.zeros((0, 0), dtype=np.bool_)
    notes = label_notes(labels, objective, none, cuts, weights, claimed - cross_fitted)
    expressed = weight_notes(nominal, calibrator.effective_weight)
    total = weights[0] * tally.positives + weights[1] * tally.negatives
    decided = np.zeros(width)
    np.divide(weights[0] * hit + weights[1] * alarm, total, out=decided, where=total > 0)
    return Tuned(
        calibrator=calibrator,
        prior_shift=shift,
        thresholds=cuts,
        class_offset=None,
        claimed=claimed,
        cross_fitted=cross_fitted,
        notes=tuple("; ".join(filter(None, pair)) for pair in zip(notes, expressed, strict=True)),
        low=np.full(width, np.nan),
        high=np.full(width, np.nan),
        choice=objective.choice,
        prior=target,
        decided=decided,
        behind=np.zeros(width, dtype=np.int8),
    )


def _calibrators(
    natural: Floats,
    y: NDArray[np.int8],
    folded: Ints,
    n_folds: int,
    nominal: Floats | None,
    highest: LabelMethod,
    ranked: bool,
) -> list[Calibrator]:
    """Return the calibrators of some labels: on all rows, then without each fold.

    Offsets of labels that nowhere get more are found at once for all of these.
    """
    width = y.shape[1]
    each = [slice(None), *(folded != fold for fold in range(n_folds))]
    order = np.argsort(folded, kind="stable")
    # Label by label in one piece, rows of a fold together.
    z, truth, part = np.ascontiguousarray(natural[order].T), y[order].T.copy(), folded[order]
    sides = [truth == 1, truth >= 0]
    totals = [side.sum(axis=1) for side in sides]
    without = [[total - side[:, part == fold].sum(axis=1) for fold in range(n_folds)]
               for side, total in zip(sides, totals, strict=True)]  # fmt: skip
    positives, known = ([total, *rest] for total, rest in zip(totals, without, strict=True))
    rung = np.stack([
        rungs(np.minimum(pos, n - pos), highest, not ranked)
        for pos, n in zip(positives, known, strict=True)
    ])  # fmt: skip
    offset = np.zeros((n_folds + 1, width))
    for column in np.flatnonzero((rung >= 1).any(axis=0) & (rung <= 1).all(axis=0)).tolist():
        seen = slice(None) if totals[1][column] == y.shape[0] else sides[1][column]
        here = part[seen] if n_folds else part[:0]
        # A fold without a known row has no place among the parts.
        if n_folds and np.count_nonzero(np.diff(here)) + 1 < n_folds:
            offset[:, column] = np.nan
        else:
            offset[:, column] = rare_offsets(z[column, seen], sides[0][column, seen], here)
    offset[rung == 0] = 0.0
    more = np.flatnonzero((rung > 1).any(axis=0) | np.isnan(offset).any(axis=0))
    asked = np.ones(width) if nominal is None else nominal
    out: list[Calibrator] = []
    for number, rows in enumerate(each):
        effective = np.where(
            rung[number] == 1, asked * np.exp(np.clip(-offset[number], -700, 700)), np.nan
        )
        scale, method = np.ones(width), [("formula", "offset")[min(r, 1)] for r in rung[number]]
        knots: list[Knots | None] = [None] * width
        if more.size:
            fit = fit_label_calibrator(
                natural[:, more][rows], y[:, more][rows],
                nominal_weight=None if nominal is None else nominal[more],
                verified=not ranked, highest=highest,
                start=out[0].some(more) if out else None,
            )  # fmt: skip
            scale[more], offset[number, more] = fit.scale, fit.offset
            effective[more] = fit.effective_weight
            for place, column in enumerate(more.tolist()):
                method[column] = fit.method[place]
                knots[column] = fit.knots[place] if fit.knots else None
        held = tuple(knots) if any(k is not None for k in knots) else ()
        out.append(Calibrator(scale, offset[number], tuple(method), effective, held))
    return out


def _mean_probability(natural: Floats, y: NDArray[np.int8]) -> Floats:
    """Return the mean probability of the known rows, strictly between 0 and 1.

    By 1 / (1 + exp(-z)), which costs half of what is exact in the far tail too.
    """
    with np.errstate(over="ignore"):
        share = np.exp(-natural)
        share += 1.0
        np.reciprocal(share, out=share)
    known = y >= 0
    total = share.sum(axis=0) if known.all() else np.einsum("nl,nl->l", share, known)
    return np.asarray((total + 1e-3) / (known.sum(axis=0) + 2e-3))


def _flagged(values: Floats, k: int, rows: Ints) -> tuple[Ints, Ints]:
    """Return rows and labels that are flagged, given which rows these are."""
    row, column = top_cells(values, k)
    return rows[row], column


class _Tally:
    """The truth of wide labels, to count flags by."""

    def __init__(self, labels: Labels) -> None:
        entries = labels.entries
        self.width, self.values = entries.width, entries.values
        # Rising, as the entries of a row stand in the order of labels.
        self.cells = entries.rows * entries.width + entries.columns
        self.positives = labels.counts
        self.negatives = labels.known - labels.counts

    def count(self, flagged: Sequence[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
        """Return true and false positives of each label, (L,) each; unknown entries are neither."""
        rows, columns = (np.concatenate(side) for side in zip(*flagged, strict=True))
        cells = rows * self.width + columns
        at = np.minimum(np.searchsorted(self.cells, cells), max(self.cells.size - 1, 0))
        truth = np.where(self.cells[at] == cells, self.values[at], 0)
        hit, alarm = (np.bincount(columns[truth == side], minlength=self.width) for side in (1, 0))
        return hit, alarm

    def reached(self, objective: Objective, weights: Floats, hit: Ints, alarm: Ints) -> Floats:
        """Return the measure per label at the target prior, (L,)."""
        return objective.value(
            weights[0] * hit, weights[1] * alarm,
            weights[0] * self.positives, weights[1] * self.negatives,
        )  # fmt: skip
