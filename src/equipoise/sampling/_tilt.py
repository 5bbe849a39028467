"""The solver behind raking: exponential weights over labelsets whose means are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from equipoise._core.arrays import Floats
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.labels.pairs import pack_rows

_CELLS = 2**22  # few large products: many small ones wait for threads on a busy machine
_SPARSE = 0.2
_LONGEST_STEP = 10.0
_STEPS = 40


class Labelsets:
    """The distinct labelsets, their counts, and which one each row has.

    Unknown entries take the target of their label: then they pull neither way, and the mean of a
    column equals its target exactly where the rate among known rows does.
    """

    def __init__(self, values: NDArray[np.int8], counts: NDArray[np.int64], of_row: NDArray[Any]):
        self.values, self.counts, self.of_row = values, counts, of_row
        self.log_share = np.log(counts / counts.sum())
        self.fill = np.zeros(values.shape[1])
        self._sparse: Any = None

    def fill_unknown(self, target: Floats) -> None:
        """Set what unknown entries count as, and choose how rows are held."""
        self.fill = target
        if np.count_nonzero(self.values) <= _SPARSE * self.values.size:
            rows, columns = np.nonzero(self.values)
            entries = self._floats(self.values[rows, columns], target[columns])
            self._sparse = sparse.csr_array((entries, (rows, columns)), shape=self.values.shape)

    @staticmethod
    def _floats(values: NDArray[np.int8], fill: Floats) -> Floats:
        floats = values.astype(np.float64)
        unknown = values == UNKNOWN
        if unknown.any():
            np.copyto(floats, fill, where=unknown)
        return floats

    def _blocks(self) -> Iterator[tuple[slice, Floats]]:
        length = max(1, _CELLS // max(self.values.shape[1], 1))
        for start in range(0, self.values.shape[0], length):
            rows = slice(start, start + length)
            yield rows, self._floats(self.values[rows], self.fill)

    def dot(self, multipliers: Floats) -> Floats:
        """Return lambda . y of each labelset."""
        if self._sparse is not None:
            return np.asarray(self._sparse @ multipliers)
        return np.concatenate([block @ multipliers for _, block in self._blocks()])

    def moments(self, share: Floats) -> tuple[Floats, Floats]:
        """Return mean and covariance of the columns under ``share``."""
        if self._sparse is not None:
            mean = np.asarray(self._sparse.T @ share)
            second = (self._sparse.T @ (sparse.diags_array(share) @ self._sparse)).toarray()
            return mean, np.asarray(second - np.outer(mean, mean))
        mean, second = np.zeros(self.fill.size), np.zeros((self.fill.size, self.fill.size))
        for rows, block in self._blocks():
            mean += share[rows] @ block
            root = block * np.sqrt(share[rows, None])
            second += root.T @ root
        return mean, second - np.outer(mean, mean)


def group_labelsets(labels: Labels, kept: NDArray[np.int64]) -> Labelsets:
    """Find the distinct rows of the columns ``kept``."""
    if kept.size == 0:
        nothing, rows = np.zeros((1, 0), dtype=np.int8), np.array([len(labels)])
        return Labelsets(nothing, rows, np.zeros(len(labels), dtype=np.int64))
    if labels.kind == "multiclass":
        present, place, counts = np.unique(labels.values, return_inverse=True, return_counts=True)
        values = (present[:, None] == kept[None, :]).astype(np.int8)
        return Labelsets(values, counts, place)
    hot = labels.values[:, kept]
    masks = [hot == 1]
    if (hot == UNKNOWN).any():
        masks.append(hot == UNKNOWN)
    keys = pack_rows(np.concatenate(masks, axis=1))
    _, first, place, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    return Labelsets(hot[first], counts, place.reshape(-1))


@dataclass(frozen=True, slots=True)
class Tilt:
    """Multipliers, the share of each labelset under them, and whether they are the optimum."""

    multipliers: Floats
    share: Floats
    converged: bool


class _Dual:
    """log sum_i c_i exp(lambda . y_i) - lambda . t + ridge / 2 |lambda|^2, convex in lambda."""

    def __init__(self, sets: Labelsets, target: Floats, ridge: Floats) -> None:
        self.sets, self.target, self.ridge = sets, target, ridge

    def at(self, lam: Floats) -> _Point:
        reach = self.sets.dot(lam) - lam @ self.target
        score = reach + self.sets.log_share
        top = float(score.max())
        mass = np.exp(score - top)
        total = float(mass.sum())
        value = top + np.log(total) + 0.5 * (self.ridge * lam) @ lam
        return _Point(lam, float(value), mass / total, float(reach.max()))

    def slope(self, point: _Point) -> tuple[Floats, Floats]:
        mean, curvature = self.sets.moments(point.share)
        diagonal = np.diag_indices_from(curvature)
        curvature[diagonal] += self.ridge
        curvature[diagonal] += 1e-13 * float(curvature[diagonal].max()) + 1e-300
        return mean - self.target + self.ridge * point.lam, curvature


@dataclass(frozen=True, slots=True)
class _Point:
    """A place on the dual. With ``reach`` below 0 every labelset lies on one side of the target.

    That proves that no weights reach it: the dual falls without end along lambda.
    """

    lam: Floats
    value: float
    share: Floats
    reach: float


def solve_tilt(
    sets: Labelsets, target: Floats, ridge: Floats, start: Floats, *, accuracy: float = 1e-9
) -> Tilt:
    """Minimise the dual by Newton's method with a line search, from ``start`` or 0."""
    dual, scale = _Dual(sets, target, ridge), target * (1.0 - target)
    point, zero = dual.at(start), dual.at(np.zeros_like(start))
    if not point.value <= zero.value:
        point = zero
    unbounded = bool((ridge < 1e-9 * scale).all())
    converged = False
    for _ in range(_STEPS):
        gradient, curvature = dual.slope(point)
        converged = bool((np.abs(gradient) <= accuracy * scale).all())
        if converged or (unbounded and point.reach < -1e-9):
            break
        better = _step(dual, point, gradient, curvature)
        if better is None:
            break
        point = better
    return Tilt(point.lam, point.share, converged)


def _step(dual: _Dual, point: _Point, gradient: Floats, curvature: Floats) -> _Point | None:
    """Return the next point, or None where none is better."""
    try:
        step = -np.linalg.solve(curvature, gradient)
    except np.linalg.LinAlgError:
        return None
    longest = float(np.abs(step).max())
    if not np.isfinite(longest):
        return None
    step *= min(1.0, _LONGEST_STEP / max(longest, 1e-300))
    fall = float(gradient @ step)
    noise = 1e-14 * (1.0 + abs(point.value))
    length = 1.0
    while length > 1e-10:
        trial = dual.at(point.lam + length * step)
        if trial.value <= point.value + 1e-4 * length * fall + noise:
            return trial
        length *= 0.5
    return None
