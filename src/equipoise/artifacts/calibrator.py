"""A calibrator: from corrected log-odds to calibrated ones, per label, with NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.artifacts._io import plain, to_float
from equipoise.errors import DataError

Knots = Mapping[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """A map of corrected log-odds that keeps their order: affine, then knots where there are any.

    Args:
        scale: (C,) slope per label, one temperature for classes, or one slope per class (vector
            scaling), > 0.
        offset: (C,) added after the slope.
        method: Per label or class: "formula" (nothing fitted), "offset", "platt", "isotonic",
            "vector", or "prior" (a ranking score with fewer than 3 positives or negatives:
            prevalence and spread alone).
        effective_weight: (C,) the weight on positives that the model really expressed; for labels
            only, NaN where nothing was fitted.
        knots: Per label None, or increasing ``log_odds`` and increasing ``calibrated``, joined by
            straight lines and continued with slope 1. Empty where no label has any.

    Raises:
        DataError: knots that do not rise.

    Example:
        >>> knots = {"log_odds": np.array([0.0, 1.0]), "calibrated": np.array([0.0, 3.0])}
        >>> bent = Calibrator(
        ...     np.ones(1), np.zeros(1), ("isotonic",), np.full(1, np.nan), (knots,)
        ... )
        >>> bent.apply(np.array([[-1.0], [0.5], [2.0]])).ravel().tolist()
        [-1.0, 1.5, 4.0]
    """

    scale: Floats
    offset: Floats
    method: tuple[str, ...]
    effective_weight: Floats
    knots: tuple[Knots | None, ...] = ()

    def __post_init__(self) -> None:
        for knots in self.knots:
            if knots is None:
                continue
            x, y = knots["log_odds"], knots["calibrated"]
            shaped = x.ndim == 1 and x.size > 0 and x.shape == y.shape
            if not shaped or not bool((np.diff(x) > 0).all() and (np.diff(y) > 0).all()):
                do = "Make the rule again with tune(scores)."
                expected = "give `log_odds` and `calibrated` that both rise"
                raise DataError(say("calibrator.knots", expected, "something else", do))

    @classmethod
    def identity(cls, num_classes: int) -> Calibrator:
        """Return the calibrator that trusts the formula."""
        ones = np.ones(num_classes)
        return cls(ones, 0 * ones, ("formula",) * num_classes, np.full(num_classes, np.nan))

    def apply(self, log_odds: Floats) -> Floats:
        """Return calibrated log-odds (or unnormalised log-posteriors), (N, C)."""
        values = np.asarray(self.scale * log_odds + self.offset)
        for column, knots in enumerate(self.knots):
            if knots is not None:
                x, y, z = knots["log_odds"], knots["calibrated"], values[:, column]
                inside = np.interp(z, x, y)
                values[:, column] = inside + np.minimum(z - x[0], 0) + np.maximum(z - x[-1], 0)
        return values

    def narrow(self, start: int, stop: int) -> Calibrator:
        """Return the calibrator of the labels from ``start`` to ``stop``."""
        return self.some(np.arange(start, stop))

    def some(self, labels: NDArray[np.int64]) -> Calibrator:
        """Return the calibrator of some labels, by their positions."""
        places = labels.tolist()
        return Calibrator(
            self.scale[labels],
            self.offset[labels],
            tuple(self.method[p] for p in places),
            self.effective_weight[labels],
            tuple(self.knots[p] for p in places) if self.knots else (),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        body: dict[str, Any] = plain({name: getattr(self, name) for name in self.__slots__})
        return body

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Calibrator:
        """Read what :meth:`to_dict` wrote."""
        scale, offset, weight = (
            np.array([to_float(v) for v in fields[k]], dtype=np.float64)
            for k in ("scale", "offset", "effective_weight")
        )
        knots = tuple(
            None if k is None else {n: np.asarray(k[n], dtype=np.float64) for n in k}
            for k in fields["knots"]
        )
        return cls(scale, offset, tuple(fields["method"]), weight, knots)
