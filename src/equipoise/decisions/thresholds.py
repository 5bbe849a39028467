"""Thresholds for F-beta: the plug-in cut, the bagged maximum, and the shrinkage between them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.checks import say
from equipoise.errors import UsageError
from equipoise.metrics.sweep import Sweep, halfway

__all__ = ["bagged_threshold", "parse_f_beta", "plug_in_threshold", "tune_threshold"]

Floats = NDArray[np.float64]
# Half of the weight is on the data at this many positives; 10 to 40 measured equal.
SHRINK_AT = 20


def parse_f_beta(objective: str) -> float:
    """Return beta of "f1", "f2", "f0.5".

    Example:
        >>> parse_f_beta("f0.5")
        0.5
    """
    match = re.fullmatch(r"f(\d+(?:\.\d+)?)", objective)
    if match is None or float(match.group(1)) == 0:
        do = "Labels are decided one by one; balanced accuracy and accuracy are for classes."
        raise UsageError(say("objective", "be f1, f2, f0.5 or another F-beta", repr(objective), do))
    return float(match.group(1))


def _between(sorted_scores: Floats, threshold: float) -> float:
    """Move a threshold to the middle of the two distinct scores around it."""
    index = int(np.searchsorted(sorted_scores, threshold, side="left"))
    if index in (0, sorted_scores.size):
        return threshold
    return halfway(float(sorted_scores[index - 1]), float(sorted_scores[index]))


def plug_in_threshold(
    log_odds: Floats, *, beta: float = 1.0, weights: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Return the threshold that maximises the expected F-beta if the probabilities are right.

    Needs no labels: with p sorted in descending order and c_k = sum of the k largest, it maximises
    (1 + b^2) c_k / (k + b^2 sum p).

    Args:
        log_odds: (N,) calibrated log-odds at the prior that the decisions are for, N >= 1.
        beta: Weight of recall against precision, > 0.
        weights: Share of positives and of negatives at that prior over their share in these rows.

    Returns:
        A cut between distinct log-odds; rows at or above it are flagged.

    Example:
        >>> z = np.log(np.array([0.8, 0.3, 0.1]) / np.array([0.2, 0.7, 0.9]))
        >>> bool(0.3 < 1 / (1 + np.exp(-plug_in_threshold(z))) < 0.8)
        True

    References:
        Lipton, Elkan and Naryanaswamy (ECML 2014), theorem 1: the cut is at F*/2 for F1.
    """
    z = np.sort(log_odds)[::-1]
    # The rows were drawn at another prior than z refers to: p is their chance of being positive.
    p = expit(z - np.log(weights[0]) + np.log(weights[1]))
    square = beta * beta
    true_mass = np.cumsum(weights[0] * p)
    flagged = true_mass + np.cumsum(weights[1] * (1 - p))
    values = (1 + square) * true_mass / (flagged + square * true_mass[-1])
    last = np.append(z[1:] != z[:-1], True)
    index = int(np.argmax(np.where(last, values, -1.0)))
    if index + 1 >= z.size:
        return float(z[index])
    return _between(z[::-1], float(z[index]))


def bagged_threshold(
    points: Sweep,
    rng: np.random.Generator,
    *,
    beta: float = 1.0,
    weights: tuple[float, float] = (1.0, 1.0),
    rounds: int = 100,
) -> Floats:
    """Return the best threshold of each bootstrap round, (rounds,), at O(rounds x positives).

    Only scores of positives can be best, so the negatives between two of them are one gap. A
    round draws Poisson counts for the positives and for the gaps, tied scores as one atom. Rounds
    that draw no positive say nothing and are NaN.

    Args:
        points: The sweep of one label, with positives.
        rng: Where the rounds come from.
        beta: Weight of recall against precision, > 0.
        weights: What a positive and a negative count for, when the target prior differs.
        rounds: Bootstrap rounds.

    Example:
        >>> points = Sweep.from_sorted(np.array([3.0, 2.0, 1.0]), np.array([True, True, False]))
        >>> cuts = bagged_threshold(points, np.random.default_rng(0), rounds=50)
        >>> sorted(set(cuts[~np.isnan(cuts)].tolist()))
        [1.5, 2.5]
    """
    step = np.diff(points.tp, prepend=0)
    at = np.flatnonzero(step > 0)
    gap = np.diff(points.fp[at], prepend=0)
    tp = np.cumsum(rng.poisson(step[at], size=(rounds, at.size)), axis=1) * weights[0]
    fp = np.cumsum(rng.poisson(gap, size=(rounds, at.size)), axis=1) * weights[1]
    square = beta * beta
    values = (1 + square) * tp / np.maximum(square * tp[:, -1:] + tp + fp, 1e-12)
    cuts = np.array([points.cut_below(int(i)) for i in at])
    return np.where(tp[:, -1] > 0, cuts[np.argmax(values, axis=1)], np.nan)


def tune_threshold(
    log_odds: Floats,
    positive: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    beta: float = 1.0,
    weights: tuple[float, float] = (1.0, 1.0),
    rounds: int = 100,
) -> float:
    """Return the bagged best threshold, shrunk towards the plug-in cut by n / (n + 20).

    With no positives it is the plug-in cut alone. The plain maximum overfits below about 20
    positives; this form does not.

    Args:
        log_odds: (N,) calibrated log-odds of the known rows, at the target prior, N >= 1.
        positive: (N,) truth.
        rng: Where the bootstrap rounds come from.
        beta: Weight of recall against precision.
        weights: What a positive and a negative count for, when the target prior differs.
        rounds: Bootstrap rounds.

    Returns:
        A cut between distinct log-odds, or at an end of them; rows at or above it are flagged.

    Example:
        >>> z = np.array([2.0, 1.0, 0.0, -1.0, -2.0])
        >>> tune_threshold(z, z > 0.5, np.random.default_rng(0))
        -0.5
    """
    plug_in = plug_in_threshold(log_odds, beta=beta, weights=weights)
    n_positive = int(positive.sum())
    if n_positive == 0:
        return plug_in
    order = np.argsort(-log_odds, kind="stable")
    points = Sweep.from_sorted(log_odds[order], positive[order])
    bagged = bagged_threshold(points, rng, beta=beta, weights=weights, rounds=rounds)
    drawn = bagged[~np.isnan(bagged)]
    if drawn.size == 0:
        return plug_in
    best = float(np.median(drawn))
    share = n_positive / (n_positive + SHRINK_AT)
    return _between(points.score[::-1], share * best + (1 - share) * plug_in)
