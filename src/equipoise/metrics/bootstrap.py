"""The gap bootstrap: resamples of all rows drawn from what lies between the positives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.rng import generator
from equipoise._core.words import say
from equipoise.artifacts import Estimate
from equipoise.errors import DataError
from equipoise.metrics.ranks import Ranks

# Entries of the largest temporary table, so that memory does not grow with the replicates.
BLOCK = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Metrics of one label in B resamples of its rows, (B,) each.

    Args:
        average_precision: NaN in a resample without positives.
        roc_auc: NaN also in a resample without negatives.
        best_f_beta: The largest F-beta over all cuts, tuned anew in each resample.
        n_undefined: Resamples without a positive.
    """

    average_precision: Floats
    roc_auc: Floats
    best_f_beta: Floats
    n_undefined: int


def gap_bootstrap(
    ranks: Ranks, *, n_resamples: int = 2000, beta: float = 1.0, seed: int = 0
) -> Replicates:
    """Draw resamples of all N rows with replacement, at a cost that knows only the positives.

    Negatives between two neighbouring positives are alike to every ranking metric, so a resample is
    one multinomial draw over positives and gaps; tied positives and negatives stay at one point.
    Use for single models on rows without groups. Prefer influence values for macro averages,
    paired differences and groups.

    Args:
        ranks: Of one label, from :func:`equipoise.metrics.rank_positives`.
        n_resamples: B.
        beta: Weight of recall against precision in F-beta, > 0.
        seed: Same seed, same resamples.

    Raises:
        DataError: a label without positives.

    Example:
        >>> from equipoise.metrics import rank_positives
        >>> rng = np.random.default_rng(0)
        >>> y = (rng.random(2000) < 0.03).astype(int)
        >>> drawn = gap_bootstrap(rank_positives(y, rng.normal(size=2000) + 1.5 * y))
        >>> round(float(np.std(drawn.average_precision)), 3), drawn.n_undefined
        (0.051, 0)
    """
    to_positive("beta", beta)
    if ranks.n_positive == 0:
        raise DataError(say("ranks", "hold a positive", "none", "Leave such labels out."))
    rng = generator(seed, "gap bootstrap")
    step = max(1, BLOCK // max(3 * ranks.score.size, 1))
    blocks = [
        _replicate(ranks, min(step, n_resamples - start), beta, rng)
        for start in range(0, n_resamples, step)
    ]
    ap, auc, best = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Replicates(ap, auc, best, int(np.isnan(ap).sum()))


def _replicate(
    ranks: Ranks, n_resamples: int, beta: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    sizes = ranks.cell_sizes
    counts = np.concatenate([ranks.positives, sizes])
    drawn = np.flatnonzero(counts)
    total = int(counts.sum())
    # Empty cells stay out: most gaps between neighbouring positives of a common label are empty.
    # One row per cell and one column per resample: sums over cells then run along memory.
    weights = np.zeros((counts.size, n_resamples))
    weights[drawn] = rng.multinomial(total, counts[drawn] / total, size=n_resamples).T
    k = ranks.positives.size
    pos, gaps, tied = weights[:k], weights[k : 3 * k : 2], weights[k + 1 : 3 * k : 2]
    tp = np.cumsum(pos, axis=0)
    fp = np.cumsum(gaps + tied, axis=0)
    n_pos = tp[-1]
    n_neg = total - n_pos
    flagged = np.maximum(tp + fp, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ap = np.einsum("kb,kb->b", pos, tp / flagged) / n_pos
        wrong = np.einsum("kb,kb->b", pos, fp) - 0.5 * np.einsum("kb,kb->b", pos, tied)
        auc = 1 - wrong / (n_pos * n_neg)
    square = beta * beta
    best = ((1 + square) * tp / (square * n_pos + flagged)).max(axis=0)
    return ap, auc, np.where(n_pos > 0, best, np.nan)


def bootstrap_interval(
    value: float,
    replicates: Floats,
    *,
    n: int,
    n_positive: int,
    confidence_level: float = 0.95,
    reason: str | None = None,
) -> Estimate:
    """Return the percentile interval of the defined replicates; says how many were not.

    Args:
        value: The metric on the rows themselves.
        replicates: (B,) the metric in each resample; NaN where it is not defined.
        n: Rows.
        n_positive: Positives among them.
        confidence_level: Nominal coverage.
        reason: A caution to go with it.

    Example:
        >>> print(bootstrap_interval(0.5, np.linspace(0.4, 0.6, 101), n=100, n_positive=60))
        0.500 [0.405, 0.595]
    """
    level = to_fraction("confidence_level", confidence_level)
    defined = replicates[~np.isnan(replicates)]
    if np.isnan(value) or not defined.size:
        return Estimate.missing(reason or "no positives", n=n, n_positive=n_positive)
    lost = replicates.size - defined.size
    if lost:
        note = f"{lost} of {replicates.size} resamples held no positive"
        reason = note if reason is None else f"{reason}; {note}"
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    bounds = min(float(low), value), max(float(high), value)
    return Estimate(value, *bounds, level, "gap bootstrap, percentile", n, n_positive, reason)
