"""Isotonic calibration that keeps the order of scores: block means joined by straight lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from equipoise._core.arrays import Floats

# Less than this slope would let two scores meet in one float.
LEAST_SLOPE, LEAST_RISE = 1e-6, 1e-12


def fit_isotonic(log_odds: Floats, positive: NDArray[np.bool_]) -> dict[str, Floats]:
    """Return knots of an increasing curve from log-odds to calibrated log-odds.

    Adjacent violators are pooled as usual, tied scores as one. Instead of a staircase, whose flat
    parts would tie different scores, the centres of the blocks are joined by straight lines; each
    block counts half a positive and half a negative more, so that no end is infinite.

    Args:
        log_odds: (N,) finite, N >= 1.
        positive: (N,) truth.

    Returns:
        ``log_odds`` and ``calibrated``, (K,) each, both rising; as in
        :class:`equipoise.artifacts.Calibrator`.

    Example:
        >>> z = np.repeat([-1.0, 0.0, 1.0], 100)
        >>> truth = np.concatenate([np.arange(100) < k for k in (10, 50, 90)])
        >>> fit_isotonic(z, truth)["calibrated"].round(2).tolist()
        [-2.15, 0.0, 2.15]

    References:
        Oron and Flournoy (Statistics in Biopharmaceutical Research 2017), centred isotonic
        regression.
    """
    score, where, counts = np.unique(log_odds, return_inverse=True, return_counts=True)
    hits = np.bincount(where, weights=positive, minlength=score.size).astype(np.float64)
    score, hits, rows = _pool(score, hits, counts.astype(np.float64), 0.0)
    # The half counts pull small blocks inwards, which may break the order once more.
    score, hits, rows = _pool(score, hits, rows, 0.5)
    value = np.log(hits + 0.5) - np.log(rows - hits + 0.5)
    rise = np.maximum(np.diff(value), LEAST_SLOPE * np.diff(score) + LEAST_RISE)
    return {"log_odds": score, "calibrated": value[0] + np.append(0.0, np.cumsum(rise))}


def _pool(score: Floats, hits: Floats, n: Floats, extra: float) -> tuple[Floats, Floats, Floats]:
    """Pool blocks until the share of positives, with ``extra`` on both sides, never falls."""
    while True:
        weight = n + 2 * extra
        blocks = isotonic_regression((hits + extra) / weight, weights=weight).blocks[:-1]
        new = np.add.reduceat(hits, blocks), np.add.reduceat(n, blocks)
        score = np.add.reduceat(score * n, blocks) / new[1]
        hits, n = new
        if blocks.size == weight.size:
            return score, hits, n
