"""Sigmoid, softmax and their logarithms in NumPy alone, exact at the extremes."""

from __future__ import annotations

import numpy as np

from equipoise._core.arrays import Floats


def log_expit(z: Floats) -> Floats:
    """Return log(sigmoid(z)), any shape, without overflow or cancellation."""
    return np.asarray(-np.logaddexp(0.0, -z), dtype=np.float64)


def expit(z: Floats) -> Floats:
    """Return sigmoid(z), any shape; infinities give 0 and 1."""
    return np.asarray(np.exp(log_expit(np.asarray(z, dtype=np.float64))), dtype=np.float64)


def log_softmax(z: Floats) -> Floats:
    """Return log(softmax(z)) over the last axis of an (N, C) array."""
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def log_rest(z: Floats) -> Floats:
    """Return log(1 - softmax(z)), (N, C), without cancellation where a probability is near 1."""
    rows = np.arange(z.shape[0])
    log_p = log_softmax(z)
    top = z.argmax(axis=1)
    others = log_p.copy()
    others[rows, top] = -np.inf
    p = np.exp(others)
    rest = np.log1p(-p)
    # The top class leaves what the others share; 1 - p would keep no digit of it.
    best = others.max(axis=1, keepdims=True)
    rest[rows, top] = best[:, 0] + np.log(np.exp(others - best).sum(axis=1))
    return np.asarray(rest)


def one_vs_rest(z: Floats) -> Floats:
    """Return the log-odds of each class against all others, (N, C), from log-posteriors.

    Example:
        >>> one_vs_rest(np.log(np.array([[0.5, 0.3, 0.2]]))).round(3).tolist()
        [[0.0, -0.847, -1.386]]
    """
    return np.asarray(log_softmax(z) - log_rest(z))
