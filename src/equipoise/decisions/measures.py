"""What a threshold can be chosen for, as a function of the counts of its confusion table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from equipoise._core.arrays import Floats

_SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """One measure of a cut; the counts may be weighted, expected or drawn.

    Args:
        name: "f_beta", "cost", "net_benefit", "balanced_accuracy", "mcc", "precision", "recall" or
            "prevalence" (as many flags as positives).
        beta: Weight of recall against precision in F-beta.
        cost_fp: What a false alarm costs; one number or one per label. For net benefit the odds
            of the threshold probability.
        cost_fn: What a miss costs.
        at_least: The precision or recall asked for.

    Example:
        >>> table = (np.array([2.0]), np.array([1.0]), np.array([4.0]), np.array([6.0]))
        >>> Measure("f_beta").value(*table).round(3).tolist()
        [0.571]
        >>> Measure("cost", cost_fp=1.0, cost_fn=5.0).value(*table).tolist()
        [1.1]
    """

    name: str
    beta: float = 1.0
    cost_fp: float | Floats = 1.0
    cost_fn: float | Floats = 1.0
    at_least: float = 0.0

    def at(self, column: int) -> Measure:
        """Return the measure of one label."""
        if np.ndim(self.cost_fp) == 0:
            return self
        one, other = np.asarray(self.cost_fp), np.asarray(self.cost_fn)
        return replace(self, cost_fp=float(one[column]), cost_fn=float(other[column]))

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return the measure, NaN where it is not defined; a cost is lower where it is better."""
        n, fn = positives + negatives, positives - tp
        if self.name == "cost":
            return _over(self.cost_fp * fp + self.cost_fn * fn, n)
        if self.name == "net_benefit":
            return _over(tp - self.cost_fp * fp, n)
        if self.name == "balanced_accuracy":
            return 0.5 * (_over(tp, positives) + _over(negatives - fp, negatives))
        if self.name == "mcc":
            tn, flagged = negatives - fp, tp + fp
            both = positives * negatives
            spread = np.sqrt(np.maximum(flagged * (n - flagged) * both, 0.0))
            # Nothing or everything flagged says nothing: 0, as long as both sides exist.
            part = _over(tp * tn - fp * fn, spread)
            return np.where((both > 0) & np.isnan(part), 0.0, part)
        if self.name == "precision":
            return _over(tp, tp + fp)
        if self.name == "recall":
            return _over(tp, positives)
        square = self.beta * self.beta
        below = (1 + square) * tp + square * fn + fp
        return np.where(positives > 0, _over((1 + square) * tp, below), np.nan)

    def utility(self, tp: Floats, fp: Floats, positives: Any, negatives: Any) -> Floats:
        """Return what the cut maximises; the strictest cut wins a tie.

        A recall that is asked for is met or not; as many flags as positives is a distance.
        """
        if self.name == "recall":
            return np.asarray(tp >= (self.at_least - _SLACK) * positives, dtype=np.float64)
        if self.name == "prevalence":
            return np.asarray(-np.abs(tp + fp - positives))
        if self.name == "f_beta":
            square = self.beta * self.beta
            return np.asarray((1 + square) * tp / np.maximum(square * positives + tp + fp, 1e-12))
        found = self.value(tp, fp, positives, negatives)
        return np.nan_to_num(-found if self.name == "cost" else found, nan=0.0)

    def cut(self, prior: float) -> float | None:
        """Return the best cut of calibrated log-odds where a formula gives it, else None.

        Args:
            prior: Share of positives that the log-odds refer to, in (0, 1).

        Example:
            >>> Measure("balanced_accuracy").cut(0.5), Measure("mcc").cut(0.5)
            (0.0, None)
        """
        if self.name == "cost":
            return float(np.log(self.cost_fp) - np.log(self.cost_fn))
        if self.name == "net_benefit":
            return float(np.log(self.cost_fp))
        if self.name == "balanced_accuracy":
            return float(np.log(prior) - np.log1p(-prior))
        return None


def _over(above: Any, below: Any) -> Floats:
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), below)
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out
