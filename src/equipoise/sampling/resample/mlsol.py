"""MLSOL: synthetic rows where the neighbours of a row disagree with its rare labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.rng import generator
from equipoise.artifacts.labels import UNKNOWN
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.sampling.resample._build import (
    Synthetic,
    label_fold,
    share_of,
    whole,
    with_synthetic,
    without_effect,
)
from equipoise.sampling.resample._neighbours import (
    Gap,
    check_gap,
    draw_gap,
    interpolate,
    nearest,
    training_columns,
)

MAJORITY, SAFE, BORDERLINE, RARE, OUTLIER = range(5)
_BLOCK = 16_384


class Local(NamedTuple):
    """Of the rows that hold the rarer value of some label.

    Args:
        weight: (Q,) of each as a seed.
        types: (N, L) int8 of all rows: MAJORITY, SAFE, BORDERLINE, RARE or OUTLIER.
    """

    weight: Floats
    types: NDArray[np.int8]


def minority_entries(values: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return (N, L) whether an entry holds the rarer of 0 and 1 in its column (1 in a tie)."""
    ones, zeros = (values == 1).sum(axis=0), (values == 0).sum(axis=0)
    return np.asarray(values == np.where(ones <= zeros, 1, 0).astype(np.int8))


def _disagreement(values: NDArray[np.int8], rows: Ints, near: Ints) -> Floats:
    """Return (Q, L) share of the neighbours whose label is known that hold the other value."""
    share = np.zeros((rows.size, values.shape[1]))
    for start in range(0, rows.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        around = values[near[part]]
        known = (around != UNKNOWN).sum(axis=1)
        other = (around == 1 - values[rows[part]][:, None, :]).sum(axis=1)
        np.divide(other, known, out=share[part], where=known > 0)
    return share


def _types(minority: NDArray[np.bool_], share: Floats, rows: Ints, near: Ints) -> NDArray[np.int8]:
    types = np.full(minority.shape, MAJORITY, dtype=np.int8)
    grade = np.select(
        [share < 0.3, share < 0.7, share < 1.0], [SAFE, BORDERLINE, RARE], OUTLIER
    ).astype(np.int8)
    types[rows] = np.where(minority[rows], grade, MAJORITY)
    place, column = np.nonzero(types[rows] == RARE)
    while place.size:  # a rare entry beside a safe or borderline one is borderline itself
        around = types[near[place], column[:, None]]
        up = ((around == SAFE) | (around == BORDERLINE)).any(axis=1)
        if not up.any():
            break
        types[rows[place[up]], column[up]] = BORDERLINE
        place, column = place[~up], column[~up]
    return types


def local_imbalance(
    values: NDArray[np.int8], minority: NDArray[np.bool_], rows: Ints, near: Ints
) -> Local:
    """Weigh and grade rows by how their neighbours' labels differ.

    Args:
        values: (N, L) in 1, 0, -1.
        minority: (N, L) which entries hold the rarer value.
        rows: (Q,) rows with such an entry.
        near: (Q, k) their neighbours.
    """
    share = _disagreement(values, rows, near)
    counts = np.where(minority[rows] & (share < 1.0), share, 0.0)
    total = counts.sum(axis=0)
    scaled = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    return Local(scaled.sum(axis=1), _types(minority, share, rows, near))


# By type: how far from the minority side its label still holds. RARE always, OUTLIER never.
_THETA = np.array([np.nan, 0.5, 0.75, np.inf, -np.inf])
Rows = NDArray[np.floating[Any]]


def mix_labels(
    values: NDArray[np.int8], types: NDArray[np.int8], s: Ints, r: Ints, way: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Return (S, L) labels of points that lie ``way`` (S,) in [0, 1] from seed to reference.

    Where the two agree, theirs. Where they differ, that of the side with the rarer value if the
    point is near enough to it for the type of that entry, else the other. Unknown if either is.
    """
    seed, reference = values[s], values[r]
    swap = types[s] == MAJORITY
    grade = np.where(swap, types[r], types[s])
    distance = np.where(swap, 1.0 - way[:, None], way[:, None])
    rare, other = np.where(swap, reference, seed), np.where(swap, seed, reference)
    mixed = np.where(distance <= _THETA[grade], rare, other)
    unknown = (seed == UNKNOWN) | (reference == UNKNOWN)
    differ = np.where(unknown, UNKNOWN, mixed)
    return np.where(seed == reference, seed, differ).astype(np.int8)


def _way(start: Rows, end: Rows, made: Rows, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return d(made, seed) / (d(made, seed) + d(made, reference))."""
    if u.shape[1] == 1:
        return np.asarray(u[:, 0])
    near, far = (np.linalg.norm(made - side, axis=1) for side in (start, end))
    share = np.zeros(len(made))
    np.divide(near, near + far, out=share, where=near + far > 0)
    return share


def _make(points: Rows, values: NDArray[np.int8], k: int, n: int, gap: Gap, seed: int) -> Synthetic:
    minority = minority_entries(values)
    rows = np.flatnonzero(minority.any(axis=1))
    near = nearest(points, rows, k)
    local = local_imbalance(values, minority, rows, near)
    rng = generator(seed, "resample", "mlsol")
    if near.shape[1] == 0 or not local.weight.any():
        without_effect("mlsol", "no rare label has a neighbour that disagrees (outliers apart).")
        n = 0
    chance = local.weight / local.weight.sum() if n else None
    pick = rng.choice(rows.size, size=n, p=chance) if n else np.empty(0, dtype=np.int64)
    s, r = rows[pick], near[pick, rng.integers(0, max(near.shape[1], 1), n)] if n else pick
    u = draw_gap(rng, gap, n, points.shape[1])
    made = interpolate(points[s], points[r], u)
    way = _way(points[s], points[r], made, u)
    return Synthetic(made, mix_labels(values, local.types, s, r, way), s, r)


def mlsol(
    train: TrainingRows,
    features: ArrayLike,
    *,
    fraction: float = 0.3,
    k_neighbors: int = 5,
    gap: Gap = "row",
    categorical: ArrayLike | None = None,
    interpolate_codes: bool = False,
    seed: int = 0,
) -> Resampled:
    r"""Add points where rare labels meet others, not where they are rare (MLSOL).

    Use with feature vectors whose rare labels are scattered among other rows. Prefer
    :func:`mlsmote` to add rows for whole labels, and weights where neighbours mean little.

    Of the k nearest neighbours of row i, C_il is the share with the other value of label l. Among
    entries that hold the rarer value of their label, without outliers (C = 1), row i is a seed
    with weight

    .. math:: w_i = \sum_l C_{il} / \textstyle\sum_{i'} C_{i'l} .

    The reference is one of its neighbours, and the point lies between. Where their labels differ,
    the rarer value holds up to theta of the way: 0.5 SAFE (C < 0.3), 0.75 BORDERLINE (C < 0.7, or
    rare beside a safe or borderline entry), always RARE (C < 1), never OUTLIER.

    Args:
        train: Training rows with labels.
        features: (N, F) floating point, of the whole data, on one scale; never pixels or tokens
            (their mean is neither; see :func:`smote`).
        fraction: Synthetic rows, as a share of the training rows; above 0.
        k_neighbors: Neighbours, at most one less than the rows.
        gap: "row" or "feature"; see :func:`mlsmote`.
        categorical: Positions of columns that hold codes: they are no part of distances, and a
            synthetic row has each code of its seed or of its reference row. Columns of a few whole
            numbers that are not declared are refused.
        interpolate_codes: Take such columns for amounts, and interpolate them.
        seed: Same seed, same points.

    Returns:
        All training rows once, then the synthetic ones with their seed and reference rows.

    Raises:
        LeakageError: anything but training rows.
        ShapeError, DataError: features that are not (N, F) floating point and finite.
        UsageError: codes that are not declared, classes, or settings out of range.

    Note:
        Readings: the rarer value of a label is 0 where positives are the majority. Neighbours are
        sought for rows with a rare entry alone, which is all that the method looks at. Rare
        entries are looked at again until none changes, each with the type its neighbours have in
        the same label. Unknown entries are neither rare nor asked; a label known on one side only
        is unknown in the synthetic row. There is no way back to the true probability: calibrate.

    Example:
        >>> from equipoise import Labels, Split
        >>> labels = Labels.from_array([[0], [0], [1], [1], [0], [0]], kind="multilabel")
        >>> split = Split.from_parts(range(6), [], [], n_rows=6, seed=0, method="all")
        >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.1, 5.1])[:, None]
        >>> after = mlsol(TrainingRows.of(labels, split), x, fraction=0.5, k_neighbors=2)
        >>> after.n_synthetic, set(after.seed_rows.tolist()) <= {2, 3}
        (3, True)

    References:
        Liu, Blekas, Tsoumakas. Multi-label sampling based on local label imbalance. Pattern
        Recognition 122, 2022.
    """
    fold = label_fold(train, "mlsol")
    columns = training_columns(train, features, categorical, interpolate_codes)
    points = columns.room
    k = whole("k_neighbors", k_neighbors, 1)
    number = share_of(len(fold), fraction)
    made = _make(points, fold.values, k, number, check_gap(gap), seed)
    made = made._replace(
        features=columns.complete(made.features, made.seeds, made.references, seed)
    )
    settings = {"fraction": float(fraction), "k_neighbors": k, "gap": gap}
    settings |= {"categorical": columns.codes.tolist()} if columns.codes.size else {}
    return with_synthetic(train, made, "mlsol", settings, seed)
