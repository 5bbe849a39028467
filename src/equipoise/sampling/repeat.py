"""Repeat factors: rows of rare classes and labels several times per epoch, rounded by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_floats, to_positive
from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling.weights import to_labels


def repeat_factors(
    labels: Labels | ArrayLike, *, threshold: float, empty_weight: float = 1.0
) -> Floats:
    r"""Say how often each row comes per epoch (Mahajan et al., 2018; LVIS, Gupta et al., 2019).

    Use when every row shall stay in play. Prefer :func:`equipoise.sampling.rake` when given rates
    are to be reached: repeat factors narrow them only.

    .. math:: r_i = \max_{l: y_{il} = 1} \max(1, \sqrt{t / f_l})

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        threshold: t, in (0, 1]: classes and labels below this share are repeated. LVIS takes
            0.001 for 1,203 categories; that leaves four labels of 8 % and more as they are.
        empty_weight: Factor of rows without any label; 1 keeps them once, 0 drops them.

    Returns:
        (N,) float64. f_l is the share among known rows; unknown entries count as not present.

    Raises:
        UsageError: ``threshold`` or ``empty_weight`` out of range.

    Example:
        >>> repeat_factors([[1], [0], [0], [0]], threshold=1.0).tolist()
        [2.0, 1.0, 1.0, 1.0]
    """
    given = to_labels(labels)
    top = to_positive("threshold", threshold)
    if top > 1.0:
        raise UsageError(say("threshold", "lie in (0, 1]", threshold, "It is a share of rows."))
    empty = to_positive("empty_weight", empty_weight, zero=True)
    share = given.prevalence
    factor = np.ones(given.num_classes)
    rare = (given.counts > 0) & (share < top)
    factor[rare] = np.sqrt(top / share[rare])
    if given.kind == "multiclass":
        return np.asarray(factor[given.values])
    rows, present = np.zeros(len(given)), given.entries.present
    np.maximum.at(rows, present.rows, factor[present.columns])
    return np.where(rows == 0.0, empty, rows)


def repeat_factor_weights(
    labels: Labels | ArrayLike, *, threshold: float, empty_weight: float = 1.0
) -> Floats:
    """Return :func:`repeat_factors` as row weights with mean 1.

    Args:
        labels: As for :func:`repeat_factors`.
        threshold: In (0, 1].
        empty_weight: Factor of rows without any label.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        DataError: no row is left with a weight.

    Example:
        >>> repeat_factor_weights([[1], [0], [0], [0]], threshold=1.0).tolist()
        [1.6, 0.8, 0.8, 0.8]
    """
    factors = repeat_factors(labels, threshold=threshold, empty_weight=empty_weight)
    if not factors.any():
        raise DataError(say("empty_weight", "leave a row with a weight", empty_weight))
    return np.asarray(factors / factors.mean())


def repeat_factor_rows(factors: ArrayLike, *, seed: int, epoch: int = 0) -> NDArray[np.int64]:
    """List the rows of one epoch: floor(r) copies, and one more with probability r - floor(r).

    Use to train on repeat factors as they are meant. Rounding up instead would double every row
    whose factor is 1.01.

    Args:
        factors: (N,), >= 0, e.g. from :func:`repeat_factors`.
        seed: The same on every rank.
        epoch: Each epoch rounds anew.

    Returns:
        Row indices in ascending order, int64; shuffle them before use. Epochs differ in length by
        one row at most: the extra copies are drawn systematically over a random order of rows.

    Raises:
        DataError: factors that are negative or not finite.

    Example:
        >>> repeat_factor_rows([2.0, 1.0, 0.0, 1.0], seed=0).tolist()
        [0, 0, 1, 3]
        >>> [repeat_factor_rows([1.5, 1.5], seed=0, epoch=e).tolist() for e in (0, 1, 2)]
        [[0, 0, 1], [0, 0, 1], [0, 1, 1]]
    """
    r = to_floats("factors", to_array("factors", factors, ndim=1))
    if not np.isfinite(r).all() or (r < 0).any():
        raise DataError(say("factors", "be finite and >= 0", f"{r.min():g} to {r.max():g}"))
    copies = np.floor(r).astype(np.int64)
    rng = generator(seed, "sampling", "repeat_factor", epoch)
    # One random number for all fractions: a row gets its copy where their running sum passes it and
    # a whole number. In a fixed order neighbours would share their luck in every epoch.
    order = rng.permutation(r.size)
    edges = np.floor(np.cumsum((r - copies)[order]) + rng.random())
    copies[order] += np.diff(edges, prepend=0.0).astype(np.int64)
    return np.repeat(np.arange(r.size, dtype=np.int64), copies)
