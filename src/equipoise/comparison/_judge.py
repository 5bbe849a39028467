"""Which interval goes with which metric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Bools
from equipoise.artifacts import Estimate, Labels
from equipoise.metrics import (
    Influence,
    Ranks,
    bootstrap_interval,
    boyd_interval,
    gap_bootstrap,
    half_row_interval,
    influence_interval,
    ratio_influence,
    share_interval,
    wilson_interval,
)
from equipoise.metrics.intervals import ENOUGH, Scale, average_precision_way

RESAMPLES = 1000


class Judge:
    """Interval rules shared by all metrics of one evaluation."""

    def __init__(self, labels: Labels, confidence_level: float, seed: int = 0) -> None:
        self.level = confidence_level
        self.seed = seed
        self.groups: NDArray[np.int64] | None = None
        if labels.groups is not None:
            self.groups = np.unique(labels.groups, return_inverse=True)[1].astype(np.int64)

    def influence(
        self,
        value: Influence,
        *,
        n_positive: int | None = None,
        scale: Scale = "logit",
        why: str = "",
    ) -> Estimate:
        """Return the interval from influence values; ``why`` says why a value is missing."""
        missing = np.isnan(value.value)
        return influence_interval(
            value,
            confidence_level=self.level,
            groups=self.groups,
            scale=scale,
            n_positive=n_positive,
            reason=why if missing and why else None,
        )

    def average_precision(self, value: Influence, ranks: Ranks, why: str) -> Estimate:
        """Return Boyd's interval below 50 positives, the percentile one up to 200, then influence.

        In groups, influence values throughout: the other two know rows only.
        """
        n_pos, n = ranks.n_positive, value.rows.size
        way = average_precision_way(n_pos, resampled=True, grouped=self.groups is not None)
        if np.isnan(value.value) or way == "influence":
            return self.influence(value, n_positive=n_pos, why=why)
        if way == "boyd":
            return boyd_interval(value.value, n_pos, n=n, confidence_level=self.level)
        drawn = gap_bootstrap(ranks, n_resamples=RESAMPLES, seed=self.seed)
        return bootstrap_interval(
            value.value,
            drawn.average_precision,
            n=n,
            n_positive=n_pos,
            confidence_level=self.level,
        )

    def auroc(self, value: Influence, truth: NDArray[np.int8], ranks: Ranks, why: str) -> Estimate:
        """Return the half-row interval below 50 positives or negatives, else influence values."""
        few = min(ranks.n_positive, ranks.n_negative) < ENOUGH
        if np.isnan(value.value) or not few or self.groups is not None:
            return self.influence(value, n_positive=ranks.n_positive, why=why)
        return half_row_interval(value, truth, confidence_level=self.level)

    def found_share(self, value: Influence, n: int, n_positive: int, why: str) -> Estimate:
        """Return Wilson's interval of a share of n rows whose cut was found on the same rows."""
        if self.groups is not None:
            return self.influence(value, n_positive=n_positive, why=why)
        return share_interval(
            value, n, confidence_level=self.level, n_positive=n_positive, reason=why or None
        )

    def share(self, hit: Bools, base: Bools, why: str, n_positive: int) -> Estimate:
        """Return Wilson's interval of the share of ``base`` with ``hit``; in groups influence."""
        if not base.any():
            return Estimate.missing(why, n_positive=n_positive)
        if self.groups is not None:
            return self.influence(ratio_influence(hit & base, base), n_positive=n_positive)
        return wilson_interval(
            int((hit & base).sum()),
            int(base.sum()),
            confidence_level=self.level,
            n_positive=n_positive,
        )
