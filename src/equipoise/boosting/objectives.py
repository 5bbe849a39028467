"""Losses as boosters fit them: slope, curvature and the output at which training starts.

Trees need more than a gradient:

- The slopes g1 and g0 at target 1 and 0 give the true probability behind an output, eta = g0 / D
  with D = g0 - g1, and the expected curvature E[h] = eta c1 + (1 - eta) c0, which is never
  negative. Alone it lets leaves of few positives run off; joined with the row's own curvature,
  h = max(E[h], c_y), it converges.
- Training starts at the rest point, eta(z0) = pi.
- Slope and curvature are multiplied by s = pi (1 - pi) / E[h](z0), so that minimum leaf weights
  and penalties mean what they mean untreated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REACH, KNOTS = 30.0, 8193
"""Logits that slopes are sampled over, evenly: between knots the error of a slope is 7e-6 of it."""
_LEAST = 1e-6


def grid() -> Floats:
    """Return the logits to sample slopes at, (KNOTS,)."""
    return np.linspace(-REACH, REACH, KNOTS)


def _rise(slope: Floats) -> Floats:
    """Return how slopes on the grid change with the logit, to the fourth order inside it."""
    step = 2 * REACH / (KNOTS - 1)
    found = np.gradient(slope, step)
    near, far = slope[3:-1] - slope[1:-3], slope[4:] - slope[:-4]
    found[2:-2] = (8.0 * near - far) / (12.0 * step)
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class LabelObjective:
    """A loss of one label.

    Args:
        start: Output at which training starts, where the loss is at rest.
        slope: (2, KNOTS): slope at target 0 and 1.
        curvature: (2, KNOTS), above 0.
        eta: (KNOTS,) true probability behind an output, not falling.
    """

    start: float
    slope: Floats
    curvature: Floats
    eta: Floats

    @classmethod
    def of(cls, zero: Floats, one: Floats, prevalence: float) -> LabelObjective:
        """Return the objective of slopes at target 0 and 1, each (KNOTS,) on :func:`grid`.

        Args:
            zero: d loss / d z at target 0.
            one: At target 1.
            prevalence: Share of positives among the training rows, in (0, 1).

        Example:
            >>> z = grid()
            >>> p = 1 / (1 + np.exp(-z))
            >>> weighted = LabelObjective.of(p, 9 * (p - 1), 0.1)
            >>> round(weighted.start, 4)  # logit(0.1) + log 9
            0.0
            >>> g, h = weighted(np.zeros(2), np.array([0, 1]))
            >>> np.round(g, 3).tolist(), np.round(h, 3).tolist()
            ([0.1, -0.9], [0.09, 0.45])
        """
        z = grid()
        c0, c1 = _rise(zero), _rise(one)
        width = np.maximum(zero - one, 1e-300)
        eta = np.maximum.accumulate(np.clip(zero / width, 0.0, 1.0))
        expected = eta * c1 + (1.0 - eta) * c0
        place = int(np.clip(np.searchsorted(eta, prevalence), 1, KNOTS - 1))
        low, high = eta[place - 1], eta[place]
        part = 1.0 if high <= low else float(np.clip((prevalence - low) / (high - low), 0.0, 1.0))
        start = float(z[place - 1] + part * (z[place] - z[place - 1]))
        there = max(float(np.interp(start, z, expected)), _LEAST)
        scale = prevalence * (1.0 - prevalence) / there
        slope = scale * np.stack([zero, one])
        own = scale * np.stack([np.maximum(expected, c0), np.maximum(expected, c1)])
        return cls(start, slope, np.maximum(own, _LEAST), eta)

    def __call__(self, z: Floats, y: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Return slope and curvature of rows, (N,) each."""
        at = (np.clip(z, -REACH, REACH) + REACH) * ((KNOTS - 1) / (2 * REACH))
        place = np.minimum(at.astype(np.int64), KNOTS - 2)
        part = at - place
        place += np.asarray(y, dtype=np.int64) * KNOTS
        found = []
        for table in (self.slope.ravel(), self.curvature.ravel()):
            low = table[place]
            found.append(low + part * (table[place + 1] - low))
        return found[0], found[1]

    def log_losses(self, z: Floats, y: NDArray[np.integer]) -> Floats:
        """Return the log loss of the true probability behind each output, (N,)."""
        eta = np.clip(np.interp(z, grid(), self.eta), 1e-15, 1 - 1e-15)
        return np.asarray(-np.log(np.where(np.asarray(y) == 1, eta, 1.0 - eta)))


@dataclass(frozen=True, eq=False)
class ClassObjective:
    r"""A loss of classes with the gradient :math:`A_y(p_y)\,(p - e_y)`, p softmax of z + offset.

    Args:
        start: (C,) outputs at which training starts.
        factor: (KNOTS, C): A over the log-odds of p_y.
        rise: The same of its slope.
        offset: (C,) that is added to outputs.
        scale: Multiplies slopes and curvatures.
        steady: Whether A does not change with p: weights alone.
    """

    start: Floats
    factor: Floats
    rise: Floats
    offset: Floats
    scale: float = 1.0
    steady: bool = False

    @classmethod
    def of(cls, factor: Floats, prior: Floats, offset: Floats | None = None) -> ClassObjective:
        """Return the objective of factors (KNOTS, C) on :func:`grid`.

        Where the factor changes with p (a focal term) training starts at equal outputs: from the
        rest point few rows of frequent classes still have a slope.

        Args:
            factor: From :func:`equipoise.losses.slopes.class_factors`.
            prior: (C,) shares of the training rows, above 0.
            offset: (C,), as of a logit-adjusted loss; None for 0.

        Example:
            >>> even = np.ones((KNOTS, 2))
            >>> made = ClassObjective.of(even, np.array([0.9, 0.1]))
            >>> np.round(made.start, 3).tolist()
            [-0.105, -2.303]
            >>> g, h = made(np.log([[0.9, 0.1]]), np.array([1]))
            >>> np.round(g, 3).tolist(), np.round(h, 3).tolist()
            ([[0.9, -0.9]], [[0.09, 0.09]])
        """
        shift = np.zeros(prior.size) if offset is None else np.asarray(offset, dtype=np.float64)
        table = np.asarray(factor, dtype=np.float64)
        weight = table[KNOTS // 2]
        steady = bool(np.allclose(table, weight, rtol=1e-6))
        rest = np.log(prior) - shift
        if steady:
            rest = rest + np.log(weight)
            table = np.tile(weight, (KNOTS, 1))
        start = rest if steady else np.zeros(prior.size)
        rise = np.stack([_rise(column) for column in table.T], axis=1)
        made = cls(start, table, rise, shift, steady=steady)
        there = made._expected(*made._state(rest[None, :]))[0].sum()
        scale = float((prior * (1.0 - prior)).sum() / max(there, _LEAST))
        return cls(start, table, rise, shift, scale, steady)

    def _state(self, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Return p, A of every class were it true, and (1 - p) d log A / d log p, each (N, C)."""
        raw = z + self.offset
        raw = raw - raw.max(1, keepdims=True)
        p = np.exp(raw)
        p /= p.sum(1, keepdims=True)
        p = np.clip(p, 1e-15, 1.0 - 1e-15)
        if self.steady:
            return p, np.broadcast_to(self.factor[0], p.shape), np.zeros_like(p)
        at = np.log(p) - np.log1p(-p)
        place = (np.clip(at, -REACH, REACH) + REACH) * ((KNOTS - 1) / (2 * REACH))
        low = np.minimum(place.astype(np.int64), KNOTS - 2)
        part = place - low
        column = np.arange(p.shape[1])
        factor, rise = (
            table[low, column] + part * (table[low + 1, column] - table[low, column])
            for table in (self.factor, self.rise)
        )
        factor = np.maximum(factor, 1e-12)
        return p, factor, rise / factor

    def _expected(self, p: Floats, factor: Floats, change: Floats) -> Floats:
        """Return the expected curvature of every output."""
        rest = 1.0 - p
        r = change / rest
        mean = (p * r).sum(1, keepdims=True)
        total = 1.0 / (p / factor).sum(1, keepdims=True)
        return np.asarray(total * p * (rest - change + p * (r - mean)))

    def __call__(self, z: Floats, y: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Return slope and curvature of rows, (N, C) each; of the plain loss p (1 - p)."""
        p, factor, change = self._state(z)
        rows = np.arange(len(p))
        own = factor[rows, y][:, None]
        residual = p.copy()
        residual[rows, y] -= 1.0
        slope = own * residual
        r = (change[rows, y] / (1.0 - p[rows, y]))[:, None]
        exact = own * (p * (1.0 - p) - r * residual**2)
        h = np.maximum(np.maximum(self._expected(p, factor, change), exact), _LEAST)
        return self.scale * slope, self.scale * h

    def log_losses(self, z: Floats, y: NDArray[np.integer]) -> Floats:
        """Return the log loss of the true probability behind each output, (N,)."""
        p, factor, _ = self._state(z)
        eta = p / factor
        eta /= eta.sum(1, keepdims=True)
        return np.asarray(-np.log(np.maximum(eta[np.arange(len(p)), y], 1e-15)))


@dataclass(frozen=True, eq=False)
class MarginObjective:
    r"""Margins on logits: softmax of s (z - margin_y e_y); LDAM without its normalised head.

    Args:
        start: (C,) outputs at which training starts.
        margin: (C,), >= 0.
        steep: s, above 0.
    """

    start: Floats
    margin: Floats
    steep: float = 1.0

    def __call__(self, z: Floats, y: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Return slope and curvature of rows, (N, C) each."""
        rows = np.arange(len(z))
        raw = self.steep * np.asarray(z, dtype=np.float64)
        raw[rows, y] -= self.steep * self.margin[y]
        raw -= raw.max(1, keepdims=True)
        q = np.exp(raw)
        q /= q.sum(1, keepdims=True)
        h = self.steep**2 * q * (1.0 - q)
        q[rows, y] -= 1.0
        return self.steep * q, np.maximum(h, _LEAST)

    def log_losses(self, z: Floats, y: NDArray[np.integer]) -> Floats:
        """Return the log loss of the true probability behind each output, (N,)."""
        raw = self.steep * np.asarray(z, dtype=np.float64)
        raw = raw - raw.max(1, keepdims=True)
        p = np.exp(raw)
        p /= p.sum(1, keepdims=True)
        eta = p * (1.0 - p * (1.0 - np.exp(-self.steep * self.margin)))
        eta /= eta.sum(1, keepdims=True)
        return np.asarray(-np.log(np.maximum(eta[np.arange(len(p)), y], 1e-15)))


Objective = LabelObjective | ClassObjective | MarginObjective
