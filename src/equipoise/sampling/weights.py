"""Row weights for samplers, and what sampling by them does to the probabilities (NumPy only)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import (
    one_of,
    require_finite,
    require_shape,
    say,
    to_array,
    to_positive,
)
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, NotRecoverableError, ShapeError

__all__ = [
    "RowRule",
    "class_balanced_weights",
    "effective_sample_size",
    "implied_pos_weight",
    "instance_weights",
    "sampler_correction",
    "to_labels",
]

RowRule = Literal["max", "mean", "sum"]
ROW_RULES: tuple[RowRule, ...] = ("max", "mean", "sum")
Floats = NDArray[np.float64]


def to_labels(labels: Labels | ArrayLike) -> Labels:
    """Return `Labels`; (N,) arrays are class indices, (N, L) arrays are multi-hot."""
    if isinstance(labels, Labels):
        return labels
    array = to_array("labels", labels, ndim=(1, 2))
    return Labels.from_array(array, kind="multiclass" if array.ndim == 1 else "multilabel")


def _check_weights(weights: ArrayLike, n: int | None = None) -> Floats:
    array = np.asarray(to_array("weights", weights, ndim=1), dtype=np.float64)
    if n is not None:
        require_shape("weights", array, (n,), "One weight per labelled row.")
    require_finite("weights", array, "Clean the labels they come from.")
    if array.size == 0 or array.min() < 0 or not array.any():
        got = "none" if array.size == 0 else f"{array.min():g} to {array.max():g}"
        raise DataError(say("weights", "be >= 0 and not all 0", got))
    return array


def instance_weights(
    labels: Labels | ArrayLike,
    weight: ArrayLike | None = None,
    *,
    rule: RowRule = "max",
    empty_weight: float = 1.0,
) -> Floats:
    """Turn weights per class or label into one weight per row.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        weight: One weight per class or label, (C,), >= 0; None weighs every row alike.
        rule: How the weights of a row's several labels join: "max" (a row is as wanted as its
            rarest label), "mean", or "sum" (the same as drawing a label first, then a row).
            Without effect on classes.
        empty_weight: Weight of a row without any label, in units of the smallest label weight:
            1 treats it as a row of the most frequent label, 0 never draws it.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        ShapeError: ``weight`` is not (C,).
        DataError: negative or infinite weights, or no row left with a weight.

    Example:
        >>> instance_weights([0, 0, 0, 1], [1.0, 3.0]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """
    one_of("rule", rule, ROW_RULES)
    given = to_labels(labels)
    if weight is None:
        return np.ones(len(given))
    vector = np.asarray(to_array("weight", weight, ndim=1), dtype=np.float64)
    if vector.shape != (given.num_classes,):
        expected = f"have shape (C,) = ({given.num_classes},)"
        do = "Pass one weight per class, e.g. `class_weights(counts)`."
        raise ShapeError(say("weight", expected, vector.shape, do))
    require_finite("weight", vector, 'Zero counts? See zero_counts="ignore".')
    empty = to_positive("empty_weight", empty_weight, zero=True)
    rows = vector[given.values] if given.kind == "multiclass" else _join(given, vector, rule, empty)
    checked = _check_weights(rows)
    return np.asarray(checked / checked.mean())


def _join(labels: Labels, weight: Floats, rule: RowRule, empty: float) -> Floats:
    """Join the weights of each row's positive labels; column by column, so memory stays (N,)."""
    n, hot = len(labels), labels.values
    largest, total, count = np.zeros(n), np.zeros(n), np.zeros(n)
    for column, value in enumerate(weight):
        here = hot[:, column] == 1
        largest[here] = np.maximum(largest[here], value)
        total[here] += value
        count += here
    found: dict[str, Floats] = {"max": largest, "sum": total}
    rows = found[rule] if rule in found else total / np.maximum(count, 1.0)
    positive = weight[weight > 0]
    smallest = float(positive.min()) if positive.size else 1.0
    return np.where(count == 0, empty * smallest, rows)


def class_balanced_weights(
    labels: Labels | ArrayLike,
    *,
    power: float = 1.0,
    rule: RowRule = "max",
    empty_weight: float = 1.0,
) -> Floats:
    r"""Weigh rows by the inverse frequency of their class or labels.

    Use to draw rare classes as often as frequent ones. Prefer weights in the loss when rows are
    few: drawing with replacement repeats rare rows and leaves many frequent ones unseen.

    .. math:: w_i = n_{y_i}^{-power}, \qquad w_i = \max_{l: y_{il} = 1} n_l^{-power}

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        power: 1 balances classes exactly; 0.5 is square-root sampling; 0 leaves rows alike.
        rule: For several labels a row: "max", "mean" or "sum"; see :func:`instance_weights`.
        empty_weight: Of rows without any label; see :func:`instance_weights`.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        DataError: no row is left with a weight.

    Note:
        Labels cannot be balanced exactly: a row with a rare label brings its frequent ones along,
        so with correlated labels the frequent label may even rise. State the effect with
        :func:`sampler_correction`, and do not add class weights or a logit adjustment on top:
        the effects multiply.

    Example:
        >>> class_balanced_weights([0, 0, 0, 1]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
        >>> class_balanced_weights([[1, 1], [0, 1], [0, 1], [0, 0]]).round(3).tolist()
        [2.0, 0.667, 0.667, 0.667]
    """
    given = to_labels(labels)
    counts = given.counts.astype(np.float64)
    weight = np.zeros(given.num_classes)
    np.power(counts, -to_positive("power", power, zero=True), out=weight, where=counts > 0)
    return instance_weights(given, weight, rule=rule, empty_weight=empty_weight)


def implied_pos_weight(weights: ArrayLike, labels: Labels | ArrayLike) -> Floats:
    r"""Return the weight on positives that sampling rows by ``weights`` amounts to.

    .. math:: \rho_l = E[w \mid y_l = 1] / E[w \mid y_l = 0]

    Args:
        weights: (N,), >= 0.
        labels: Multi-hot (N, L) with -1 unknown, or `Labels`; classes count as one label each.

    Returns:
        (L,) float64; NaN for labels without positives or without negatives.

    Example:
        >>> implied_pos_weight([3.0, 1.0, 1.0, 1.0], [[1], [0], [0], [0]]).tolist()
        [3.0]
    """
    given = to_labels(labels)
    w = _check_weights(weights, len(given))
    rho = np.full(given.num_classes, np.nan)
    for column, values in enumerate(given.one_hot().T):
        one, zero = w[values == 1], w[values == 0]
        if one.size and zero.any():
            rho[column] = one.mean() / zero.mean()
    return rho


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
    w = w / w.max()
    return float(w.sum() ** 2 / (w**2).sum())


def sampler_correction(weights: ArrayLike, labels: Labels | ArrayLike) -> Correction:
    """Return the correction for a model trained on rows drawn by ``weights``.

    Classes: offset -log(q_k / pi_k), with q_k the drawn and pi_k the natural share; exact where
    rows of a class weigh the same. Labels: offset -log rho_l; exact only where a weight depends on
    that label alone, so stated as approximate.

    Args:
        weights: (N,), >= 0.
        labels: The labels of the same rows.

    Returns:
        A `Correction` with ``prior`` the natural shares; for labels ``nominal_weight`` is rho.
        Absent classes and labels without positives or negatives are left as they are.

    Raises:
        NotRecoverableError: a class or label that occurs is never drawn.

    Example:
        >>> correction = sampler_correction([1.0, 1.0, 1.0, 3.0], [0, 0, 0, 1])
        >>> correction.probabilities([[0.0, 0.0]]).round(3).tolist()
        [[0.75, 0.25]]
    """
    given = to_labels(labels)
    w = _check_weights(weights, len(given))
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
    counts = labels.counts.astype(np.float64)
    present = counts > 0
    drawn = np.bincount(classes, weights=w, minlength=width)
    _never_drawn(labels, present & (drawn == 0))
    mean = np.ones(width)
    np.divide(drawn, counts, out=mean, where=present)
    offset = -np.log(mean / w.mean())
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
    hot = labels.values
    never = [
        any((hot[:, c] == v).any() and not w[hot[:, c] == v].any() for v in (0, 1))
        for c in range(labels.num_classes)
    ]
    _never_drawn(labels, np.asarray(never))
    rho = np.where(np.isnan(rho), 1.0, rho)
    alone = labels.num_classes == 1 and all(
        np.ptp(w[hot[:, 0] == v]) <= 1e-9 * w.max() for v in (0, 1) if (hot[:, 0] == v).any()
    )
    known = bool(np.isfinite(labels.prevalence).all())
    return Correction(
        "multilabel",
        ({"op": "offset", "offset": (-np.log(rho)).tolist()},),
        "exact" if alone else "approximate",
        prior=tuple(labels.prevalence) if known else None,
        nominal_weight=tuple(rho),
    )
