"""What a study works on: features, labels and test rows that were set apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.fingerprint import fingerprint_array
from equipoise.artifacts import Labels
from equipoise.splits import feature_contents

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class StudyData:
    """Features and labels of one study.

    Args:
        description: What the data are, in a few words.
        features: (N, D) float32, in memory or as a memory map.
        labels: The truth of the same rows.
        test: Positions of the test rows where the source sets them apart itself, else None.
        pending: About how many seconds it takes to compute the features, where they stand for
            those of a network that has not run yet.
        content_hashes: Hashes of the rows' own content, where features are not what tells it.
    """

    description: str
    features: NDArray[Any]
    labels: Labels
    test: NDArray[np.int64] | None = None
    pending: float | None = None
    content_hashes: NDArray[np.uint64] | None = None

    @property
    def contents(self) -> NDArray[np.uint64] | None:
        """(N,) hashes of what the rows hold; None where equal rows are no evidence of copies."""
        if self.content_hashes is not None or self.pending is not None:
            return self.content_hashes
        return feature_contents(self.features)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name features and labels."""
        if not isinstance(self.features, np.memmap) and self.features.strides[0]:
            return fingerprint_array(self.features, np.asarray([self.labels.fingerprint]))
        # A map, or one row that stands for all, may be larger than memory: some rows at a time.
        step = range(0, len(self.features), _ROWS_AT_ONCE)
        parts = [fingerprint_array(self.features[i : i + _ROWS_AT_ONCE]) for i in step]
        return fingerprint_array(np.asarray([*parts, self.labels.fingerprint]))
