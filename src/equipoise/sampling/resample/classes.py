"""Random over- and undersampling of classes, to a ratio or to fixed sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_within
from equipoise._core.messages import closest, say
from equipoise._core.rng import generator
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.errors import DataError, UsageError
from equipoise.sampling.resample._build import class_codes, from_times, whole, without_effect


def _ratio(ratio: float) -> float:
    require_within(
        "ratio",
        ratio,
        "(0, 1]",
        "1 makes classes equal; 0.5 leaves the rarest at half of the most frequent.",
    )
    return float(ratio)


def class_targets(codes: Ints, n: int, ratio: float, max_repeat: int | None) -> tuple[Ints, Ints]:
    """Return rows of each class now, and after oversampling to ``ratio`` of the largest."""
    have = np.bincount(codes[codes >= 0], minlength=n)
    wanted = np.maximum(have, int(np.ceil(_ratio(ratio) * have.max() - 1e-9)))
    if max_repeat is not None:
        wanted = np.minimum(wanted, have * whole("max_repeat", max_repeat, 1))
    return have, np.where(have > 0, wanted, 0)


def _draw(
    train: TrainingRows, codes: Ints, wanted: Ints, method: str, settings: Mapping[str, Any], s: int
) -> Resampled:
    """Draw ``wanted`` rows of each class: all rows equally often, the rest without replacement."""
    rng = generator(s, "resample", method)
    times = (codes < 0).astype(np.int64)
    for k, size in enumerate(wanted.tolist()):
        rows = np.flatnonzero(codes == k)
        if rows.size:
            times[rows] = size // rows.size
            times[rng.permutation(rows)[: size % rows.size]] += 1
    if (times == 1).all():
        without_effect(method, "every class has the size it is to have.")
    return from_times(train, times, method, settings, s)


def random_oversample(
    train: TrainingRows, *, ratio: float = 1.0, max_repeat: int | None = None, seed: int = 0
) -> Resampled:
    """Repeat rows of the rarer classes until each has ``ratio`` times the rows of the largest.

    Use when an engine takes no sampler, or when each copy is augmented in its own way. Prefer
    :class:`equipoise.sampling.ClassBalancedSampler` otherwise: it draws anew in each epoch.

    Args:
        train: Training rows with classes, or with one label (its absence is the other class; rows
            where it is unknown are kept as they are).
        ratio: Smallest over largest class afterwards, in (0, 1]; larger classes are left alone.
        max_repeat: A row comes at most this often, so a class of three rows does not become
            hundreds of copies; None for no limit.
        seed: Same seed, same rows.

    Returns:
        Rows and copies. All rows of a class come equally often, up to one. Classes without rows
        stay without.

    Raises:
        LeakageError: anything but training rows.
        UsageError: a ratio outside (0, 1], or more than one label per row.

    Note:
        Shifts the prior of the classes, exactly as a sampler does: tune thresholds on natural
        validation data, or undo it with :func:`equipoise.sampling.sampler_correction`.

    Example:
        >>> from equipoise import Labels, stratified_split
        >>> labels = Labels.from_array([0] * 8 + [1] * 4, kind="multiclass")
        >>> train = TrainingRows.of(labels, stratified_split(labels, fractions=(0.5, 0.5, 0)))
        >>> after = random_oversample(train)
        >>> train.fold.counts.tolist(), after.labels.counts.tolist(), after.copies.tolist()
        ([4, 2], [4, 4], [0, 0, 0, 0, 0, 0, 1, 1])
    """
    codes, names = class_codes(train, "random_oversample")
    _, wanted = class_targets(codes, len(names), ratio, max_repeat)
    settings = {"ratio": float(ratio), "max_repeat": max_repeat}
    return _draw(train, codes, wanted, "random_oversample", settings, seed)


def random_undersample(train: TrainingRows, *, ratio: float = 1.0, seed: int = 0) -> Resampled:
    """Leave out rows of the larger classes until the smallest has ``ratio`` times their rows.

    Use when rows are plenty and training time is not. Prefer :func:`random_oversample` or weights
    where the smallest class is small: this throws away all that makes the other classes known.

    Args:
        train: Training rows with classes, or with one label, as in :func:`random_oversample`.
        ratio: Smallest over largest class afterwards, in (0, 1].
        seed: Same seed, same rows.

    Returns:
        Rows, each at most once. The smallest class is the smallest one that has rows.

    Raises:
        LeakageError: anything but training rows.
        UsageError: a ratio outside (0, 1], or more than one label per row.

    Example:
        >>> from equipoise import Labels, stratified_split
        >>> labels = Labels.from_array([0] * 8 + [1] * 4, kind="multiclass")
        >>> train = TrainingRows.of(labels, stratified_split(labels, fractions=(0.5, 0.5, 0)))
        >>> random_undersample(train).labels.counts.tolist()
        [2, 2]
    """
    codes, names = class_codes(train, "random_undersample")
    have = np.bincount(codes[codes >= 0], minlength=len(names))
    present = have[have > 0]
    most = int(present.min() / _ratio(ratio) + 1e-9) if present.size else 0
    wanted = np.minimum(have, most)
    return _draw(train, codes, wanted, "random_undersample", {"ratio": float(ratio)}, seed)


def resample_to_sizes(train: TrainingRows, sizes: Mapping[str, int], *, seed: int = 0) -> Resampled:
    """Give each named class a fixed number of rows, without replacement as far as that goes.

    Use when arms of a study must train on equally many rows. Prefer :func:`random_oversample` and
    :func:`random_undersample` for a ratio.

    Args:
        train: Training rows with classes, or with one label "x" (classes "not x" and "x").
        sizes: Name of a class -> rows afterwards; classes that are not named stay as they are.
        seed: Same seed, same rows.

    Returns:
        Rows and copies. A class of n rows that is to have more gets each row size // n times, and
        as many as are left once more.

    Raises:
        LeakageError: anything but training rows.
        UsageError: an unknown class, or a size below 0.
        DataError: rows asked of a class that has none.

    Example:
        >>> from equipoise import Labels, stratified_split
        >>> labels = Labels.from_array([0] * 8 + [1] * 4, kind="multiclass", names=["a", "b"])
        >>> train = TrainingRows.of(labels, stratified_split(labels, fractions=(0.5, 0.5, 0)))
        >>> resample_to_sizes(train, {"a": 3, "b": 5}).labels.counts.tolist()
        [3, 5]
    """
    codes, names = class_codes(train, "resample_to_sizes")
    wanted = np.bincount(codes[codes >= 0], minlength=len(names))
    have = wanted.copy()
    for name, size in sizes.items():
        if name not in names:
            raise UsageError(say("sizes", "name classes", repr(name), closest(name, names)))
        k = names.index(name)
        wanted[k] = whole(f"sizes[{name!r}]", size, 0)
        if size and not have[k]:
            do = "There is nothing to repeat: collect rows, or leave the class out."
            raise DataError(say(f"class {name}", "have training rows", "none", do))
    return _draw(train, codes, wanted, "resample_to_sizes", {"sizes": dict(sizes)}, seed)
