"""What a trainer gets in each round, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.mining.pools import Pool
from equipoise.mining.scoring import Scorer


@dataclass(frozen=True, eq=False)
class MiningTask:
    """What one round trains on.

    Args:
        pool: Where the rows are.
        rows: (n,) int64 positions in it.
        weights: (n,) float64 with mean 1; train with them, or probabilities are off.
        validation: Unmined rows, to stop on or to choose the epoch; never to train on.
        seed: Of initialisation and order, the same for a round in every run.
        round: 0 for the first training.
        previous: The scorer of the round before, to go on from; None to begin anew.
        folder: The trainer may keep things here; after a kill it is called again with the same
            task and finds them.
    """

    pool: Pool
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    validation: Pool
    seed: int
    round: int
    previous: Scorer | None
    folder: Path = field(default_factory=Path)

    @property
    def x(self) -> NDArray[Any]:
        """The inputs of the rows, read as one array."""
        return self.pool.read(self.rows)

    @property
    def y(self) -> NDArray[np.int64]:
        """Their labels: 0 or 1, or classes."""
        return self.pool.values[self.rows].astype(np.int64)


Trainer = Callable[[MiningTask], Scorer]
"""Trains on a task and returns a scorer: from a batch of inputs to outputs, the larger the more
positive: (n,) or (n, 1) for one label, (n, C) before the softmax for classes."""
