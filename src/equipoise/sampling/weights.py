"""Row weights from how often classes, labels and label sets occur, for samplers (NumPy only)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import (
    require_finite,
    require_shape,
    to_array,
    to_floats,
    to_fraction,
    to_integer,
    to_number,
    to_positive,
)
from equipoise._core.messages import one_of, say
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.labels.weights import class_weights


def presence_classes(labels: Labels) -> Labels | None:
    """Return one label as classes 0 (without, or unknown) and 1; None for several, or classes."""
    if labels.kind != "multilabel" or labels.num_classes != 1:
        return None
    values = (labels.values[:, 0] == 1).astype(np.int64)
    return Labels.from_array(values, kind="multiclass", names=["without", "with"])


def by_presence(
    labels: Labels, weigh: Callable[[Labels], Floats], empty_weight: float
) -> Floats | None:
    """Weigh rows of one label as two classes, those without it times ``empty_weight``."""
    classes = presence_classes(labels)
    if classes is None:
        return None
    empty = to_positive("empty_weight", empty_weight, zero=True)
    rows = weigh(classes) * np.where(classes.values == 0, empty, 1.0)
    if not rows.any():
        raise DataError(say("empty_weight", "leave a row with a weight", empty_weight))
    return np.asarray(rows / rows.mean())


Join = Literal["max", "mean", "sum"]
JOINS: tuple[Join, ...] = ("max", "mean", "sum")


def to_labels(labels: Labels | ArrayLike) -> Labels:
    """Return `Labels`; (N,) arrays are class indices, (N, L) arrays are multi-hot."""
    if isinstance(labels, Labels):
        return labels
    array = to_array("labels", labels, ndim=(1, 2))
    return Labels.from_array(array, kind="multiclass" if array.ndim == 1 else "multilabel")


def _check_weights(weights: ArrayLike, n: int | None = None) -> Floats:
    array = to_floats("weights", to_array("weights", weights, ndim=1))
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
    rule: Join = "max",
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
        (N,) float64 with mean 1. Unknown entries count as not present.

    Raises:
        ShapeError: ``weight`` is not (C,).
        DataError: negative or infinite weights, or no row left with a weight.

    Example:
        >>> instance_weights([0, 0, 0, 1], [1.0, 3.0]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """
    one_of("rule", rule, JOINS)
    given = to_labels(labels)
    if weight is None:
        return np.ones(len(given))
    vector = to_floats("weight", to_array("weight", weight, ndim=1))
    if vector.shape != (given.num_classes,):
        expected = f"have shape (C,) = ({given.num_classes},)"
        do = "Pass one weight per class, e.g. `class_weights(counts)`."
        raise ShapeError(say("weight", expected, vector.shape, do))
    require_finite("weight", vector, 'Zero counts? See zero_counts="ignore".')
    empty = to_positive("empty_weight", empty_weight, zero=True)
    rows = vector[given.values] if given.kind == "multiclass" else _join(given, vector, rule, empty)
    checked = _check_weights(rows)
    return np.asarray(checked / checked.mean())


def _join(labels: Labels, weight: Floats, rule: Join, empty: float) -> Floats:
    """Join the weights of each row's positive labels."""
    n, present = len(labels), labels.entries.present
    each, row = weight[present.columns], present.rows
    largest, count = np.zeros(n), present.per_row().astype(np.float64)
    np.maximum.at(largest, row, each)
    total = np.bincount(row, each, minlength=n).astype(np.float64)
    found: dict[str, Floats] = {"max": largest, "sum": total}
    rows = found[rule] if rule in found else total / np.maximum(count, 1.0)
    positive = weight[weight > 0]
    smallest = float(positive.min()) if positive.size else 1.0
    return np.where(count == 0, empty * smallest, rows)


def class_balanced_weights(
    labels: Labels | ArrayLike,
    *,
    power: float = 1.0,
    rule: Join = "max",
    empty_weight: float = 1.0,
) -> Floats:
    r"""Weigh rows by the inverse frequency of their class or labels.

    Use to draw rare classes as often as frequent ones. Prefer weights in the loss when rows are
    few: drawing with replacement repeats rare rows and leaves many frequent ones unseen.

    .. math:: w_i = n_{y_i}^{-power}, \qquad w_i = \max_{l: y_{il} = 1} n_l^{-power}

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown. One label
            alone is two classes: rows with it and rows without.
        power: 1 balances classes exactly; 0.5 is square-root sampling; 0 leaves rows alike; 2 is
            the reversed sampler. It is 1 - q of :func:`power_weights`.
        rule: For several labels a row: "max", "mean" or "sum"; see :func:`instance_weights`.
        empty_weight: Of rows without any label; see :func:`instance_weights`.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        DataError: no row is left with a weight.

    Note:
        Labels cannot be balanced exactly: a row with a rare label brings its frequent ones along,
        so with correlated labels the frequent label may even rise. State the effect with
        :func:`equipoise.sampling.sampler_correction`, and do not add class weights or a logit
        adjustment on top: the effects multiply.

    Example:
        >>> class_balanced_weights([0, 0, 0, 1]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
        >>> class_balanced_weights([[1, 1], [0, 1], [0, 1], [0, 0]]).round(3).tolist()
        [2.0, 0.667, 0.667, 0.667]
        >>> class_balanced_weights([[0], [0], [0], [1]]).round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """
    q = 1.0 - to_positive("power", power, zero=True)
    return power_weights(labels, q=q, rule=rule, empty_weight=empty_weight)


def power_weights(
    labels: Labels | ArrayLike,
    *,
    q: float = 0.5,
    rule: Join = "max",
    empty_weight: float = 1.0,
) -> Floats:
    r"""Draw classes in proportion to a power of their counts (Kang et al., 2020).

    Use ``q`` 0.5 (square root) as a milder balance. Prefer :func:`equipoise.sampling.rake` for
    labels: it says which rates are wanted and reaches them.

    .. math:: p_k \propto n_k^q, \qquad w_i = n_{y_i}^{q - 1}

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        q: 1 draws rows alike, 0.5 is the square root, 0 draws classes alike, -1 is the reversed
            sampler of BBN (Zhou et al., 2020).
        rule: For several labels a row: "max", "mean" or "sum"; see :func:`instance_weights`.
        empty_weight: Of rows without any label; see :func:`instance_weights`.

    Returns:
        (N,) float64 with mean 1. Classes without rows are left out.

    Raises:
        UsageError: ``q`` is not finite.
        DataError: no row is left with a weight.

    Example:
        >>> power_weights([0, 0, 0, 0, 1], q=0.5).round(3).tolist()
        [0.833, 0.833, 0.833, 0.833, 1.667]
        >>> power_weights([0, 0, 0, 0, 1], q=-1.0).round(3).tolist()
        [0.25, 0.25, 0.25, 0.25, 4.0]
    """
    if not np.isfinite(to_number("q", q)):
        raise UsageError(say("q", "be finite", q, "Start with 0.5."))
    given = to_labels(labels)
    single = by_presence(given, partial(power_weights, q=q), empty_weight)
    if single is not None:
        return single
    counts = given.counts.astype(np.float64)
    weight = np.zeros(given.num_classes)
    largest = max(float(counts.max()), 1.0)
    np.power(counts / largest, float(q) - 1.0, out=weight, where=counts > 0)
    return instance_weights(given, weight, rule=rule, empty_weight=empty_weight)


def effective_number_weights(
    labels: Labels | ArrayLike,
    *,
    beta: float | Literal["(N-1)/N"] = "(N-1)/N",
    rule: Join = "max",
    empty_weight: float = 1.0,
) -> Floats:
    r"""Weigh rows by the inverse effective number of their class or labels (Cui et al., 2019).

    Use when rows of a class repeat one another. Prefer :func:`power_weights`: its strength does
    not depend on how large the counts are.

    .. math:: w_k = (1 - \beta) / (1 - \beta^{n_k})

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        beta: In [0, 1), or "(N-1)/N" with N the sum of all counts. It acts only where counts are
            of the order of 1 / (1 - beta).
        rule: For several labels a row: "max", "mean" or "sum"; see :func:`instance_weights`.
        empty_weight: Of rows without any label; see :func:`instance_weights`.

    Returns:
        (N,) float64 with mean 1. Warns where the weights are all but equal.

    Raises:
        UsageError: ``beta`` outside [0, 1).
        DataError: no class or label has a row.

    Example:
        >>> effective_number_weights([0, 0, 0, 1], beta=0.5).round(3).tolist()
        [0.842, 0.842, 0.842, 1.474]
    """
    given = to_labels(labels)
    single = by_presence(given, partial(effective_number_weights, beta=beta), empty_weight)
    if single is not None:
        return single
    weight = class_weights(
        given, method="effective_number", beta=beta, normalize=None, zero_counts="ignore"
    )
    return instance_weights(given, weight, rule=rule, empty_weight=empty_weight)


def progressive_weights(
    labels: Labels | ArrayLike,
    *,
    epoch: int,
    num_epochs: int,
    rule: Join = "max",
    empty_weight: float = 1.0,
) -> Floats:
    r"""Move from rows alike to classes alike while training goes on (Kang et al., 2020).

    Use when balanced draws from the start spoil the features. Prefer a second stage (balanced
    draws for the last layer alone) when it is at hand.

    .. math:: p_k(t) = (1 - t / T)\, n_k / N + (t / T) / C

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        epoch: t, 0 to ``num_epochs``.
        num_epochs: T, at least 1. Epoch 0 is untreated, epoch T balanced.
        rule: For several labels a row: "max", "mean" or "sum"; see :func:`instance_weights`.
        empty_weight: Of rows without any label, in the balanced part.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        UsageError: ``epoch`` or ``num_epochs`` out of range.

    Example:
        >>> progressive_weights([0, 0, 0, 1], epoch=1, num_epochs=2).round(3).tolist()
        [0.833, 0.833, 0.833, 1.5]
    """
    if to_integer("num_epochs", num_epochs) < 1:
        raise UsageError(say("num_epochs", "be >= 1", num_epochs))
    if not 0 <= to_number("epoch", epoch) <= num_epochs:
        raise UsageError(say("epoch", f"lie in 0 to num_epochs = {num_epochs}", epoch))
    share = epoch / num_epochs
    balanced = class_balanced_weights(labels, rule=rule, empty_weight=empty_weight)
    return np.asarray((1.0 - share) + share * balanced)


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
    present = given.entries.present
    place = present.row_codes()
    rows = 1.0 / np.bincount(place)[place]
    rows[present.per_row() == 0] *= empty
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
    present = given.entries.present
    size = present.per_row()
    rows = np.where(size == 0, to_positive("empty_weight", empty_weight, zero=True), several)
    counts = given.counts
    alone = np.flatnonzero(size == 1)
    label = present.columns[present.starts[alone]]
    single = np.bincount(label, minlength=given.num_classes)
    rest = several * (counts - single)
    rows[alone] = (counts.max() - rest[label]) / single[label]
    checked = _check_weights(rows)
    return np.asarray(checked / checked.mean())
