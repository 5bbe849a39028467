"""How sharply a rate can be known from a few positives."""

from __future__ import annotations

import math

from scipy.special import ndtri


def half_width(n: float, *, rate: float = 0.5, confidence_level: float = 0.95) -> float:
    """Return half the width of Wilson's interval for a rate seen on ``n`` positives.

    Example:
        >>> round(half_width(10), 2)
        0.26
    """
    if n <= 0:
        return 0.5
    z = float(ndtri(0.5 + confidence_level / 2))
    return z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)


def positives_needed(margin: float, *, rate: float = 0.5, confidence_level: float = 0.95) -> int:
    """Return the positives for which a rate is known to plus or minus ``margin``.

    The planning formula z^2 p (1 - p) / margin^2, a few more than Wilson's interval needs.

    Example:
        >>> positives_needed(0.1)
        96
    """
    z = float(ndtri(0.5 + confidence_level / 2))
    return round(z * z * rate * (1 - rate) / margin**2)
