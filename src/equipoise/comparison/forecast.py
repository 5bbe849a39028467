"""What more rows would buy, from refits on halves and quarters of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Estimate
from equipoise.metrics import Influence, pair_over_seeds

SIZES = np.array([0.25, 0.5, 1.0])
POWERS = (0.25, 0.5, 1.0)
"""How learning curves fall: the error that more rows can take away goes with n to minus this."""
LEVEL = 0.8


def forecast(
    quarter: Sequence[Influence],
    half: Sequence[Influence],
    whole: Sequence[Influence],
    *,
    groups: NDArray[np.int64] | None = None,
    crossed: bool = False,
) -> Estimate:
    """Return what twice the training rows would add to a metric, with an 80 % interval.

    The metric is taken to approach its limit as a - b n^-c. With c = 1/2 the gain of the next
    doubling is a weighted sum of the three values, so its error over seeds and rows is that of a
    difference; the interval is the hull of those of c = 1/4, 1/2 and 1, between which published
    curves lie.

    Args:
        quarter: The metric with influence values, per seed, trained on a quarter of the rows.
        half: On half of them.
        whole: On all.
        groups: (N,) int codes of tested rows that belong together, or None.
        crossed: Whether the rows are tested by cross-fitting.

    Example:
        >>> def at(values):
        ...     return [Influence(v, np.zeros(4)) for v in values]
        >>> print(forecast(at([0.40, 0.42]), at([0.54, 0.56]), at([0.64, 0.66])))
        0.070 [0.039, 0.092]

    References:
        Hestness et al. (2017), section 3, for the form and the powers; Figueroa et al. (BMC Medical
        Informatics 2012) for predicting sample sizes by it.
    """
    found = []
    for power in POWERS:
        weights = next_doubling(power)
        joined = [
            Influence(
                float(sum(w * part.value for w, part in zip(weights, parts, strict=True))),
                np.sum([w * part.rows for w, part in zip(weights, parts, strict=True)], axis=0),
            )
            for parts in zip(quarter, half, whole, strict=True)
        ]
        none = [Influence(0.0, np.zeros(part.n)) for part in joined]
        made = pair_over_seeds(joined, none, groups=groups, crossed=crossed)
        found.append(made.interval(LEVEL))
    middle = found[1]
    if np.isnan(middle.low):
        return middle
    return Estimate(
        middle.value,
        min(part.low for part in found),
        max(part.high for part in found),
        LEVEL,
        "refits on a quarter and half of the rows",
        middle.n,
    )


def next_doubling(power: float) -> NDArray[np.float64]:
    """Return what the values at a quarter, half and all rows weigh in the gain of a doubling.

    Least squares of a - b n^-c, of which the gain is b (1 - 2^-c).

    Example:
        >>> next_doubling(0.5).round(3).tolist()
        [-0.307, 0.033, 0.273]
    """
    x = SIZES**-power
    away = x - x.mean()
    slope = -away / np.square(away).sum()
    return np.asarray(slope * (1 - 2.0**-power))
