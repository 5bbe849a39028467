"""How near rows of the mistake book lie to labelled positives: a sign of missing labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.errors import DataError
from equipoise.mining.pools import Pool
from equipoise.mining.selection import draw_rows

Embed = Callable[[Any], Any]
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest labelled positive of each of some rows.

    Args:
        rows: (n,) int64 positions in the pool.
        nearest: (n,) int64, which positive.
        distance: (n,) float64, Euclidean, features scaled to unit deviation.
        typical: The median distance of a positive from its nearest other positive.
        share: Share of the rows that lie nearer to a positive than that: the overlap.
        share_of_random: The same of negatives drawn at random.
    """

    rows: Ints
    nearest: Ints
    distance: Floats
    typical: float
    share: float
    share_of_random: float

    @property
    def is_near(self) -> NDArray[np.bool_]:
        """(n,) whether a row lies nearer to a positive than positives do to each other."""
        return np.asarray(self.distance <= self.typical)


def nearest_positives(
    pool: Pool,
    rows: ArrayLike,
    *,
    embed: Embed | None = None,
    most: int = 2000,
    seed: int = 0,
) -> Nearest:
    """Return how near some negatives lie to labelled positives, against what is usual.

    Use on the rows of a mistake book: where many of them lie nearer to a positive than positives
    lie to one another, and random negatives do not, some are positives that nobody marked. Distance
    says little between raw pixels of large images: pass ``embed``.

    Args:
        pool: Holds rows and positives.
        rows: (n,) positions of negatives.
        embed: From a batch of inputs to (b, d) features, such as a network without its last layer;
            None takes the inputs, flattened.
        most: Positives and random negatives to compare with, at most, drawn by ``seed``.
        seed: Of these draws.

    Returns:
        Distances, and the overlap as a share with that of random negatives beside it. The scale of
        each feature is its deviation among the compared positives and random negatives.

    Raises:
        DataError: fewer than two positives.

    Example:
        >>> from equipoise.artifacts import Labels
        >>> from equipoise.mining import ArrayPool
        >>> labels = Labels.from_array([1, 1, 1, 0, 0, 0], kind="multilabel")
        >>> pool = ArrayPool([[0.0], [1.0], [2.0], [1.5], [9.0], [8.0]], labels)
        >>> found = nearest_positives(pool, [3, 4])
        >>> found.nearest.tolist(), found.is_near.tolist(), found.share
        ([2, 2], [True, False], 0.5)
    """
    asked = np.asarray(rows, dtype=np.int64)
    rng = generator(seed, "nearest positives")
    positives = _some(pool.positives(), most, rng)
    if positives.size < 2:
        do = "Distances between positives say what is near."
        raise DataError(say("pool", "hold at least two positives", positives.size, do))
    negatives, _ = draw_rows(pool.is_negative, len(pool), np.unique(asked), most, rng)
    use = _flat if embed is None else embed
    a = _features(pool, positives, use)
    # None are left where every negative was asked for.
    others = _features(pool, negatives, use) if negatives.size else a[:0]
    scale = np.concatenate([a, others]).std(axis=0)
    scale[scale <= 1e-12] = 1.0
    a = a / scale
    typical = float(np.median(_nearest(a, a, skip_self=True)[0]))
    wanted = _features(pool, asked, use) if asked.size else a[:0]
    distance, at = _nearest(wanted / scale, a)
    random = _nearest(others / scale, a)[0]
    return Nearest(
        asked,
        positives[at],
        distance,
        typical,
        float((distance <= typical).mean()) if asked.size else float("nan"),
        float((random <= typical).mean()) if random.size else float("nan"),
    )


def _some(rows: Ints, most: int, rng: np.random.Generator) -> Ints:
    return rows if rows.size <= most else np.sort(rng.choice(rows, most, replace=False))


def _flat(x: Any) -> Floats:
    if isinstance(x, (tuple, list)):
        do = "They are sequences or pairs."
        raise DataError(say("embed", "be given for inputs that are no arrays", None, do))
    return np.asarray(x, dtype=np.float64).reshape(len(x), -1)


def _features(pool: Pool, rows: Ints, embed: Embed) -> Floats:
    parts = [np.asarray(embed(x), dtype=np.float64) for x in pool.batches(rows, _BLOCK)]
    return np.concatenate(parts)


def _nearest(a: Floats, b: Floats, *, skip_self: bool = False) -> tuple[Floats, Ints]:
    """Return the distance of each row of a from the nearest of b, and which that is."""
    distance, at = np.zeros(len(a)), np.zeros(len(a), dtype=np.int64)
    square = (b * b).sum(axis=1)
    for start in range(0, len(a), _BLOCK):
        part = a[start : start + _BLOCK]
        # |a - b|^2 by one product; rounding is repaired for the one that is chosen.
        apart = (part * part).sum(axis=1)[:, None] + square - 2 * part @ b.T
        if skip_self:
            own = np.arange(len(part))
            apart[own, start + own] = np.inf
        first = apart.argmin(axis=1)
        at[start : start + _BLOCK] = first
        distance[start : start + _BLOCK] = np.linalg.norm(part - b[first], axis=1)
    return distance, at
