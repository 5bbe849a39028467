"""Metrics of probabilities: log loss, Brier score and the reliability curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import say, to_array
from equipoise.errors import DataError

__all__ = ["brier_score", "log_loss", "reliability_curve", "softplus_losses"]

Floats = NDArray[np.float64]


def softplus_losses(y_true: NDArray[np.integer], log_odds: Floats) -> Floats:
    """Return the log loss of each entry from log-odds, exact at the extremes; NaN if unknown."""
    sign = np.where(y_true == 1, -1.0, 1.0)
    return np.where(y_true < 0, np.nan, np.logaddexp(0.0, sign * log_odds))


def _entries(y_true: ArrayLike, y_prob: ArrayLike) -> tuple[NDArray[np.integer], Floats]:
    prob = np.asarray(to_array("y_prob", y_prob, ndim=(1, 2)), dtype=np.float64)
    if prob.size and (np.isnan(prob).any() or prob.min() < 0 or prob.max() > 1):
        raise DataError(say("y_prob", "be probabilities in [0, 1]", "other values"))
    prob = prob.reshape(prob.shape[0], -1)
    return np.asarray(y_true).reshape(prob.shape), prob


def log_loss(y_true: ArrayLike, y_prob: ArrayLike) -> Floats:
    """Return the mean of -log of the probability given to the truth, per label, (L,).

    Example:
        >>> log_loss([1, 0], [0.8, 0.4]).round(4).tolist()
        [0.367]
    """
    truth, prob = _entries(y_true, y_prob)
    given = np.where(truth == 1, prob, 1 - prob)
    losses = -np.log(np.maximum(given, np.finfo(np.float64).tiny))
    return np.asarray(np.nanmean(np.where(truth < 0, np.nan, losses), axis=0))


def brier_score(y_true: ArrayLike, y_prob: ArrayLike) -> Floats:
    """Return the mean squared difference of probability and truth, per label, (L,).

    Example:
        >>> brier_score([1, 0], [0.8, 0.4]).round(4).tolist()
        [0.1]
    """
    truth, prob = _entries(y_true, y_prob)
    return np.asarray(np.nanmean(np.where(truth < 0, np.nan, (prob - truth) ** 2), axis=0))


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
    from sklearn.isotonic import isotonic_regression

    truth, prob = np.asarray(y_true), np.asarray(y_prob, dtype=np.float64)
    known = truth >= 0
    truth, prob = truth[known].astype(np.float64), prob[known]
    order = np.lexsort((-truth, prob))
    # Ties must share one block: averaging truth within ties first gives the same fit.
    distinct, index, sizes_int = np.unique(prob[order], return_inverse=True, return_counts=True)
    sizes = sizes_int.astype(np.float64)
    means = np.bincount(index, weights=truth[order]) / sizes
    fitted = isotonic_regression(means, sample_weight=sizes)
    blocks = np.cumsum(np.append(0, np.diff(fitted) > 1e-12))
    rows: Floats = np.bincount(blocks, weights=sizes).astype(np.float64)
    predicted = np.bincount(blocks, weights=distinct * sizes) / rows
    observed = np.bincount(blocks, weights=fitted * sizes) / rows
    return np.asarray(predicted), np.asarray(observed), rows
