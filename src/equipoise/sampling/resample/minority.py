"""ML-ROS and ML-RUS: random resampling by which labels are in the minority."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import to_fraction
from equipoise._core.messages import closest, say
from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.errors import DataError, UsageError
from equipoise.labels.counts import counts_from
from equipoise.labels.statistics import label_statistics
from equipoise.sampling.resample._build import (
    from_times,
    known_absent,
    label_fold,
    share_of,
    whole,
    without_effect,
)


def minority_labels(fold: Labels) -> tuple[Ints, float]:
    """Return the columns with IRLbl > MeanIR, and MeanIR; labels without positives are neither."""
    statistics = label_statistics(counts_from(fold))
    ratio, mean = statistics.IRLbl, statistics.MeanIR
    if ratio is None or mean is None:
        raise UsageError(say("labels", "be multi-label", "classes"))
    # NaN, a label without positives, is above nothing. Equal labels differ by rounding only.
    return np.flatnonzero(ratio > mean * (1 + 1e-12)), mean


def _clone(
    positive: NDArray[np.bool_], columns: Ints, mean: float, luck: NDArray[np.float64]
) -> Ints:
    """Return how often each row comes when bags take turns until all are closed or luck is out."""
    counts = positive.sum(axis=0)
    times = np.ones(positive.shape[0], dtype=np.int64)
    bags = {int(c): np.flatnonzero(positive[:, c]) for c in columns}
    drawn = 0
    while bags and drawn < luck.size:
        for column, bag in list(bags.items()):
            if drawn == luck.size:
                break
            row = bag[int(luck[drawn] * bag.size)]
            times[row] += 1
            counts += positive[row]
            drawn += 1
            if counts.max() <= mean * counts[column] * (1 + 1e-12):
                del bags[column]
    return times


def ml_ros(train: TrainingRows, *, fraction: float = 0.25, seed: int = 0) -> Resampled:
    """Clone rows of minority labels until the data are larger by ``fraction`` (ML-ROS).

    Use to see what the field's standard resampler does. Prefer weights in the loss or raking: a
    cloned row brings its frequent labels along, so where they co-occur little is gained.

    Rows of each label with IRLbl > MeanIR form a bag. The bags take turns; each time one random row
    of the bag is cloned and IRLbl is counted anew; a bag whose label has come down to MeanIR is
    closed and stays so.

    Args:
        train: Training rows with labels.
        fraction: Clones to make, as a share of the rows; above 0, may exceed 1.
        seed: Same seed, same rows.

    Returns:
        Rows and copies; fewer than asked for where every bag is closed before. ``settings`` names
        the minority labels.

    Raises:
        LeakageError: anything but training rows.
        UsageError: classes, or a fraction that is not above 0.

    Note:
        Readings: MeanIR is that of the data before cloning and is not moved; labels without
        positives are left out of it (where they count as IRLbl 0, MeanIR sinks, and clamped to one
        positive they would be the only minority); a clone does not join its bag, so original rows
        are drawn evenly; cloning stops at exactly ``fraction``, within a round too. Unknown
        entries count as not positive and stay unknown in clones. The R package mldr.resampling
        0.2.3 never closes a bag.

    Example:
        >>> from equipoise import Split
        >>> y = [[1, 0, 0]] * 6 + [[0, 1, 0]] * 5 + [[0, 0, 1]]
        >>> labels = Labels.from_array(y, kind="multilabel")
        >>> split = Split.from_parts(range(12), [], [], n_rows=12, seed=0, method="all")
        >>> ml_ros(TrainingRows.of(labels, split), fraction=0.5).labels.counts.tolist()
        [6, 5, 3]

    References:
        Charte, Rivera, del Jesus, Herrera. Addressing imbalance in multilabel classification:
        measures and random resampling algorithms. Neurocomputing 163, 2015.
    """
    fold = label_fold(train, "ml_ros")
    columns, mean = minority_labels(fold)
    luck = generator(seed, "resample", "ml_ros").random(share_of(len(fold), fraction))
    if not columns.size:
        without_effect("ml_ros", "no label has an IRLbl above MeanIR.")
    times = _clone(fold.values == 1, columns, mean, luck)
    settings = {
        "fraction": float(fraction),
        "minority": [fold.names[c] for c in columns],
        "MeanIR": mean,
        "clones": int(times.sum()) - len(fold),
    }
    return from_times(train, times, "ml_ros", settings, seed)


def _columns(fold: Labels, minority: Sequence[str] | None) -> Ints:
    if minority is None:
        return minority_labels(fold)[0]
    for name in minority:
        if name not in fold.names:
            raise UsageError(say("minority", "name labels", repr(name), closest(name, fold.names)))
    return np.asarray([fold.names.index(name) for name in minority], dtype=np.int64)


def _removable(fold: Labels, columns: Ints, keep_empty: bool) -> Ints:
    """Return rows known to hold no minority label."""
    free = known_absent(fold.values[:, columns])
    if keep_empty:
        free &= (fold.values == 1).any(axis=1)
    return np.flatnonzero(free)


def ml_rus(
    train: TrainingRows, *, fraction: float = 0.25, keep_empty: bool = False, seed: int = 0
) -> Resampled:
    """Leave out random rows without a minority label (ML-RUS).

    Use to see what the field's standard resampler does. Prefer :func:`ml_ros`, weights or raking:
    rows left out are known and cost nothing but time.

    Args:
        train: Training rows with labels.
        fraction: Rows to leave out, as a share of all, in (0, 1).
        keep_empty: Whether rows without any label stay.
        seed: Same seed, same rows.

    Returns:
        Rows, each at most once; where fewer than asked for may go, all of those are left out.

    Raises:
        LeakageError: anything but training rows.
        UsageError: classes, or a fraction outside (0, 1).

    Note:
        Readings: a row may go if no label with IRLbl > MeanIR is present (Mulan goes bag by bag of
        the frequent labels instead). Rows are drawn without replacement; mldr.resampling 0.2.3
        draws with, and removes fewer than it says. A row in which a minority label is unknown
        stays. The paper has no rows without labels: ``keep_empty`` decides.

    Example:
        >>> from equipoise import Split
        >>> y = [[1, 0, 0]] * 6 + [[0, 1, 0]] * 5 + [[0, 0, 1]]
        >>> labels = Labels.from_array(y, kind="multilabel")
        >>> split = Split.from_parts(range(12), [], [], n_rows=12, seed=0, method="all")
        >>> after = ml_rus(TrainingRows.of(labels, split), fraction=0.5)
        >>> len(after), int(after.labels.counts[2])
        (6, 1)

    References:
        Charte et al., as in :func:`ml_ros`.
    """
    fold = label_fold(train, "ml_rus")
    remove = share_of(len(fold), to_fraction("fraction", fraction))
    columns, mean = minority_labels(fold)
    if not columns.size:
        without_effect("ml_rus", "no label has an IRLbl above MeanIR.")
    rows = _removable(fold, columns, keep_empty) if columns.size else np.empty(0, dtype=np.int64)
    times = np.ones(len(fold), dtype=np.int64)
    times[generator(seed, "resample", "ml_rus").permutation(rows)[:remove]] = 0
    settings = {
        "fraction": float(fraction),
        "keep_empty": keep_empty,
        "minority": [fold.names[c] for c in columns],
        "MeanIR": mean,
        "removed": int((times == 0).sum()),
    }
    return from_times(train, times, "ml_rus", settings, seed)


def undersample_majority_rows(
    train: TrainingRows,
    *,
    n_rows: int,
    minority: Sequence[str] | None = None,
    keep_empty: bool = False,
    seed: int = 0,
) -> Resampled:
    """Leave out random rows that hold no minority label until ``n_rows`` are left.

    Use when training time allows for so many rows and no more. Prefer :func:`ml_rus` for a share.

    Args:
        train: Training rows with labels.
        n_rows: Rows afterwards.
        minority: Labels whose rows must stay; by default those with IRLbl > MeanIR.
        keep_empty: Whether rows without any label must stay too.
        seed: Same seed, same rows.

    Returns:
        Rows, each at most once. A row in which a minority label is unknown stays.

    Raises:
        LeakageError: anything but training rows.
        UsageError: classes, an unknown label, ``n_rows`` below 1.
        DataError: too few rows may go.

    Example:
        >>> from equipoise import Split
        >>> y = [[1, 0, 0]] * 6 + [[0, 1, 0]] * 5 + [[0, 0, 1]]
        >>> labels = Labels.from_array(y, kind="multilabel")
        >>> split = Split.from_parts(range(12), [], [], n_rows=12, seed=0, method="all")
        >>> after = undersample_majority_rows(TrainingRows.of(labels, split), n_rows=4)
        >>> len(after), int(after.labels.counts[2])
        (4, 1)
    """
    fold = label_fold(train, "undersample_majority_rows")
    remove = len(fold) - whole("n_rows", n_rows, 1)
    columns = _columns(fold, minority)
    rows = _removable(fold, columns, keep_empty)
    if remove > rows.size:
        do = "Name fewer minority labels, or allow more rows."
        got = f"{n_rows}, but only {rows.size} of {len(fold)} rows hold no minority label"
        raise DataError(say("n_rows", f"be at least {len(fold) - rows.size}", got, do))
    if remove <= 0:
        without_effect("undersample_majority_rows", "there are no more rows than `n_rows`.")
    times = np.ones(len(fold), dtype=np.int64)
    luck = generator(seed, "resample", "undersample_majority_rows")
    times[luck.permutation(rows)[: max(remove, 0)]] = 0
    names = [fold.names[c] for c in columns]
    settings = {"n_rows": n_rows, "minority": names, "keep_empty": keep_empty}
    return from_times(train, times, "undersample_majority_rows", settings, seed)
