"""Oversampling by repeat factors: rows come as often as their rarest label asks for."""

from __future__ import annotations

import numpy as np

from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.sampling.repeat import repeat_factor_rows, repeat_factors
from equipoise.sampling.resample._build import (
    from_times,
    require_training,
    whole,
    without_effect,
)


def repeat_factor_oversample(
    train: TrainingRows, *, threshold: float, max_repeat: int | None = None, seed: int = 0
) -> Resampled:
    """Repeat rows by the rarity of their rarest label (Gupta et al., 2019).

    Use for several labels per row: rows with a rare label come more often, and no row is lost.
    Prefer a sampler by the same rule where copies need no augmentation of their own.

    The factors are those of :func:`equipoise.sampling.repeat_factors`, rounded up with probability
    equal to their fraction, so the expected number of copies is exact.

    Args:
        train: Training rows of either kind.
        threshold: Prevalence below which a label is repeated, in (0, 1].
        max_repeat: A row comes at most this often; None for no limit.
        seed: Same seed, same rows.

    Returns:
        Rows and copies. Every row comes at least once; rows without labels exactly once.

    Raises:
        LeakageError: anything but training rows.
        UsageError: ``threshold`` outside (0, 1], ``max_repeat`` below 1.

    Note:
        A repeated row brings its other labels along. Undo the effect on the probabilities with
        :func:`equipoise.sampling.sampler_correction` (approximate) and calibrate.

    Example:
        >>> from equipoise import Labels, Split
        >>> labels = Labels.from_array([[1, 1]] + [[0, 1]] * 15, kind="multilabel")
        >>> split = Split.from_parts(range(16), [], [], n_rows=16, seed=0, method="all")
        >>> after = repeat_factor_oversample(TrainingRows.of(labels, split), threshold=0.25)
        >>> after.labels.counts.tolist(), after.rows[after.copies > 0].tolist()
        ([2, 17], [0])

    References:
        Gupta, Dollar, Girshick. LVIS: a dataset for large vocabulary instance segmentation. CVPR
        2019, appendix.
    """
    fold = require_training(train).fold
    factors = repeat_factors(fold, threshold=threshold)
    if max_repeat is not None:
        factors = np.minimum(factors, whole("max_repeat", max_repeat, 1))
    if (factors == 1).all():
        without_effect("repeat_factor_oversample", "no label is rarer than `threshold`.")
    times = np.bincount(repeat_factor_rows(factors, seed=seed), minlength=len(fold))
    settings = {"threshold": float(threshold), "max_repeat": max_repeat}
    return from_times(train, times, "repeat_factor_oversample", settings, seed)
