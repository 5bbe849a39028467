"""A number with its interval, its method and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from equipoise.artifacts._io import to_float

# The borders of evidence, in positives. Below FEW an interval is wide and rough, and a number is
# read with care; from ENOUGH on rows can be resampled; above MANY influence values cover as well.
FEW, ENOUGH, MANY = 10, 50, 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with a confidence interval.

    Args:
        value: The point estimate; NaN where it cannot be estimated, never 0 in its stead.
        low: Lower bound of the interval, NaN where there is none.
        high: Upper bound of the interval.
        confidence_level: Nominal coverage in (0, 1).
        method: How the interval was made, for example "influence" or "wilson".
        n: Rows (or groups) it rests on.
        n_positive: Positives among them, where that has a meaning.
        reason: Why ``value`` is NaN, or why the interval should be read with care.

    Example:
        >>> str(Estimate(0.5, 0.4, 0.6, 0.95, "influence", n=100, n_positive=30))
        '0.500 [0.400, 0.600]'
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    confidence_level: float = 0.95
    method: str = "none"
    n: int = 0
    n_positive: int | None = None
    reason: str | None = None

    @classmethod
    def missing(cls, reason: str, *, n: int = 0, n_positive: int | None = None) -> Estimate:
        """Return the estimate of something that cannot be estimated, and why."""
        return cls(math.nan, n=n, n_positive=n_positive, reason=reason)

    @property
    def is_missing(self) -> bool:
        """Whether there is no value."""
        return math.isnan(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Estimate:
        """Read what :meth:`to_dict` wrote."""
        body = dict(fields)
        for name in ("value", "low", "high"):
            body[name] = to_float(body[name])
        return cls(**body)

    def __str__(self) -> str:
        if self.is_missing:
            return f"not estimable ({self.reason})" if self.reason else "not estimable"
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
