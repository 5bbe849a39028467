"""Feature vectors: their checks, and the search for nearest neighbours in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_finite, to_array
from equipoise._core.messages import Message, hint, one_of, say
from equipoise._core.rng import generator
from equipoise.artifacts.resampled import TrainingRows
from equipoise.errors import DataError, ShapeError, UsageError

Gap = Literal["row", "feature"]
Floats = NDArray[np.floating[Any]]
_BLOCK = 16_384
# A column of whole numbers with at most so many values, each met twice on average, is a code.
_MOST_CODES = 20


def training_features(train: TrainingRows, features: ArrayLike) -> Floats:
    """Return features of the training rows, given those of the whole data."""
    array = features if isinstance(features, np.ndarray) else np.asarray(features)
    do = "Interpolate embeddings or measured columns; for images repeat rows and augment them."
    if array.ndim != 2:
        raise ShapeError(say("features", "be feature vectors (N, F)", f"shape {array.shape}", do))
    if array.dtype.kind != "f":
        raise DataError(say("features", "be floating point", f"dtype {array.dtype}", do))
    if array.shape[0] != len(train.labels):
        expected = f"have one row per label of the whole data = {len(train.labels)}"
        raise ShapeError(say("features", expected, array.shape[0], "Do not cut them first."))
    points = np.array(array[train.rows], dtype=np.promote_types(array.dtype, np.float32))
    require_finite("features", points, "Fill or drop missing values first.")
    return points


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Training rows in two kinds of columns: measured ones, and codes that are never interpolated.

    Args:
        points: (n, F) all columns of the training rows.
        measured: (M,) positions of the columns that distances and interpolation see.
        codes: (K,) positions of the categorical ones.
    """

    points: Floats
    measured: Ints
    codes: Ints

    @property
    def room(self) -> Floats:
        """(n, M) what neighbours are sought in."""
        return self.points if not self.codes.size else self.points[:, self.measured]

    def complete(self, made: Floats, seeds: Ints, references: Ints, seed: int) -> Floats:
        """Return (S, F) synthetic rows; each code is that of the seed or of the reference row."""
        if not self.codes.size:
            return made
        whole = np.empty((len(made), self.points.shape[1]), dtype=self.points.dtype)
        whole[:, self.measured] = made
        coin = generator(seed, "resample", "codes").random((len(made), self.codes.size)) < 0.5
        of_seed, of_other = (self.points[np.ix_(rows, self.codes)] for rows in (seeds, references))
        whole[:, self.codes] = np.where(coin, of_seed, of_other)
        return whole


def training_columns(
    train: TrainingRows,
    features: ArrayLike,
    categorical: ArrayLike | None,
    interpolate_codes: bool,
) -> Columns:
    """Return the features of the training rows, codes set apart, or refuse codes undeclared.

    Raises:
        UsageError: columns that hold only a few whole numbers, and nobody has said what they are.
    """
    points = training_features(train, features)
    width = points.shape[1]
    codes = np.zeros(0, dtype=np.int64)
    if categorical is not None:
        codes = np.unique(to_array("categorical", categorical, ndim=1))
        inside = codes.size == 0 or (
            codes.dtype.kind in "iu" and codes.min() >= 0 and codes.max() < width
        )
        if not inside:
            expected = f"be positions of columns in [0, {width})"
            raise UsageError(say("categorical", expected, codes.tolist()[:10]))
    codes = codes.astype(np.int64)
    rest = np.setdiff1d(np.arange(width), codes)
    if not rest.size:
        do = "Repeat rows: random_oversample, ml_ros."
        raise UsageError(say("categorical", "leave a measured column", "all columns", do))
    doubtful = [] if interpolate_codes else [j for j in rest.tolist() if _is_code(points[:, j])]
    if doubtful:
        first = np.unique(points[:, doubtful[0]])
        shown = ", ".join(f"{v:g}" for v in first[:5]) + (", ..." if first.size > 5 else "")
        raise UsageError(
            say(
                "features",
                "be measured: between codes 1 and 2 lies no code 1.4",
                f"{len(doubtful)} columns of a few whole numbers ({doubtful[:10]}; column "
                f"{doubtful[0]}: {shown})",
                Message(
                    f"Keep them whole by categorical={doubtful[:10]}, ",
                    hint("or {interpolate_codes=True} if these are amounts."),
                ),
            )
        )
    return Columns(points, rest, codes)


def _is_code(column: Floats) -> bool:
    if not bool((column == np.floor(column)).all()):
        return False
    number = np.unique(column).size
    return 1 < number <= min(_MOST_CODES, column.size // 2)


def nearest(points: Floats, queries: Ints, k: int) -> Ints:
    """Return (Q, k) nearest other rows of each query row, closest first.

    k is cut to the number of other rows. A row is never its own neighbour; a copy of it may be.
    Memory grows with the rows, not with their square: scikit-learn's tree where there are few
    columns, else its blocked brute force.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(k, points.shape[0] - 1)
    found = np.empty((queries.size, k), dtype=np.int64)
    if k == 0 or queries.size == 0:
        return found
    search = NearestNeighbors(n_neighbors=k + 1).fit(points)
    for start in range(0, queries.size, _BLOCK):
        block = queries[start : start + _BLOCK]
        near = search.kneighbors(points[block], return_distance=False)
        # Among copies a row need not come first, nor at all: then the last one is dropped.
        other = near != block[:, None]
        other[other.all(axis=1), -1] = False
        found[start : start + _BLOCK] = near[other].reshape(block.size, k)
    return found


def check_gap(gap: Gap) -> Gap:
    """Return ``gap`` if it is "row" or "feature"."""
    return one_of("gap", gap, ("row", "feature"))


def draw_gap(rng: np.random.Generator, gap: Gap, n: int, width: int) -> NDArray[np.float64]:
    """Return how far to go from seed to reference: (n, 1) per row, or (n, F) per feature."""
    return rng.random((n, 1 if gap == "row" else width))


def interpolate(seed: Floats, reference: Floats, gap: NDArray[np.float64]) -> Floats:
    """Return points between seed rows and reference rows; never beyond either."""
    return seed + gap.astype(seed.dtype) * (reference - seed)
