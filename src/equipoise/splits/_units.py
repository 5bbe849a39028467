"""Units of a split: rows, or groups that move as a whole, gathered by equal content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """U units of T types; units of one type hold the same positives and the same rows.

    What a split decides is how many units of each type go to each part. So its work grows with
    the number of types, and its counts cannot depend on the order of rows.

    Args:
        vectors: (T, L) int64 positives of each label in one unit.
        sizes: (T,) rows in one unit.
        number: (T,) units of each type.
        unit_type: (U,) type of each unit.
        row_unit: (N,) unit of each row; None where each row is a unit.
    """

    vectors: NDArray[np.int64]
    sizes: NDArray[np.int64]
    number: NDArray[np.int64]
    unit_type: NDArray[np.int64]
    row_unit: NDArray[np.int64] | None

    @property
    def positives(self) -> NDArray[np.int64]:
        """(L,) positives of each label."""
        return product(self.vectors, self.number)

    @property
    def holders(self) -> NDArray[np.int64]:
        """(L,) units that hold at least one positive of each label."""
        return product(self.vectors > 0, self.number)

    @property
    def n_rows(self) -> int:
        """Rows in all units."""
        return int(self.sizes @ self.number)

    def spread(self, table: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return (N,) the part of each row, given a (T, P) table of units per type and part."""
        order = np.lexsort((rng.random(self.unit_type.size), self.unit_type))
        parts = np.tile(np.arange(table.shape[1]), table.shape[0])
        chosen = np.empty(self.unit_type.size, dtype=np.int64)
        chosen[order] = np.repeat(parts, table.ravel())
        return chosen if self.row_unit is None else chosen[self.row_unit]


def product(vectors: NDArray[Any], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return vectors' x number; exact in floating point, for which there is a fast product."""
    found = vectors.T.astype(np.float64) @ number.astype(np.float64)
    return np.asarray(np.rint(found).astype(np.int64))


def _types(columns: list[NDArray[Any]], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (U,) type of each unit and (T,) a unit of each type; equal columns, equal type."""
    factors = generator(0, "units").integers(1, 2**63, size=len(columns), dtype=np.uint64)
    key = np.zeros(n, dtype=np.uint64)
    for column, factor in zip(columns, factors, strict=True):
        key += column.astype(np.uint64) * factor
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    if all((c == c[first][inverse]).all() for c in columns):
        return inverse, first
    _, first, inverse = np.unique(  # two contents shared one key: compare them in full
        np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True
    )
    return inverse.reshape(-1), first


def _group_vectors(
    labels: Labels, unit: NDArray[np.int64], n_units: int
) -> list[NDArray[np.int64]]:
    if labels.kind == "multiclass":
        flat = np.bincount(unit * labels.num_classes + labels.values)
        flat = np.pad(flat, (0, n_units * labels.num_classes - flat.size))
        return list(flat.reshape(n_units, labels.num_classes).T)
    hot = labels.values == 1
    return [np.bincount(unit[column], minlength=n_units) for column in hot.T]


def gather_units(labels: Labels, row_unit: NDArray[np.int64] | None) -> Units:
    """Gather rows (or groups, given as (N,) codes from 0) into types of equal content."""
    if row_unit is None:
        n_units = len(labels)
        sizes = np.ones(n_units, dtype=np.int64)
        if labels.kind == "multiclass":  # one type per class, in class order
            return Units(
                np.eye(labels.num_classes, dtype=np.int64),
                np.ones(labels.num_classes, dtype=np.int64),
                labels.counts,
                labels.values,
                None,
            )
        columns = list(np.ascontiguousarray((labels.values == 1).T))
    else:
        n_units = int(row_unit.max()) + 1
        sizes = np.bincount(row_unit, minlength=n_units)
        columns = _group_vectors(labels, row_unit, n_units)
    unit_type, first = _types([sizes, *columns], n_units)
    vectors = np.ascontiguousarray(np.stack([c[first] for c in columns]).T, dtype=np.int64)
    return Units(vectors, sizes[first], np.bincount(unit_type), unit_type, row_unit)
