"""How far rare labels sit in the rows of frequent ones (SCUMBLE), and how unequal counts are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_floats
from equipoise._core.messages import say
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Concurrence:
    """SCUMBLE of rows, of labels and of a data set.

    Args:
        rows: (N,) in [0, 1); 0 for a row with one label, none, or labels equally frequent.
        labels: (L,) mean over the rows of each label; NaN without positives.
        mean: Over all rows.
        variation: Standard deviation over mean of ``rows``; NaN where the mean is 0.
    """

    rows: Floats
    labels: Floats
    mean: float
    variation: float


def scumble(labels: Labels) -> Concurrence:
    r"""Measure whether rare labels come in the rows of frequent ones.

    Use before oversampling rows: where it is high (above 0.1), rows of a rare label bring the
    frequent labels with them, and every copy raises both.

    .. math:: \mathrm{SCUMBLE}_i = 1 - \frac{(\prod_{l \in Y_i} \mathrm{IRLbl}_l)^{1/|Y_i|}}
        {\mathrm{mean}_{l \in Y_i} \mathrm{IRLbl}_l}

    Args:
        labels: Multi-label, (N, L). Unknown entries count as not present.

    Raises:
        UsageError: classes, which never come together.

    Example:
        >>> found = scumble(Labels.from_array([[1, 1], [1, 0], [1, 0]], kind="multilabel"))
        >>> found.rows.round(3).tolist(), found.labels.round(3).tolist()
        ([0.134, 0.0, 0.0], [0.045, 0.134])

    References:
        Charte, Rivera, del Jesus, Herrera. Concurrence among imbalanced labels and its influence
        on multilabel resampling algorithms. HAIS 2014, eq. 3 and 4.
    """
    if labels.kind != "multilabel":
        raise UsageError(say("labels", "be multi-label", labels.kind, "Classes never co-occur."))
    counts = labels.counts.astype(np.float64)
    n, top = len(labels), counts.max(initial=0.0)
    found = labels.entries.present
    rows, size = found.rows, found.per_row().astype(np.float64)
    ratio = top / counts[found.columns]
    # Sums over the labels that a row has, in the order of labels.
    total = np.bincount(rows, ratio, minlength=n)
    logs = np.bincount(rows, np.log(ratio), minlength=n)
    per_row = np.zeros(n)
    some = size > 0
    # Mean of logs less log of mean, so that one label gives 0 exactly.
    per_row[some] = -np.expm1(
        np.minimum(logs[some] / size[some] - np.log(total[some] / size[some]), 0.0)
    )
    per_row[size < 2] = 0.0
    turned = found.by_label()
    sums = np.array([per_row[turned.columns[a:b]].sum() for a, b in pairwise(turned.starts)])
    each = np.divide(sums, counts, out=np.full(counts.size, np.nan), where=counts > 0)
    mean = float(per_row.mean())
    return Concurrence(per_row, each, mean, float(per_row.std() / mean) if mean else float("nan"))


def gini(counts: ArrayLike) -> float:
    r"""Return the Gini coefficient of counts: 0 where all are equal, near 1 where one has all.

    .. math:: G = \frac{\sum_i \sum_j |n_i - n_j|}{2 C \sum_i n_i}

    Args:
        counts: (C,) numbers >= 0, not all 0.

    Raises:
        DataError: negative counts, or none above 0.

    Example:
        >>> gini([5, 5]), gini([0, 10]), round(gini([1, 2, 3]), 3)
        (0.0, 0.5, 0.222)

    References:
        Gini (1912); for long tails Yang et al. (2022), A survey on long-tailed visual recognition.
    """
    array = np.sort(to_floats("counts", to_array("counts", counts, ndim=1)))
    if array.size == 0 or array[0] < 0 or array.sum() <= 0:
        raise DataError(say("counts", "be numbers >= 0, not all 0", array.tolist()[:5]))
    weights = 2 * np.arange(1, array.size + 1) - array.size - 1
    return float(weights @ array / (array.size * array.sum()))
