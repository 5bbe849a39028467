"""Metrics of probabilities: log loss, Brier score in its forms, calibration in the large."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.errors import DataError
from equipoise.metrics._columns import as_columns


def softplus_losses(y_true: NDArray[np.integer], log_odds: Floats) -> Floats:
    """Return the log loss of each entry from log-odds, exact at the extremes; NaN if unknown."""
    sign = np.where(y_true == 1, -1.0, 1.0)
    return np.where(y_true < 0, np.nan, np.logaddexp(0.0, sign * log_odds))


def entries(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.int8], Floats]:
    """Return truth (N, L) in {0, 1, -1} and probabilities (N, L), checked."""
    truth, prob = as_columns(y_true, y_prob)
    if prob.size and (prob.min() < 0 or prob.max() > 1):
        got = f"{prob.min():.4g} to {prob.max():.4g}"
        do = "For logits, apply the sigmoid first."
        raise DataError(say("y_prob", "be probabilities in [0, 1]", got, do))
    return truth, prob


def _mean_known(truth: NDArray[np.int8], values: Floats) -> Floats:
    known = truth >= 0
    rows = known.sum(axis=0)
    out = np.full(truth.shape[1], np.nan)
    np.divide(np.where(known, values, 0.0).sum(axis=0), rows, out=out, where=rows > 0)
    return out


def log_loss(y_true: ArrayLike, y_prob: ArrayLike) -> Floats:
    """Return the mean of -log of the probability given to the truth, per label.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_prob: Same shape, in [0, 1]. A probability of 0 given to the truth counts as 2e-308.

    Returns:
        (L,) float64; NaN where nothing is known.

    Raises:
        DataError: ``y_prob`` outside [0, 1].

    Example:
        >>> log_loss([1, 0], [0.8, 0.4]).round(4).tolist()
        [0.367]
    """
    truth, prob = entries(y_true, y_prob)
    given = np.where(truth == 1, prob, 1 - prob)
    losses = -np.log(np.maximum(given, np.finfo(np.float64).tiny))
    return _mean_known(truth, losses)


def brier_score(y_true: ArrayLike, y_prob: ArrayLike) -> Floats:
    """Return the mean squared difference of probability and truth, per label.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_prob: Same shape, in [0, 1].

    Returns:
        (L,) float64; NaN where nothing is known.

    Raises:
        DataError: ``y_prob`` outside [0, 1].

    Example:
        >>> brier_score([1, 0], [0.8, 0.4]).round(4).tolist()
        [0.1]
    """
    truth, prob = entries(y_true, y_prob)
    return _mean_known(truth, (prob - truth) ** 2)


def brier_skill(y_true: ArrayLike, y_prob: ArrayLike) -> Floats:
    """Return 1 - Brier / Brier of the prevalence, per label: 0 knows the prevalence and no more.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_prob: Same shape, in [0, 1].

    Returns:
        (L,) float64; NaN for a label without positives or without negatives.

    Example:
        >>> brier_skill([1, 0, 1, 0], [0.8, 0.4, 0.6, 0.2]).round(4).tolist()
        [0.6]
    """
    truth, prob = entries(y_true, y_prob)
    prevalence = _mean_known(truth, (truth == 1).astype(np.float64))
    noise = prevalence * (1 - prevalence)
    out = np.full(noise.size, np.nan)
    np.divide(_mean_known(truth, (prob - truth) ** 2), noise, out=out, where=noise > 0)
    return 1 - out


def stratified_brier(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[Floats, Floats]:
    """Return the Brier score over positives alone and over negatives alone, per label.

    A good score overall hides that the rare side is under-estimated.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_prob: Same shape, in [0, 1].

    Returns:
        Two (L,) float64; NaN where a side is missing.

    Example:
        >>> of_positives, of_negatives = stratified_brier([1, 0, 0], [0.2, 0.1, 0.1])
        >>> of_positives.round(3).tolist(), of_negatives.round(3).tolist()
        ([0.64], [0.01])

    References:
        Wallace and Dahabreh (ICDM 2012), section 3.
    """
    truth, prob = entries(y_true, y_prob)
    squares = (prob - truth) ** 2
    only = [np.where(truth == side, truth, -1).astype(np.int8) for side in (1, 0)]
    return _mean_known(only[0], squares), _mean_known(only[1], squares)


def calibration_ratio(y_true: ArrayLike, y_prob: ArrayLike) -> Floats:
    """Return mean probability / prevalence per label, calibration in the large; 1 is right.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_prob: Same shape, in [0, 1].

    Returns:
        (L,) float64; NaN for a label without positives.

    Example:
        >>> calibration_ratio([1, 0, 0, 0], [0.9, 0.5, 0.3, 0.3]).tolist()
        [2.0]
    """
    truth, prob = entries(y_true, y_prob)
    total = (truth == 1).sum(axis=0)
    out = np.full(total.size, np.nan)
    np.divide(np.where(truth >= 0, prob, 0).sum(axis=0), total, out=out, where=total > 0)
    return out
