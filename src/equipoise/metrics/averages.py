"""Averages over labels: macro over those that can be judged, micro over decisions, over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.checks import to_array, to_positive
from equipoise._core.messages import say
from equipoise.errors import DataError, ShapeError
from equipoise.metrics._columns import ZeroPositive, as_truth, undefined_as
from equipoise.metrics.point import table


@dataclass(frozen=True, slots=True)
class MacroAverage:
    """A mean over labels, and over how many of them.

    Example:
        >>> print(macro_average([0.5, float("nan"), 1.0]))
        0.750 over 2 of 3 labels
    """

    value: float
    n_evaluable: int
    n_labels: int

    def __str__(self) -> str:
        return f"{self.value:.3f} over {self.n_evaluable} of {self.n_labels} labels"


@dataclass(frozen=True, slots=True)
class MicroAverage:
    """Precision, recall and F-beta over all decisions of all labels."""

    precision: float
    recall: float
    f_beta: float


def macro_average(values: ArrayLike, *, zero_positive: ZeroPositive = "nan") -> MacroAverage:
    """Return the mean over labels that have a value; a label without one is left out and counted.

    Args:
        values: (L,) metric per label, NaN where a label cannot be judged.
        zero_positive: "nan" leaves such labels out; "zero" counts them as 0, as scikit-learn
            does with average precision and F1.

    Example:
        >>> macro_average([0.5, float("nan"), 1.0], zero_positive="zero").value
        0.5
    """
    array = undefined_as(to_array("values", values, ndim=1).astype(np.float64), zero_positive)
    seen = array[~np.isnan(array)]
    return MacroAverage(float(seen.mean()) if seen.size else float("nan"), seen.size, array.size)


def group_averages(
    values: ArrayLike, members: Mapping[str, ArrayLike], *, zero_positive: ZeroPositive = "nan"
) -> dict[str, MacroAverage]:
    """Return the macro average of each group of labels, such as head, medium and tail.

    Args:
        values: (L,) metric per label.
        members: Group -> positions of its labels, as from ``labels.frequency_groups``.
        zero_positive: As in :func:`macro_average`.

    Example:
        >>> found = group_averages([0.9, 0.5, 0.1], {"head": [0], "tail": [1, 2]})
        >>> {group: round(mean.value, 3) for group, mean in found.items()}
        {'head': 0.9, 'tail': 0.3}
    """
    array = to_array("values", values, ndim=1)
    return {
        group: macro_average(array[np.asarray(rows, dtype=np.int64)], zero_positive=zero_positive)
        for group, rows in members.items()
    }


def worst_label(values: ArrayLike, names: Sequence[str]) -> tuple[str, float]:
    """Return the label with the lowest value and that value; labels without one are left out.

    Raises:
        DataError: no label has a value.
        ShapeError: names and values differ in number.

    Example:
        >>> worst_label([0.5, float("nan"), 0.2], ["A", "B", "C"])
        ('C', 0.2)
    """
    array = to_array("values", values, ndim=1).astype(np.float64)
    if array.size != len(names):
        raise ShapeError(say("names", f"hold {array.size} names", len(names), "One per label."))
    if np.isnan(array).all():
        raise DataError(say("values", "hold a number", "only NaN", "No label can be judged."))
    index = int(np.nanargmin(array))
    return names[index], float(array[index])


def micro_average(y_true: ArrayLike, y_pred: ArrayLike, *, beta: float = 1.0) -> MicroAverage:
    """Return precision, recall and F-beta of all decisions together; frequent labels rule it.

    False positives of labels without positives count.

    Args:
        y_true: (N,) or (N, L), 0, 1 or -1 (unknown, left out).
        y_pred: Same shape, 0 or 1.
        beta: Weight of recall against precision, > 0.

    Example:
        >>> micro_average([[1, 0], [1, 1]], [[1, 1], [0, 1]])
        MicroAverage(precision=0.6666666666666666, recall=0.6666666666666666, f_beta=0.6666666666666666)
    """  # noqa: E501
    square = to_positive("beta", beta) ** 2
    tp, fp, fn, _ = (int(c.sum()) for c in table(y_true, y_pred))
    nan = float("nan")
    return MicroAverage(
        tp / (tp + fp) if tp + fp else nan,
        tp / (tp + fn) if tp + fn else nan,
        (1 + square) * tp / ((1 + square) * tp + square * fn + fp) if tp + fn else nan,
    )


def samples_f_beta(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    beta: float = 1.0,
    zero_positive: ZeroPositive = "nan",
) -> float:
    """Return the mean F-beta of rows; rows with no label, true or flagged, are left out.

    Args:
        y_true: (N, L), 0, 1 or -1 (unknown, left out).
        y_pred: (N, L), 0 or 1.
        beta: Weight of recall against precision, > 0.
        zero_positive: "zero" counts rows without any label as 0, as scikit-learn does.

    Example:
        >>> samples_f_beta([[1, 0], [0, 0], [1, 1]], [[1, 0], [0, 0], [1, 0]])
        0.8333333333333333
    """
    to_positive("beta", beta)
    values = row_f_beta(as_truth(y_true), np.asarray(y_pred), beta)
    return macro_average(values, zero_positive=zero_positive).value


def row_f_beta(y_true: NDArray[np.int8], flags: NDArray[np.generic], beta: float = 1.0) -> Floats:
    """Return F-beta of each row over its known labels, (N,); NaN where there is nothing to find."""
    flagged = (flags == 1) & (y_true >= 0)
    tp = (flagged & (y_true == 1)).sum(axis=1)
    return f_beta_of_counts(tp, flagged.sum(axis=1), (y_true == 1).sum(axis=1), beta)


def f_beta_of_counts(tp: Ints, flagged: Ints, positive: Ints, beta: float = 1.0) -> Floats:
    """Return F-beta from true positives, flags and positives, (N,) each; NaN where all are 0."""
    square = beta * beta
    below = square * positive + flagged
    out = np.full(tp.size, np.nan)
    np.divide((1 + square) * tp, below, out=out, where=below > 0)
    return out
