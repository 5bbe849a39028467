"""Recall and precision per class of one or more runs, as tables in papers and logs have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array
from equipoise._core.words import say
from equipoise.errors import DataError, ShapeError


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """What runs say per class.

    Args:
        names: Classes.
        support: (C,) test rows of each class.
        recall: Run -> (C,) in [0, 1].
        precision: Run -> (C,) in [0, 1]; NaN where nothing was predicted.
        recall_train: Run -> (C,) on training rows, where known.
        digits: Decimals of the printed numbers; they say how far off a count may be.

    Raises:
        ShapeError: columns of another length.
        DataError: numbers outside [0, 1], or no test rows.
    """

    names: tuple[str, ...]
    support: Floats
    recall: Mapping[str, Floats]
    precision: Mapping[str, Floats]
    recall_train: Mapping[str, Floats]
    digits: int = 2

    @classmethod
    def from_columns(
        cls,
        names: tuple[str, ...],
        support: ArrayLike,
        recall: Mapping[str, ArrayLike],
        precision: Mapping[str, ArrayLike] | None = None,
        recall_train: Mapping[str, ArrayLike] | None = None,
        digits: int = 2,
    ) -> ClassTable:
        """Check and wrap columns; percentages (above 1) are taken as shares.

        Example:
            >>> table = ClassTable.from_columns(("cat", "dog"), 50, {"none": [90, 40]})
            >>> table.recall["none"].tolist(), table.support.tolist()
            ([0.9, 0.4], [50.0, 50.0])
        """
        rows = np.broadcast_to(np.asarray(support, dtype=np.float64), (len(names),)).copy()
        if rows.size == 0 or not (rows >= 1).all():
            raise DataError(say("support", "be at least one test row per class", rows.tolist()[:5]))
        made = [
            {run: _column(run, values, len(names)) for run, values in (given or {}).items()}
            for given in (recall, precision, recall_train)
        ]
        if any((np.nan_to_num(v) > 1).any() for part in made for v in part.values()):
            made = [{run: v / 100 for run, v in part.items()} for part in made]
            digits += 2
        for part in made:
            for run, values in part.items():
                if ((values < 0) | (values > 1)).any():
                    raise DataError(say(run, "lie in [0, 1] or [0, 100]", values.tolist()[:5]))
        return cls(tuple(names), rows, made[0], made[1], made[2], digits)


def _column(run: str, values: ArrayLike, size: int) -> Floats:
    array = np.asarray(to_array(run, values, ndim=1), dtype=np.float64)
    if array.size != size:
        raise ShapeError(say(run, f"hold one number per class, {size}", array.size))
    return array


def is_count(shares: Floats, support: Floats, digits: int) -> NDArray[np.bool_]:
    """Return where a share can be k / support as it is printed, (C,).

    Example:
        >>> is_count(np.array([0.86, 0.83]), np.array([50.0, 50.0]), 2).tolist()
        [True, False]
    """
    nearest = np.round(shares * support) / support
    return np.asarray(np.abs(nearest - shares) <= 0.5 * 10.0**-digits + 1e-12)


def predicted_counts(recall: Floats, precision: Floats, support: Floats) -> Floats:
    """Return how many rows were called each class, (C,): hits over precision; NaN without hits.

    Example:
        >>> predicted_counts(np.array([0.9]), np.array([0.5]), np.array([50.0])).round(1).tolist()
        [90.0]
    """
    hits = np.round(recall * support)
    out = np.full(support.size, np.nan)
    np.divide(hits, precision, out=out, where=precision > 0)
    return out
