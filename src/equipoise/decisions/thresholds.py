"""Thresholds: the plug-in cut, the bagged maximum, and the shrinkage between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.decisions.certify import certified_cut
from equipoise.decisions.objectives import (
    Objective,
    Precision,
    Prevalence,
    Recall,
    Rescale,
    to_objective,
)
from equipoise.errors import UsageError
from equipoise.metrics.sweep import Sweep, halfway

# Half of the weight is on the data at this many positives; 10 to 40 measured equal.
SHRINK_AT = 20
MANY = 100


class Cut(NamedTuple):
    """A threshold and its quartiles over bootstrap rounds, NaN where there were none."""

    threshold: float
    low: float = float("nan")
    high: float = float("nan")


def _between(falling: Floats, threshold: float) -> float:
    """Move a threshold to the middle of the two distinct scores around it."""
    flagged = int(np.searchsorted(-falling, -threshold, side="right"))
    if flagged in (0, falling.size):
        return threshold
    return halfway(float(falling[flagged]), float(falling[flagged - 1]))


def _of_one_label(objective: str | Objective) -> Objective:
    """Return the record of an objective, or raise where it gives no threshold of one label."""
    found = to_objective(objective, "multilabel", 1)
    if found.choice is not None or isinstance(found, Rescale):
        do = "Use tune(scores, objective=...)."
        raise UsageError(say("objective", "give a threshold of one label", f"'{found.name}'", do))
    return found


def plug_in_threshold(
    log_odds: Floats,
    *,
    objective: str | Objective = "f1",
    weights: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Return the threshold that maximises the expected objective if the probabilities are right.

    Needs no labels: the k rows with the highest p hold c_k = sum of their p positives, so for F1
    it maximises 2 c_k / (k + sum p).

    Args:
        log_odds: (N,) calibrated log-odds at the prior that the decisions are for, N >= 1.
        objective: As for :func:`equipoise.tune`, for labels; no budget and no "top_k", which look
            at several labels, and no "rescale", which tunes nothing.
        weights: Share of positives and of negatives at that prior over their share in these rows.

    Returns:
        A cut between distinct log-odds; rows at or above it are flagged.

    Raises:
        UsageError: an objective that gives no threshold of one label, or lacks its parameters.

    Example:
        >>> z = np.log(np.array([0.8, 0.3, 0.1]) / np.array([0.2, 0.7, 0.9]))
        >>> bool(0.3 < 1 / (1 + np.exp(-plug_in_threshold(z))) < 0.8)
        True

    References:
        Lipton, Elkan and Naryanaswamy (ECML 2014), theorem 1: the cut is at F*/2 for F1.
    """
    return _plug_in(np.sort(log_odds)[::-1], _of_one_label(objective), weights)


def _plug_in(
    z: Floats, objective: Objective, weights: tuple[float, float], counted: Floats | None = None
) -> float:
    """Search the cuts of falling log-odds, of rows that are ``counted`` by these weights."""
    # The rows were drawn at another prior than z refers to: p is their chance of being positive.
    p = expit(z - np.log(weights[0]) + np.log(weights[1]))
    yes, no = weights[0] * p, weights[1] * (1 - p)
    if counted is not None:
        yes, no = yes * counted, no * counted
    tp, fp = (np.append(0.0, np.cumsum(side)) for side in (yes, no))
    values = objective.utility(tp, fp, tp[-1], fp[-1])
    ends = np.concatenate([[True], z[1:] != z[:-1], [True]])
    index = int(np.argmax(np.where(ends, values, -np.inf))) - 1
    if index < 0:
        return float(np.nextafter(z[0], np.inf))
    if index + 1 >= z.size:
        return float(z[index])
    return halfway(float(z[index + 1]), float(z[index]))


def bagged_threshold(
    points: Sweep,
    rng: np.random.Generator,
    *,
    objective: str | Objective = "f1",
    weights: tuple[float, float] = (1.0, 1.0),
    rounds: int = 100,
) -> Floats:
    """Return the best threshold of each bootstrap round, (rounds,), at O(rounds x positives).

    Only scores of positives can be best (or to flag nothing), so the negatives between two of them
    are one gap. A round draws Poisson counts for the positives and for the gaps, tied scores as one
    atom. Rounds that draw no positive say nothing and are NaN.

    Args:
        points: The sweep of one label, with positives.
        rng: Where the rounds come from.
        objective: As for :func:`equipoise.tune`, for labels.
        weights: What a positive and a negative count for, when the target prior differs.
        rounds: Bootstrap rounds.

    Example:
        >>> points = Sweep.from_sorted(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]))
        >>> cuts = bagged_threshold(points, np.random.default_rng(0), rounds=50)
        >>> sorted(set(cuts[~np.isnan(cuts)].tolist()))
        [1.5, 2.5]
    """
    wanted = _of_one_label(objective)
    step = np.diff(points.tp, prepend=0)
    at = np.flatnonzero(step > 0)
    gap = np.diff(points.fp[at], prepend=0, append=points.n_negative)
    tp = weights[0] * np.cumsum(rng.poisson(step[at], (rounds, at.size)), axis=1, dtype=np.float64)
    fp = weights[1] * np.cumsum(rng.poisson(gap, (rounds, gap.size)), axis=1, dtype=np.float64)
    values = wanted.utility(tp, fp[:, :-1], tp[:, -1:], fp[:, -1:])
    best, rows = np.argmax(values, axis=1), np.arange(rounds)
    chosen, where = np.unique(best, return_inverse=True)
    cuts = np.array([points.cut_below(int(i)) for i in at[chosen]])[where]
    zero = np.zeros((rounds, 1))
    nothing = wanted.utility(zero, zero, tp[:, -1:], fp[:, -1:])[:, 0]
    cuts = np.where(nothing >= values[rows, best], points.cut_below(-1), cuts)
    return np.where(tp[:, -1] > 0, cuts, np.nan)


def tune_threshold(
    log_odds: Floats,
    positive: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    objective: str | Objective = "f1",
    weights: tuple[float, float] = (1.0, 1.0),
    rounds: int = 100,
) -> float:
    """Return the bagged best threshold, shrunk towards the plug-in cut by n / (n + 20).

    Use for one label outside a rule, where calibration is done; :func:`equipoise.tune` does this
    for every label. With no positives it is the plug-in cut alone. The plain maximum overfits below
    about 20 positives; this form does not.

    Args:
        log_odds: (N,) calibrated log-odds of the known rows, at the target prior, N >= 1.
        positive: (N,) truth.
        rng: Where the bootstrap rounds come from.
        objective: As for :func:`equipoise.tune`, for labels; no budget and no "top_k", which look
            at several labels, and no "rescale", which tunes nothing.
        weights: What a positive and a negative count for, when the target prior differs.
        rounds: Bootstrap rounds.

    Returns:
        A cut between distinct log-odds, or at an end of them; rows at or above it are flagged.

    Raises:
        UsageError: an objective that gives no threshold of one label, or lacks its parameters.

    Example:
        >>> z = np.array([2.0, 1.0, 0.0, -1.0, -2.0])
        >>> tune_threshold(z, z > 0.5, np.random.default_rng(0))
        -0.5
    """
    order = np.argsort(-log_odds, kind="stable")
    wanted = _of_one_label(objective)
    yes, no = (weights[side] * ((positive == (side == 0)).sum() + 0.5) for side in (0, 1))
    prior = float(yes / (yes + no))
    return sorted_cut(
        log_odds[order], positive[order], rng, wanted, weights, prior, rounds
    ).threshold


def sorted_cut(
    falling: Floats,
    positive: NDArray[np.bool_],
    rng: np.random.Generator,
    objective: Objective,
    weights: tuple[float, float],
    prior: float,
    rounds: int,
    counted: Floats | None = None,
) -> Cut:
    """Return what :func:`tune_threshold` finds, and its spread, for falling log-odds.

    Rows may be ``counted`` by weights, (N,), so scaled that those of the positives sum to the
    number of rows of equal weight that say as much: a bootstrap round then draws, of each, a
    Poisson number with its weight as mean, whose spread is right for the sum.

    A formula replaces the search for the plug-in cut where there is one (costs, net benefit,
    balanced accuracy). Matching the prevalence is one count and needs no bootstrap; a recall that
    was asked for always holds on these rows; a precision is certified.
    """
    if isinstance(objective, Precision):
        points, level = Sweep.from_sorted(falling, positive, counted), objective.confidence_level
        wanted = objective.at_least
        return Cut(certified_cut(points, wanted, confidence_level=level, weights=weights))
    plug_in = objective.cut(prior)
    if plug_in is None:
        plug_in = _plug_in(falling, objective, weights, counted)
    if not positive.any():
        return Cut(_between(falling, plug_in))
    points = Sweep.from_sorted(falling, positive, counted)
    n_positive = points.n_positive
    if isinstance(objective, Prevalence):
        return Cut(_best_cut(points, objective, weights))
    # Many positives spread little: fewer rounds say as much.
    enough = min(rounds, max(rounds // 4, int(rounds * MANY / n_positive)))
    bagged = bagged_threshold(points, rng, objective=objective, weights=weights, rounds=enough)
    drawn = bagged[~np.isnan(bagged)]
    if drawn.size == 0:
        return Cut(_between(falling, plug_in))
    low, best, high = np.quantile(drawn, [0.25, 0.5, 0.75])
    pull = n_positive / (n_positive + SHRINK_AT)
    cut = float(pull * best + (1 - pull) * plug_in)
    if isinstance(objective, Recall):
        cut = min(cut, _best_cut(points, objective, weights))
    return Cut(_between(falling, cut), float(low), float(high))


def _best_cut(points: Sweep, objective: Objective, weights: tuple[float, float]) -> float:
    """Return the cut that is best on the rows themselves, the strictest of equals."""
    tp = weights[0] * np.append(0.0, points.tp)
    fp = weights[1] * np.append(0.0, points.fp)
    return points.cut_below(int(np.argmax(objective.utility(tp, fp, tp[-1], fp[-1]))) - 1)
