"""What drawing rows by weights does: the effective sample, the implied weight, the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_integer
from equipoise._core.messages import say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import NotRecoverableError, UsageError
from equipoise.sampling.weights import _check_weights, to_labels


def implied_pos_weight(weights: ArrayLike, labels: Labels | ArrayLike) -> Floats:
    r"""Return the weight on positives that sampling rows by ``weights`` amounts to.

    .. math:: \rho_l = E[w \mid y_l = 1] / E[w \mid y_l = 0]

    Args:
        weights: (N,), >= 0.
        labels: Multi-hot (N, L) with -1 unknown, or `Labels`; classes count as one label each. Rows
            that have weights of their own, as samples of a population, count by them.

    Returns:
        (L,) float64; NaN for labels without positives or without negatives.

    Example:
        >>> implied_pos_weight([3.0, 1.0, 1.0, 1.0], [[1], [0], [0], [0]]).tolist()
        [3.0]
    """
    given = to_labels(labels)
    w = _check_weights(weights, len(given))
    rho = np.full(given.num_classes, np.nan)
    for column, values in enumerate(given.columns()):
        one, zero = values == 1, values == 0
        if one.any() and w[zero].any():
            rho[column] = _mean(w, given, one) / _mean(w, given, zero)
    return rho


def _mean(w: Floats, labels: Labels, rows: NDArray[np.bool_]) -> float:
    """Return the mean of some rows, each by its own weight where labels have any."""
    counted = None if labels.weights is None else labels.weights[rows]
    return float(np.average(w[rows], weights=counted))


def weighted_rates(labels: Labels | ArrayLike, weights: ArrayLike) -> Floats:
    """Return the rate of each class or label when rows are drawn by ``weights``.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        weights: (N,), >= 0.

    Returns:
        (C,) float64, among known rows; NaN where none of weight is known.

    Example:
        >>> weighted_rates([[1, 1], [0, -1], [0, 0]], [2.0, 1.0, 1.0]).round(3).tolist()
        [0.5, 0.667]
    """
    given = to_labels(labels)
    w = _check_weights(weights, len(given))
    if given.kind == "multiclass":
        drawn = np.bincount(given.values, w, minlength=given.num_classes)
        return np.asarray(drawn / w.sum())
    rates = np.full(given.num_classes, np.nan)
    for column, values in enumerate(given.columns()):
        known = float(w[values >= 0].sum())
        if known > 0:
            rates[column] = float(w[values == 1].sum()) / known
    return rates


def effective_sample_size(weights: ArrayLike) -> float:
    """Return (sum w)^2 / sum w^2: how many rows of equal weight are worth these.

    Args:
        weights: (N,), >= 0.

    Returns:
        Between 1 and N.

    Example:
        >>> effective_sample_size([1.0, 1.0, 1.0, 1.0]), round(effective_sample_size([9.0, 1.0]), 2)
        (4.0, 1.22)
    """
    w = _check_weights(weights)
    # The scale cancels; without it squares of large or tiny weights would overflow or vanish.
    w = w / w.max()
    return float(w.sum() ** 2 / (w**2).sum())


def inclusion_probabilities(weights: ArrayLike, num_samples: int) -> Floats:
    r"""Return how likely each row is among those drawn by ``weights`` without replacement.

    Rows come one after the other, each in proportion to its weight among those that are left
    (Efraimidis and Spirakis, 2006). The more are drawn, the less weights matter: of all rows drawn,
    every one is.

    .. math:: \pi_i = 1 - e^{-w_i t}, \quad t: \sum_i \pi_i = n

    Args:
        weights: (N,), >= 0.
        num_samples: n rows, at most those with a weight above 0.

    Returns:
        (N,) float64 in [0, 1], of sum n: exact where all rows of a weight above 0 are drawn or all
        weigh the same, else as close as 1 / N (Rosen, 1997).

    Raises:
        UsageError: more rows than have a weight.

    Example:
        >>> inclusion_probabilities([9.0, 1.0, 1.0, 1.0], 1).round(2).tolist()
        [0.66, 0.11, 0.11, 0.11]
        >>> inclusion_probabilities([9.0, 1.0, 1.0, 1.0], 4).tolist()
        [1.0, 1.0, 1.0, 1.0]

    References:
        Rosen, Asymptotic theory for order sampling, J. Statist. Plann. Inference 62, 1997.
    """
    w = _check_weights(weights)
    usable = int(np.count_nonzero(w))
    if not 0 < num_samples <= usable:
        wanted = f"be 1 to {usable}, the rows with a weight above 0"
        raise UsageError(say("num_samples", wanted, num_samples))
    if num_samples == usable:
        return (w > 0).astype(np.float64)
    scaled = w / w[w > 0].mean()
    low, high = 0.0, 1.0
    while -np.expm1(-scaled * high).sum() < num_samples:
        high *= 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if -np.expm1(-scaled * middle).sum() < num_samples:
            low = middle
        else:
            high = middle
    return np.asarray(-np.expm1(-scaled * high))


def sampler_correction(
    weights: ArrayLike,
    labels: Labels | ArrayLike,
    *,
    replacement: bool = True,
    num_samples: int | None = None,
) -> Correction:
    """Return the correction for a model trained on rows drawn by ``weights``.

    Classes: offset -log(q_k / pi_k), with q_k the drawn and pi_k the natural share; exact where
    rows of a class weigh the same. Labels: offset -log rho_l; exact only where a weight depends on
    that label alone, so stated as approximate.

    Args:
        weights: (N,), >= 0.
        labels: The labels of the same rows.
        replacement: Whether a row can be drawn twice in an epoch. Where it cannot, what counts are
            the inclusion probabilities of the rows, not their weights: with all rows drawn, nothing
            is shifted.
        num_samples: Rows per epoch, where they are drawn without replacement; None draws all of a
            weight above 0.

    Returns:
        A `Correction` with ``prior`` the natural shares; for labels ``nominal_weight`` is rho.
        Absent classes and labels without positives or negatives are left as they are.

    Raises:
        NotRecoverableError: a class or label that occurs is never drawn.

    Example:
        >>> correction = sampler_correction([1.0, 1.0, 1.0, 3.0], [0, 0, 0, 1])
        >>> correction.probabilities([[0.0, 0.0]]).round(3).tolist()
        [[0.75, 0.25]]
        >>> whole = sampler_correction([1.0, 1.0, 1.0, 3.0], [0, 0, 0, 1], replacement=False)
        >>> whole.probabilities([[0.0, 0.0]]).round(3).tolist()
        [[0.5, 0.5]]
    """
    given = to_labels(labels)
    w = _check_weights(weights, len(given))
    if not replacement:
        usable = int(np.count_nonzero(w))
        size = usable if num_samples is None else to_integer("num_samples", num_samples)
        even = bool(np.ptp(w[w > 0]) <= 1e-12 * w.max())
        made = sampler_correction(inclusion_probabilities(w, size), given)
        return made if size == usable or even else replace(made, exactness="approximate")
    return _for_classes(w, given) if given.kind == "multiclass" else _for_labels(w, given)


def _never_drawn(labels: Labels, lost: NDArray[np.bool_]) -> None:
    if lost.any():
        names = ", ".join(repr(labels.names[i]) for i in np.flatnonzero(lost)[:5])
        raise NotRecoverableError(
            f"Rows of {names} have weight 0 and are never drawn, so their probability cannot be "
            "recovered. Give them a weight above 0 or leave the class out."
        )


def _for_classes(w: Floats, labels: Labels) -> Correction:
    classes, width = labels.values, labels.num_classes
    counts = labels.weighed[0]
    present, own = counts > 0, np.ones(w.size)
    if labels.weights is not None:
        own = labels.weights / labels.weights.mean()
    drawn = np.bincount(classes, weights=w * own, minlength=width)
    _never_drawn(labels, present & (drawn == 0))
    mean = np.ones(width)
    np.divide(drawn, counts, out=mean, where=present)
    offset = -np.log(mean / np.average(w, weights=own))
    offset[~present] = 0.0
    same = bool(np.allclose(w, mean[classes], rtol=1e-9, atol=0.0))
    return Correction(
        "multiclass",
        ({"op": "offset", "offset": offset.tolist()},),
        "exact" if same else "approximate",
        prior=tuple(counts / counts.sum()),
    )


def _for_labels(w: Floats, labels: Labels) -> Correction:
    rho = implied_pos_weight(w, labels)
    never = [
        any((column == v).any() and not w[column == v].any() for v in (0, 1))
        for column in labels.columns()
    ]
    _never_drawn(labels, np.asarray(never))
    rho = np.where(np.isnan(rho), 1.0, rho)
    alone = labels.num_classes == 1 and all(
        np.ptp(w[labels.values[:, 0] == v]) <= 1e-9 * w.max()
        for v in (0, 1)
        if (labels.values[:, 0] == v).any()
    )
    known = bool(np.isfinite(labels.prevalence).all())
    return Correction(
        "multilabel",
        ({"op": "offset", "offset": (-np.log(rho)).tolist()},),
        "exact" if alone else "approximate",
        prior=tuple(labels.prevalence) if known else None,
        nominal_weight=tuple(rho),
    )
