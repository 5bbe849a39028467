"""Offsets before the argmax: one strength for all classes, or one offset each by line search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats

Classes = NDArray[np.int64]
STRENGTHS = np.round(np.arange(0.0, 2.0001, 0.05), 2)
SWEEPS, LEAST_GAIN = 20, 1e-9


def class_values(
    measure: str, y_true: Classes, decided: Classes, width: int, weight: Floats | None = None
) -> Floats:
    """Return recall or F1 per class, (C,); NaN for a class without rows.

    Rows are counted by their ``weight``, (N,), where it is given, here and below.

    Example:
        >>> class_values("f1", np.array([0, 0, 1]), np.array([0, 1, 1]), 2).round(3).tolist()
        [0.667, 0.667]
    """
    hits = _count(y_true, weight, width, decided == y_true)
    positives = _count(y_true, weight, width)
    below = positives if measure == "recall" else positives + _count(decided, weight, width)
    out = np.full(width, np.nan)
    np.divide((1 if measure == "recall" else 2) * hits, below, out=out, where=positives > 0)
    return out


def _count(
    classes: Classes, weight: Floats | None, width: int, some: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """Return rows per class, all or ``some``, or their weights."""
    if some is not None:
        classes, weight = classes[some], None if weight is None else weight[some]
    return np.asarray(np.bincount(classes, weight, minlength=width))


def strength_counts(
    values: Floats, y_true: Classes, target: Floats, weight: Floats | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return hits and decisions per strength and class, (T, C) each, of these rows.

    Sums over folds, each decided by what was fitted on the others, are what :func:`pick_strength`
    chooses by.
    """
    width, log_prior = target.size, np.log(target)
    hits, flagged = [], []
    for tau in STRENGTHS:
        decided = np.argmax(values - tau * log_prior, axis=1)
        hits.append(_count(y_true, weight, width, decided == y_true))
        flagged.append(_count(decided, weight, width))
    return np.stack(hits), np.stack(flagged)


def pick_strength(
    hits: NDArray[Any], flagged: NDArray[Any], positives: NDArray[Any], measure: str
) -> float:
    """Return the scalar tau with the best mean over classes with rows, nearest to 1."""
    below = np.broadcast_to(positives, hits.shape) if measure == "recall" else positives + flagged
    present = positives > 0
    ratio = (1 if measure == "recall" else 2) * hits[:, present] / below[:, present]
    reached = ratio.mean(axis=1)
    best = STRENGTHS[np.isclose(reached, reached.max())]
    return float(best[np.argmin(np.abs(best - 1.0))])


def shared_offset(
    values: Floats,
    y_true: Classes,
    target: Floats,
    measure: str,
    strength: float | None = None,
    weight: Floats | None = None,
) -> Floats:
    """Return -tau log(prior); without ``strength``, with the tau that is best on these rows."""
    width = target.size
    if np.ptp(target) < 1e-12:
        return np.zeros(width)
    if strength is None:
        positives = _count(y_true, weight, width)
        counts = strength_counts(values, y_true, target, weight)
        strength = pick_strength(*counts, positives, measure)
    return np.asarray(-strength * np.log(target))


def free_offsets(
    values: Floats,
    y_true: Classes,
    start: Floats,
    measure: str,
    sweeps: int = SWEEPS,
    weight: Floats | None = None,
) -> Floats:
    """Return one offset per class that maximises the mean recall or F1, class after class.

    For class c, row i is decided as c once its offset exceeds the lead of the best other class;
    one sort of these leads gives the mean at every offset, so each step is exact.

    Args:
        values: (N, C) log-posteriors.
        y_true: (N,) classes.
        start: (C,) offsets to begin with.
        measure: "recall" or "f1".
        sweeps: How often all classes are gone through at most.
        weight: (N,) by which rows are counted, or None.

    Returns:
        (C,) with mean 0.

    Example:
        >>> values = np.log(np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]]))
        >>> b = free_offsets(values, np.array([0, 1, 1]), np.zeros(2), "f1")
        >>> (values + b).argmax(axis=1).tolist()
        [0, 1, 1]
    """
    counted = np.ones(y_true.size) if weight is None else weight
    offset, counts = start.astype(np.float64), _count(y_true, counted, start.size)
    rows = np.arange(y_true.size)
    leaders = _Leaders(values + offset)
    best = float(np.nanmean(class_values(measure, y_true, leaders.first, start.size, weight)))
    for _ in range(sweeps):
        before = best
        for c in np.flatnonzero(counts):
            rival = leaders.beside(int(c))
            lead = values[rows, rival] + offset[rival] - values[:, c]
            # A growing offset takes rows from the smallest lead on: what it decides as c is always
            # a beginning of this order, and mean[k] belongs to its first k rows.
            order = np.argsort(lead, kind="stable")
            lead = lead[order]
            mean = _means(y_true[order], rival[order], counted[order], int(c), counts, measure)
            # Rows of equal lead go over together, so no offset parts them.
            is_cut = np.concatenate([[True], lead[1:] != lead[:-1], [True]])
            taken = int(np.argmax(np.where(is_cut, mean, -np.inf)))
            if mean[taken] > best + LEAST_GAIN:
                best = float(mean[taken])
                last_in = lead[taken - 1] if taken > 0 else lead[0] - 2.0
                first_out = lead[taken] if taken < lead.size else lead[-1] + 2.0
                offset[c] = 0.5 * (last_in + first_out)
                leaders.move(int(c), values[:, c] + offset[c])
        if best <= before + LEAST_GAIN:
            break
    return np.asarray(offset - offset.mean())


class _Leaders:
    """The two largest columns of every row, kept while one column after the other moves."""

    def __init__(self, values: Floats) -> None:
        self._values = values
        self.first = np.empty(values.shape[0], dtype=np.int64)
        self._second = np.empty(values.shape[0], dtype=np.int64)
        self._look(np.arange(values.shape[0]))

    def _look(self, rows: Classes) -> None:
        some = self._values[rows].copy()
        at = np.arange(rows.size)
        self.first[rows] = some.argmax(axis=1)
        some[at, self.first[rows]] = -np.inf
        self._second[rows] = some.argmax(axis=1)

    def beside(self, c: int) -> Classes:
        """Return the largest column of every row but c, (N,)."""
        return np.where(self.first == c, self._second, self.first)

    def move(self, c: int, column: Floats) -> None:
        """Set a column; only rows where it stood or comes to stand in front are looked at."""
        held = (self.first == c) | (self._second == c)
        self._values[:, c] = column
        rows = np.arange(column.size)
        self._look(np.flatnonzero(held | (column >= self._values[rows, self._second])))


def _means(
    y_true: Classes, rival: Classes, counted: Floats, c: int, counts: Floats, measure: str
) -> Floats:
    """Return the mean over classes with rows after 0, 1, ..., N rows went from rival to c."""
    own, lost = y_true == c, y_true == rival
    width, some = counts.size, int((counts > 0).sum())
    if measure == "recall":
        weight = 1.0 / np.where(counts > 0, counts, 1.0)
        hits = np.bincount(rival[lost], counted[lost], minlength=width)
        start = float((hits * weight)[counts > 0].sum())
        change = counted * (weight[c] * own - weight[rival] * lost)
        return np.asarray((start + np.append(0.0, np.cumsum(change))) / some)
    flagged = np.bincount(rival, counted, minlength=width)
    hits = np.bincount(rival[lost], counted[lost], minlength=width)
    rows = np.bincount(rival, minlength=width)
    # A row that goes changes the F1 of its own rival alone. The sort is stable, so the rows of one
    # rival stand together in the order in which they leave it, and can be counted as they go.
    by_rival = np.argsort(rival, kind="stable")
    left, each = rival[by_rival], counted[by_rival]
    was_hit = lost[by_rival] * each
    start_of_rival = np.append(0, np.cumsum(rows))[left]
    upto = np.append(0.0, np.cumsum(each))
    gone = upto[1:] - upto[start_of_rival]
    hits_before = np.append(0.0, np.cumsum(was_hit))
    hits_kept = hits[left] - (hits_before[1:] - hits_before[start_of_rival])
    # F1 of the rival with and without the row: 2 hits / (positives + flagged).
    below = counts[left] + flagged[left] - gone
    after = 2 * hits_kept / np.where(below > 0, below, 1.0)
    earlier = 2 * (hits_kept + was_hit) / (below + each)
    # Back to the order of leads, in which the changes of all rivals add up.
    delta = np.empty(y_true.size)
    delta[by_rival] = np.where(counts[left] > 0, after - earlier, 0.0)
    taken, all_taken = (np.append(0.0, np.cumsum(part)) for part in (own * counted, counted))
    mine = 2 * taken / (counts[c] + all_taken)
    present = counts > 0
    both = counts + flagged
    start = float((2 * hits / np.where(both > 0, both, 1.0))[present].sum())
    return np.asarray((start + np.append(0.0, np.cumsum(delta)) + mine) / some)
