"""How far raking may go: the least pull towards uniform weights that keeps its price in bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from equipoise._core.arrays import Floats
from equipoise.sampling._tilt import Labelsets, Tilt, solve_tilt

Limit = Literal["min_ess", "max_weight"]
_LEAST_RIDGE, _LARGEST_RIDGE, _HALVINGS = 1e-8, 1e8, 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """The solution, its ridge, the limit that asked for it, and whether the target is feasible."""

    tilt: Tilt
    ridge: float
    limit: Limit | None
    feasible: bool


@dataclass(frozen=True, slots=True)
class _Bounded:
    """Solutions for one target along the ridge, and the limits they are held to."""

    sets: Labelsets
    target: Floats
    least: float | None
    most: float | None

    def solve(self, ridge: float, start: Floats) -> tuple[Tilt, Limit | None]:
        scale = self.target * (1.0 - self.target)
        accuracy = 1e-9 if ridge <= _LEAST_RIDGE else 1e-5
        found = solve_tilt(self.sets, self.target, ridge * scale, start, accuracy=accuracy)
        return found, self.broken(found)

    def broken(self, tilt: Tilt) -> Limit | None:
        shares = self.sets.counts / self.sets.counts.sum()
        weights = tilt.share / shares
        if self.least is not None and self.least * float(shares @ weights**2) > 1.0:
            return "min_ess"
        top = float(weights.max())
        return "max_weight" if self.most is not None and top > self.most else None


def within_limits(
    sets: Labelsets, target: Floats, guess: Floats, least: float | None, most: float | None
) -> Outcome:
    """Solve without a ridge; where that fails or costs too much, with the least one that holds."""
    if target.size == 0:
        return Outcome(Tilt(guess, np.exp(sets.log_share), converged=True), 0.0, None, True)
    sets.fill_unknown(target)
    way = _Bounded(sets, target, least, most)
    exact, broken = way.solve(1e-12, guess)
    if exact.converged and broken is None:
        return Outcome(exact, 0.0, None, feasible=True)
    ridge = 10.0
    held, over = way.solve(ridge, np.zeros_like(guess))
    while over is not None and ridge < _LARGEST_RIDGE:
        ridge, broken = 10.0 * ridge, over
        held, over = way.solve(ridge, np.zeros_like(guess))
    while ridge > _LEAST_RIDGE:
        found, over = way.solve(ridge / 10.0, held.multipliers)
        if over is not None:
            held, ridge = _narrow(way, held, ridge)
            return Outcome(held, ridge, over, exact.converged)
        if not found.converged:
            break  # the target lies outside of all labelsets: multipliers grow without end
        held, ridge = found, ridge / 10.0
    return Outcome(held, ridge, broken, exact.converged)


def _narrow(way: _Bounded, held: Tilt, high: float) -> tuple[Tilt, float]:
    """Halve (in logarithms) between a ridge within the limits and a tenth of it, which is not."""
    low = high / 10.0
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(high * low))
        found, over = way.solve(middle, held.multipliers)
        if over is None:
            held, high = found, middle
        else:
            low = middle
    return held, high
