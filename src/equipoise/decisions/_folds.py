"""What both kinds of tuning share: the folds of the cross-fitted value and their outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.rng import generator
from equipoise.artifacts import Calibrator, Labels

FOLDS = 5
# Standard errors by which one way of deciding is clearly ahead of another: 5 %, one-sided.
SURE = 1.645
WITHIN_NOISE, CLEARLY = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """The fitted parts of a rule; see :class:`equipoise.artifacts.DecisionRule`.

    ``behind`` marks labels or classes where it reaches less than the default rule on the same
    cross-fitted rows: within the noise or clearly.
    """

    calibrator: Calibrator
    prior_shift: Floats
    thresholds: Floats | None
    class_offset: Floats | None
    claimed: Floats
    cross_fitted: Floats
    notes: tuple[str, ...]
    low: Floats = field(default_factory=lambda: np.array([]))
    high: Floats = field(default_factory=lambda: np.array([]))
    choice: Mapping[str, Any] | None = None
    prior: Floats = field(default_factory=lambda: np.array([]))
    decided: Floats = field(default_factory=lambda: np.array([]))
    behind: NDArray[np.int8] = field(default_factory=lambda: np.array([], dtype=np.int8))


def deal_folds(labels: Labels, seed: int) -> list[NDArray[np.int64]]:
    """Deal rows (or groups) into folds so that rows with rare labels spread evenly.

    Returns:
        Up to five lists of row positions; none where rows or groups cannot be parted.
    """
    rng = generator(seed, "cross-fit")
    if labels.groups is not None:
        _, codes = np.unique(labels.groups, return_inverse=True)
        dealt = rng.permutation(int(codes.max()) + 1)[codes] % FOLDS
    else:
        present, n = labels.entries.present, len(labels)
        each, row = (1.0 / np.maximum(labels.counts, 1.0))[present.columns], present.rows
        rarest, where = np.zeros(n), np.zeros(n, dtype=np.int64)
        np.maximum.at(rarest, row, each)
        # The first of a row's rarest labels; written from the last to the first.
        at = np.flatnonzero(each == rarest[row])[::-1]
        where[row[at]] = present.columns[at]
        order = np.lexsort((rng.random(n), -rarest, where))
        dealt = np.empty(len(labels), dtype=np.int64)
        dealt[order] = np.arange(len(labels)) % FOLDS
    folds = [np.flatnonzero(dealt == fold) for fold in range(FOLDS) if (dealt == fold).any()]
    return folds if len(folds) > 1 else []
