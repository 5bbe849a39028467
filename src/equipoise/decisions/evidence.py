"""How finely a model's probabilities step, and so how much one of them may say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise.artifacts import Correction, Evidence, Scores
from equipoise.decisions.priors import smoothed_prior

# Votes, neighbours and up to three decimals; then four to six decimals.
STEPS = (*range(1, 1001), 10_000, 100_000, 1_000_000)
# float32 keeps seven digits of a share.
ROUNDING = 2e-7


def count_steps(probabilities: Floats) -> float:
    """Return in how many steps these probabilities go from 0 to 1; inf where they are continuous.

    Values that are all multiples of 1 / k have k steps, the smallest such k. Others are
    continuous, unless they hold exact zeros or ones: averages of leaves or of weighted neighbours,
    or a sigmoid that has run out of digits. There the step is how far the next values lie from
    the ends: the median distance of as many rows as lie at an end.

    Args:
        probabilities: (N,) in [0, 1], N >= 1.

    Example:
        >>> count_steps(np.array([0.0, 0.5, 0.25])), count_steps(np.array([0.1234567891, 0.3]))
        (4.0, inf)
        >>> count_steps(np.array([0.0, 0.0, 0.013, 0.0217, 0.4, 0.71])).__round__(1)
        57.6
    """
    values = np.unique(probabilities)
    inner = values[(values > 0) & (values < 1)]
    ends = int(((probabilities <= 0) | (probabilities >= 1)).sum())
    # Two values inside meet some fraction by chance; a grid has to explain more than that.
    if inner.size > 2 or ends:
        few = inner[:: max(1, inner.size // 64)]
        for k in STEPS[: None if inner.size > 20 else 1000]:
            # Most grids fail on a few values, so that continuous scores cost next to nothing.
            if _on_grid(few, k) and _on_grid(inner, k):
                return float(k)
    if ends == 0 or inner.size == 0:
        return float("inf")
    distance = np.sort(np.minimum(probabilities, 1 - probabilities))[ends:]
    return float(1.0 / np.median(distance[: max(ends, 1)]))


def _on_grid(values: Floats, k: int) -> bool:
    return bool((np.abs(values * k - np.round(values * k)) <= k * ROUNDING).all())


def _column_steps(values: NDArray[np.floating], truth: NDArray[np.int8]) -> float:
    seen = truth >= 0
    column = values.astype(np.float64, copy=False)
    return count_steps(column[seen] if seen.any() else column)


def measure_evidence(scores: Scores) -> Evidence | None:
    """Return the limit on what one probability says, or None where nothing has to be limited.

    The extra vote goes to the validation prior; for scores with a correction, which do not refer
    to it, to their own mean.

    Args:
        scores: With labels.
    """
    if scores.score_kind != "probabilities":
        return None
    labels, p = scores.require_labels(), scores.values
    if scores.kind == "multiclass":
        steps = np.full(p.shape[1], count_steps(p.ravel()))
    else:
        steps = np.array([_column_steps(*pair) for pair in zip(p.T, labels.columns(), strict=True)])
    if not np.isfinite(steps).any():
        return None
    prior = smoothed_prior(*labels.weighed, scores.kind)
    if scores.correction is not None and scores.correction.ops:
        rows = len(scores)
        if scores.kind == "multiclass":
            prior = (p.sum(axis=0) + 0.5) / (rows + 0.5 * p.shape[1])
        else:
            prior = (p.sum(axis=0, dtype=np.float64) + 0.5) / (rows + 1.0)
    return Evidence(steps, prior)


def way_back(scores: Scores) -> Correction | None:
    """Return how scores lead to natural-prior log-odds; None where there is no way."""
    if not scores.has_probabilities:
        return None
    return scores.correction or Correction.identity(scores.kind)


def natural_log_odds(scores: Scores, evidence: Evidence | None) -> Floats:
    """Return natural-prior log-odds, (N, C); raw scores where there is no way back."""
    logits = scores.logits()
    if evidence is not None:
        logits = evidence.log_odds(scores.values, scores.kind)
    correction = way_back(scores)
    return logits if correction is None else correction.apply(logits)


def default_at(scores: Scores, evidence: Evidence | None) -> Floats:
    """Return the natural log-odds, (L,), of a probability of 0.5; 0 for scores that only rank."""
    half = np.zeros((1, len(scores.names)))
    plain = scores.correction is None or not scores.correction.ops
    if evidence is not None and plain:
        half = evidence.log_odds(half + 0.5, scores.kind)
    return np.asarray(half[0])
