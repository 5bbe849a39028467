"""Presence: which labels must stand in which part, and moves that bring them there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise.splits._units import Units, product

_TRIES = 64


def shortfall(units: Units, table: Ints, need: Ints) -> Ints:
    """Return (L, P) positives that each part lacks."""
    lack: Ints = np.maximum(need - product(units.vectors, table), 0)
    return lack


class _Search:
    """Single moves and swaps of units that lower the weighted shortfall."""

    def __init__(self, units: Units, table: Ints, need: Ints, weight: Ints) -> None:
        self.units, self.table, self.need, self.weight = units, table.copy(), need, weight
        self.have = product(units.vectors, table)

    def _cost(self, labels: Ints, have: Ints) -> int:
        lack = np.maximum(self.need[labels] - have, 0)
        return int((lack * self.weight[labels][:, None]).sum())

    def gain(self, kind: int, source: int, goal: int) -> int:
        """Return how much the weighted shortfall falls when one unit moves."""
        labels = np.flatnonzero(self.units.vectors[kind])
        before = self.have[labels]
        after = before.copy()
        after[:, source] -= self.units.vectors[kind, labels]
        after[:, goal] += self.units.vectors[kind, labels]
        return self._cost(labels, before) - self._cost(labels, after)

    def move(self, kind: int, source: int, goal: int) -> None:
        """Move one unit."""
        self.table[kind, source] -= 1
        self.table[kind, goal] += 1
        self.have[:, source] -= self.units.vectors[kind]
        self.have[:, goal] += self.units.vectors[kind]

    def _movable(self, kinds: Ints, source: int) -> Iterator[int]:
        yield from kinds[self.table[kinds, source] > 0].tolist()

    def single(self, label: int, goal: int) -> bool:
        """Make the best single move that brings ``label`` to ``goal``, if one helps."""
        kinds = np.flatnonzero(self.units.vectors[:, label])
        options = [
            (self.gain(kind, source, goal), -int(self.units.sizes[kind]), kind, source)
            for source in range(self.table.shape[1])
            if source != goal
            for kind in self._movable(kinds, source)
        ]
        if not options or max(options)[0] <= 0:
            return False
        _, _, kind, source = max(options)
        self.move(kind, source, goal)
        return True

    def swap(self, label: int, goal: int) -> bool:
        """Move a unit with ``label`` to ``goal`` and another one back, if together they help."""
        kinds = np.flatnonzero(self.units.vectors[:, label])[:_TRIES]
        for source in range(self.table.shape[1]):
            if source == goal:
                continue
            for kind in list(self._movable(kinds, source)):
                first = self.gain(kind, source, goal)
                self.move(kind, source, goal)
                lacking = np.flatnonzero(self.have[:, source] < self.need[:, source])
                back = np.flatnonzero(self.units.vectors[:, lacking].any(axis=1))[:_TRIES]
                for other in list(self._movable(back, goal)):
                    if first + self.gain(other, goal, source) > 0:
                        self.move(other, goal, source)
                        return True
                self.move(kind, goal, source)
        return False


def repair(units: Units, table: Ints, need: Ints, hard: NDArray[np.bool_]) -> Ints:
    """Return a table in which fewer labels are missing from a part, by moves and swaps.

    Args:
        units: Types of units.
        table: (T, P) units of each type in each part.
        need: (L, P) positives that each part should get.
        hard: (L,) labels whose need comes before that of the others.
    """
    weight = np.where(hard, 1_000, 1).astype(np.int64)
    search = _Search(units, table, need, weight)
    progress = True
    while progress:
        progress = False
        lack = np.argwhere(np.maximum(need - search.have, 0) > 0)
        for label, part in sorted(lack.tolist(), key=lambda lp: (not hard[lp[0]], lp)):
            if search.have[label, part] < need[label, part] and (
                search.single(label, part) or search.swap(label, part)
            ):
                progress = True
    return search.table
