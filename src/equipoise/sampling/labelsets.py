"""Row weights that look at the whole set of a row's labels (NumPy only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction, to_positive
from equipoise.artifacts.labels import Labels
from equipoise.labels.pairs import pack_rows
from equipoise.sampling.weights import _check_weights, class_balanced_weights, to_labels


def inverse_labelset_weights(labels: Labels | ArrayLike, *, empty_weight: float = 1.0) -> Floats:
    """Draw every set of labels that occurs equally often.

    Use to see the far end of what reweighting can do. Prefer :func:`equipoise.sampling.rake`: sets
    that occur once get the weight of all others, and the same few rows come again and again.

    Args:
        labels: Multi-hot (N, L) with -1 unknown, or `Labels`; classes are sets of one.
        empty_weight: How often the empty set comes beside any other: 1 is the same, 0 never.

    Returns:
        (N,) float64 with mean 1. Unknown entries count as not present.

    Raises:
        DataError: no row is left with a weight.

    Example:
        >>> inverse_labelset_weights([[1, 0], [1, 0], [1, 1], [0, 0]]).round(3).tolist()
        [0.667, 0.667, 1.333, 1.333]
    """
    given = to_labels(labels)
    if given.kind == "multiclass":
        return class_balanced_weights(given)
    empty = to_positive("empty_weight", empty_weight, zero=True)
    positive = given.values == 1
    _, place, counts = np.unique(pack_rows(positive), return_inverse=True, return_counts=True)
    rows = 1.0 / counts[place.reshape(-1)]
    rows[~positive.any(axis=1)] *= empty
    checked = _check_weights(rows)
    return np.asarray(checked / checked.mean())


def single_label_weights(
    labels: Labels | ArrayLike, *, several_weight: float = 1.0, empty_weight: float = 1.0
) -> Floats:
    r"""Repeat rows with exactly one label until all labels are as frequent as the most frequent.

    Use to see the price of this idea: it leaves the rates of other labels alone, but rests on few
    rows. Prefer :func:`equipoise.sampling.rake`, which spreads the same rates over all rows.

    .. math:: w_i = (n_{\max} - v\, m_l) / s_l

    for a row with label l alone, with s_l such rows, m_l rows of l with other labels, and v the
    weight of those.

    Args:
        labels: Multi-hot (N, L) with -1 unknown, or `Labels`; classes are balanced.
        several_weight: v, of rows with several labels, in [0, 1]; 0 leaves them out.
        empty_weight: Of rows without any label, in the same unit: 1 is an untreated row.

    Returns:
        (N,) float64 with mean 1. Unknown entries count as not present. A label that never stands
        alone keeps its rows as they are.

    Raises:
        DataError: no row is left with a weight.

    Example:
        >>> single_label_weights([[1, 0], [1, 0], [1, 1], [0, 1]]).round(3).tolist()
        [0.8, 0.8, 0.8, 1.6]
    """
    given = to_labels(labels)
    if given.kind == "multiclass":
        return class_balanced_weights(given)
    several = to_fraction("several_weight", several_weight, inclusive=True)
    positive = given.values == 1
    size = positive.sum(axis=1)
    rows = np.where(size == 0, to_positive("empty_weight", empty_weight, zero=True), several)
    counts = given.counts
    for column in range(given.num_classes):
        alone = positive[:, column] & (size == 1)
        single = int(alone.sum())
        if single:
            rest = several * (counts[column] - single)
            rows[alone] = (counts.max() - rest) / single
    checked = _check_weights(rows)
    return np.asarray(checked / checked.mean())
