"""Rows that take turns: in random order, each once before any comes again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Turns:
    """Hands out rows without end, each once before any comes twice."""

    def __init__(self, rows: NDArray[np.int64], random: np.random.Generator) -> None:
        self.rows, self.random = rows, random
        self.queue: list[int] = []

    def take(self, count: int, taken: set[int]) -> list[int]:
        """Return up to ``count`` rows not in ``taken``, fewer if there are no more; add them."""
        found: list[int] = []
        held: list[int] = []
        refilled = False
        while len(found) < count:
            if not self.queue:
                if refilled:
                    break
                self.queue = self.random.permutation(self.rows).tolist()
                refilled = True
            row = self.queue.pop()
            if row in taken:
                held.append(row)
            else:
                taken.add(row)
                found.append(row)
        # What the batch holds already keeps its turn for the next batch.
        self.queue += held[::-1]
        return found
