"""LP-ROS and LP-RUS: random resampling of whole label sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import to_fraction
from equipoise._core.rng import generator
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.labels.pairs import pack_rows
from equipoise.sampling.resample._build import (
    from_times,
    label_fold,
    share_of,
    without_effect,
)


def _labelsets(values: NDArray[np.int8]) -> tuple[Ints, Ints]:
    """Return (N,) label set of each row and (Div,) its number of rows."""
    _, inverse = np.unique(pack_rows(values == 1), return_inverse=True)
    codes = inverse.reshape(-1).astype(np.int64)
    return codes, np.bincount(codes)


def _share_out(room: Ints, budget: int) -> Ints:
    """Give each bag an equal share, up to its room; what a bag cannot take goes to the others."""
    amounts = np.zeros_like(room)
    left = budget
    for done, bag in enumerate(np.argsort(room, kind="stable")):
        amounts[bag] = min(int(room[bag]), left // (room.size - done))
        left -= int(amounts[bag])
    return amounts


def lp_ros(train: TrainingRows, *, fraction: float = 0.25, seed: int = 0) -> Resampled:
    """Clone rows of rare label sets, up to the mean size of a label set (LP-ROS).

    Use only where few label sets cover the data. Prefer :func:`ml_ros` where many occur just once:
    this clones each of those, whatever labels they hold.

    Args:
        train: Training rows with labels.
        fraction: Clones to make, as a share of the rows; above 0.
        seed: Same seed, same rows.

    Returns:
        Rows and copies; fewer than asked for where every label set has reached the mean size.

    Raises:
        LeakageError: anything but training rows.
        UsageError: classes, or a fraction that is not above 0.

    Note:
        Readings: no label set is an empty one, so rows without labels form one too; unknown
        entries count as absent when sets are formed and stay unknown in clones. Clones are shared
        out evenly over sets below the mean size; what a set cannot take before it reaches the mean
        goes evenly to those with more room. Original rows are drawn, with replacement.

    Example:
        >>> from equipoise import Labels, Split
        >>> labels = Labels.from_array([[1, 0]] * 7 + [[0, 1]] * 2 + [[1, 1]], kind="multilabel")
        >>> split = Split.from_parts(range(10), [], [], n_rows=10, seed=0, method="all")
        >>> after = lp_ros(TrainingRows.of(labels, split), fraction=0.3)
        >>> after.labels.counts.tolist(), after.labels.values[10:].tolist()
        ([10, 6], [[0, 1], [1, 1], [1, 1]])

    References:
        Charte et al., as in :func:`ml_ros`; algorithm 1 and its counterpart for cloning.
    """
    fold = label_fold(train, "lp_ros")
    budget = share_of(len(fold), fraction)
    codes, sizes = _labelsets(fold.values)
    mean = len(fold) / sizes.size
    bags = np.flatnonzero(sizes < mean)
    if not bags.size:
        without_effect("lp_ros", "all label sets are equally frequent.")
    amounts = _share_out(np.floor(mean - sizes[bags] + 1e-9).astype(np.int64), budget)
    rng = generator(seed, "resample", "lp_ros")
    times = np.ones(len(fold), dtype=np.int64)
    order, starts = np.argsort(codes, kind="stable"), np.cumsum(sizes) - sizes
    for bag, amount in zip(bags, amounts.tolist(), strict=True):
        if amount:
            rows = order[starts[bag] : starts[bag] + sizes[bag]]
            np.add.at(times, rows[rng.integers(0, rows.size, amount)], 1)
    settings = {"fraction": float(fraction), "labelsets": sizes.size, "clones": int(amounts.sum())}
    return from_times(train, times, "lp_ros", settings, seed)


def lp_rus(train: TrainingRows, *, fraction: float = 0.25, seed: int = 0) -> Resampled:
    """Leave out rows of frequent label sets, down to the mean size of a label set (LP-RUS).

    Use only where few label sets cover the data; see :func:`lp_ros`. Prefer weights in the loss.

    Args:
        train: Training rows with labels.
        fraction: Rows to leave out, as a share of all, in (0, 1).
        seed: Same seed, same rows.

    Returns:
        Rows, each at most once; more are left than asked for where every label set has come down
        to the mean size.

    Raises:
        LeakageError: anything but training rows.
        UsageError: classes, or a fraction outside (0, 1).

    Note:
        Readings as in :func:`lp_ros`; rows are drawn without replacement, and no set falls below
        the mean size.

    Example:
        >>> from equipoise import Labels, Split
        >>> labels = Labels.from_array([[1, 0]] * 7 + [[0, 1]] * 2 + [[1, 1]], kind="multilabel")
        >>> split = Split.from_parts(range(10), [], [], n_rows=10, seed=0, method="all")
        >>> lp_rus(TrainingRows.of(labels, split), fraction=0.3).labels.counts.tolist()
        [5, 3]

    References:
        Charte et al., as in :func:`ml_ros`; algorithm 1.
    """
    fold = label_fold(train, "lp_rus")
    budget = share_of(len(fold), to_fraction("fraction", fraction))
    codes, sizes = _labelsets(fold.values)
    mean = len(fold) / sizes.size
    bags = np.flatnonzero(sizes > mean)
    if not bags.size:
        without_effect("lp_rus", "all label sets are equally frequent.")
    amounts = _share_out(np.floor(sizes[bags] - mean + 1e-9).astype(np.int64), budget)
    rng = generator(seed, "resample", "lp_rus")
    times = np.ones(len(fold), dtype=np.int64)
    order, starts = np.argsort(codes, kind="stable"), np.cumsum(sizes) - sizes
    for bag, amount in zip(bags, amounts.tolist(), strict=True):
        rows = order[starts[bag] : starts[bag] + sizes[bag]]
        times[rng.permutation(rows)[:amount]] = 0
    settings = {"fraction": float(fraction), "labelsets": sizes.size, "removed": int(amounts.sum())}
    return from_times(train, times, "lp_rus", settings, seed)
