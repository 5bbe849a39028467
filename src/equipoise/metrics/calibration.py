"""Metrics of probabilities: log loss, Brier score and the reliability curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from equipoise._core.checks import say
from equipoise.errors import DataError
from equipoise.metrics._columns import as_columns

__all__ = ["brier_score", "log_loss", "reliability_curve", "softplus_losses"]

Floats = NDArray[np.float64]


def softplus_losses(y_true: NDArray[np.integer], log_odds: Floats) -> Floats:
    """Return the log loss of each entry from log-odds, exact at the extremes; NaN if unknown."""
    sign = np.where(y_true == 1, -1.0, 1.0)
    return np.where(y_true < 0, np.nan, np.logaddexp(0.0, sign * log_odds))


def _entries(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.int8], Floats]:
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
    truth, prob = _entries(y_true, y_prob)
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
    truth, prob = _entries(y_true, y_prob)
    return _mean_known(truth, (prob - truth) ** 2)


def reliability_curve(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the CORP reliability curve of one label: isotonic regression of truth on probability.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, left out).
        y_prob: (N,) probabilities.

    Returns:
        Mean predicted, observed share and number of rows of each isotonic block.

    Example:
        >>> predicted, observed, rows = reliability_curve([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8])
        >>> observed.tolist(), rows.tolist()
        ([0.0, 1.0], [2.0, 2.0])

    References:
        Dimitriadis, Gneiting and Jordan (PNAS 2021), the CORP approach.
    """
    truth, prob = (a[:, 0] for a in _entries(y_true, y_prob))
    known = truth >= 0
    if not known.any():
        return np.zeros(0), np.zeros(0), np.zeros(0)
    # Ties must share one block: averaging truth within ties first gives the same fit.
    distinct, index, count = np.unique(prob[known], return_inverse=True, return_counts=True)
    sizes: Floats = count.astype(np.float64)
    means = np.bincount(index, weights=truth[known].astype(np.float64)) / sizes
    fitted: Floats = np.asarray(isotonic_regression(means, weights=sizes).x, dtype=np.float64)
    blocks = np.cumsum(np.append(0, np.diff(fitted) > 1e-12))
    rows, predicted, observed = (
        np.bincount(blocks, weights=weights).astype(np.float64)
        for weights in (sizes, sizes * distinct.astype(np.float64), sizes * fitted)
    )
    return predicted / rows, observed / rows, rows
