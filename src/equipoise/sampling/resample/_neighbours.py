"""Feature vectors: their checks, and the search for nearest neighbours in blocks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import one_of, require_finite, say
from equipoise.artifacts.resampled import TrainingRows
from equipoise.errors import DataError, ShapeError

__all__ = ["Gap", "check_gap", "draw_gap", "interpolate", "nearest", "training_features"]

Gap = Literal["row", "feature"]
Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
_BLOCK = 16_384


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
