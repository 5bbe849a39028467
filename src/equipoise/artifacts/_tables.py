"""Sample a map from logits to log-odds into the knots of a ``monotone_table``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.logistic import expit
from equipoise.errors import NotRecoverableError


def sample_tables(
    log_odds: Callable[[Floats], Floats],
    *,
    reach: float = 20.0,
    tolerance: float = 5e-7,
    max_knots: int = 20_000,
) -> tuple[list[dict[str, list[float]]], tuple[float, float]]:
    """Sample logit -> log-odds of the true probability, denser where the map bends.

    Args:
        log_odds: Maps (n,) logits to (n, L) log-odds; not finite where nothing is determined.
        reach: Logits from -reach to reach are sampled. Beyond 20 a loss that takes 1 - sigmoid(z)
            has no digits left in float64.
        tolerance: Largest error of linear interpolation at the middle of two knots, in log-odds.
        max_knots: Stop refining beyond this.

    Returns:
        One table for all labels or one per label, with strictly increasing ``log_odds`` (flat or
        falling parts are left out), and the true probabilities between which they all hold.
    """
    knots = np.linspace(-reach, reach, 161)
    values = log_odds(knots)
    for _ in range(20):
        middle = 0.5 * (knots[1:] + knots[:-1])
        at = log_odds(middle)
        with np.errstate(invalid="ignore"):
            error = np.abs(at - 0.5 * (values[1:] + values[:-1])).max(1)
        # Where the map ends, at a margin, no error is finite: halve there until its end is known.
        edge = np.isfinite(values[1:]).all(1) != np.isfinite(values[:-1]).all(1)
        split = (error > tolerance) & np.isfinite(error) | edge & (np.diff(knots) > 1e-4)
        if not split.any() or knots.size + split.sum() > max_knots:
            break
        order = np.argsort(np.concatenate([knots, middle[split]]))
        knots = np.concatenate([knots, middle[split]])[order]
        values = np.concatenate([values, at[split]])[order]
    tables = [_increasing(knots, column) for column in values.T]
    return _shared(tables, knots.size)


def _increasing(logit: Floats, log_odds: Floats) -> dict[str, Any]:
    finite = np.isfinite(log_odds)
    z, v = logit[finite], log_odds[finite]
    if z.size == 0:
        raise NotRecoverableError("The gradients of this loss determine no probability at all.")
    # Flat or falling knots would make two logits one. Without them the lines between the others,
    # and slope 1 beyond the last, keep the order.
    before = np.concatenate([[-np.inf], np.maximum.accumulate(v)[:-1]])
    rising = v > before
    return {"logit": z[rising].tolist(), "log_odds": v[rising].tolist()}


def _shared(
    tables: list[dict[str, list[float]]], size: int
) -> tuple[list[dict[str, list[float]]], tuple[float, float]]:
    low = max(table["log_odds"][0] for table in tables)
    high = min(table["log_odds"][-1] for table in tables)
    whole = all(len(table["logit"]) == size for table in tables)
    ends = expit(np.array([low, high]))
    reach = (0.0, 1.0) if whole else (float(ends[0]), float(ends[1]))
    same = all(table == tables[0] for table in tables)
    return (tables[:1] if same else tables), reach
