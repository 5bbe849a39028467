"""How drawing rows by weights shifts pairs of labels: their lift before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise.artifacts.labels import UNKNOWN

_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class PairShift:
    """What happened to labels that come together.

    Args:
        pair: Names of the two labels whose lift changed most.
        share_before: Rows with both labels, as a share.
        share_after: The same among drawn rows.
        lift_before: How much more often they come together than by chance.
        lift_after: The same among drawn rows.
        mean_lift_change: Mean factor by which the lift of a pair changed, up or down; 1 is none.
        pairs: Pairs that occur.
        lost: Pairs that occur and are never drawn; left out of the mean.
    """

    pair: tuple[str, str]
    share_before: float
    share_after: float
    lift_before: float
    lift_after: float
    mean_lift_change: float
    pairs: int
    lost: int


def _gram(left: NDArray[np.bool_], right: NDArray[np.bool_], weights: Floats) -> Floats:
    total = np.zeros((left.shape[1], right.shape[1]))
    for start in range(0, left.shape[0], _CHUNK):
        rows = slice(start, start + _CHUNK)
        total += (left[rows].T * weights[rows]) @ right[rows].astype(np.float64)
    return total


def _both_and_lift(values: NDArray[np.int8], weights: Floats) -> tuple[Floats, Floats]:
    """Return the mass of rows with both labels, and the lift among rows where both are known."""
    positive, known = values == 1, values != UNKNOWN
    both = _gram(positive, positive, weights)
    if known.all():
        alone = np.repeat(both.diagonal()[:, None], both.shape[0], axis=1)
        rows = np.full_like(both, weights.sum())
    else:
        alone, rows = _gram(positive, known, weights), _gram(known, known, weights)
    expected = alone * alone.T
    lift = np.full(both.shape, np.nan)
    np.divide(both * rows, expected, out=lift, where=expected > 0)
    return both, lift


def shift_of_pairs(
    values: NDArray[np.int8], weights: Floats, names: tuple[str, ...]
) -> PairShift | None:
    """Compare pairs of labels before and after; None where no two labels come together."""
    before, lift_before = _both_and_lift(values, np.ones(values.shape[0]))
    after, lift_after = _both_and_lift(values, weights)
    first, second = np.nonzero(np.triu(before, 1))
    if first.size == 0:
        return None
    drawn = after[first, second] > 0
    change = np.full(first.size, np.inf)
    old, new = lift_before[first, second][drawn], lift_after[first, second][drawn]
    change[drawn] = np.abs(np.log(new / old))
    # Pairs that changed alike are told apart by how frequent they are.
    worst = int(np.lexsort((before[first, second], change.round(12)))[-1])
    one, two = int(first[worst]), int(second[worst])
    return PairShift(
        pair=(names[one], names[two]),
        share_before=float(before[one, two]) / values.shape[0],
        share_after=float(after[one, two] / weights.sum()),
        lift_before=float(lift_before[one, two]),
        lift_after=float(np.nan_to_num(lift_after[one, two])),
        mean_lift_change=float(np.exp(change[drawn].mean())) if drawn.any() else float("nan"),
        pairs=int(first.size),
        lost=int((~drawn).sum()),
    )
