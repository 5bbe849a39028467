"""What losses are set up with, from counts: effective weights, margins, ratios, prior biases."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_positive
from equipoise._core.messages import one_of
from equipoise.artifacts.labels import Labels
from equipoise.errors import NoEffectWarning
from equipoise.labels._count_input import Counts, positives_and_known, refuse_zeros
from equipoise.labels.weights import ZeroCounts, class_weights, priors

Beta = float | Literal["(N-1)/N"]
WeightOn = Literal["positives", "label"]
_FLAT = 1.05  # as for class weights
WEIGHT_ON: tuple[WeightOn, ...] = ("positives", "label")


def effective_label_weights(
    n_positive: Counts,
    n_known: ArrayLike | None,
    weight_on: WeightOn,
    beta: Beta,
    zero_counts: ZeroCounts,
) -> Floats:
    """Return E(negatives) / E(positives) per label, or 1 / E(positives) with mean 1.

    E(n) = (1 - beta^n) / (1 - beta) is the effective number of n examples (Cui et al., CVPR 2019).
    """
    weigh = partial(class_weights, method="effective_number", beta=beta, zero_counts=zero_counts)
    if one_of("weight_on", weight_on, WEIGHT_ON) == "label":
        return weigh(n_positive, normalize="classes")
    positive, known, names = positives_and_known(n_positive, n_known)
    if zero_counts == "error":
        refuse_zeros("n_positive", positive == 0, names, "label")
        refuse_zeros("n_known - n_positive", positive == known, names, "label")
    weight = np.ones_like(positive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # one label without effect is no news
        for label, pair in enumerate(np.stack([positive, known - positive], axis=1)):
            if pair.all() or zero_counts == "smooth":
                one, zero = weigh(pair, normalize=None)
                weight[label] = one / zero
    if np.abs(np.log(weight)).max(initial=0.0) < np.log(_FLAT):
        warnings.warn(
            f"The weights on positives lie between {weight.min():.4f} and {weight.max():.4f}: they "
            "change nothing. The counts lie far above 1 / (1 - beta), or positives are half. Use a "
            "larger `beta`, or `pos_weights`.",
            NoEffectWarning,
            stacklevel=3,
        )
    return weight


def ldam_margins(
    counts: Counts, *, max_margin: float = 0.5, zero_counts: ZeroCounts = "error"
) -> Floats:
    """Return margins that go with count^(-1/4), the largest being ``max_margin``, (C,).

    A class without rows is an error; "smooth" adds one to each count; "ignore" gives it the
    largest margin. See Cao et al., NeurIPS 2019, eq. 13.
    """
    share = priors(counts, zero_counts=zero_counts)
    largest = to_positive("max_margin", max_margin, zero=True)
    known = np.where(share > 0, share, share[share > 0].min())
    return np.asarray(largest * (known.min() / known) ** 0.25)


def rebalanced_weights(
    y_true: Floats, n_positive: Floats, *, alpha: float, beta: float, mu: float
) -> Floats:
    """Return alpha + sigmoid(beta (r - mu)) of every entry; rows without positives have r = mu.

    See Wu et al., ECCV 2020, eq. 3 and 4, with r_il = n_l^-1 / sum_k y_ik n_k^-1.

    Args:
        y_true: (N, L) in [0, 1], unknown as 0.
        n_positive: (L,), a label without any counts as one with one.
        alpha: Lowest weight.
        beta: Steepness.
        mu: Ratio in the middle.
    """
    inverse = 1.0 / np.maximum(n_positive, 1.0)
    total = (y_true * inverse).sum(-1, keepdims=True)
    empty = total == 0
    ratio = np.where(empty, mu, inverse / np.where(empty, 1.0, total))
    return np.asarray(alpha + 1.0 / (1.0 + np.exp(-beta * (ratio - mu))))


def weight_ratio(y_true: Floats, known: NDArray[np.bool_], weight: Floats) -> Floats:
    """Return the mean weight of positives over that of negatives, per label; 1 where undefined."""
    one, zero = y_true * known, (1.0 - y_true) * known
    with np.errstate(divide="ignore", invalid="ignore"):
        above = (weight * one).sum(0) / one.sum(0)
        ratio = above / ((weight * zero).sum(0) / zero.sum(0))
    good = np.isfinite(ratio) & (ratio > 0)
    return np.where(good, ratio, 1.0)


def single_label_ratio(n_positive: Floats, *, alpha: float, beta: float, mu: float) -> Floats:
    """Return :func:`weight_ratio` if every row had exactly one label, drawn by the counts."""
    counts = np.maximum(n_positive, 1.0)
    # Entry (l, k): the weight of label l in a row of label k, whose ratio is n_k / n_l.
    steep = -beta * (counts / counts[:, None] - mu)
    weight = alpha + 1.0 / (1.0 + np.exp(np.minimum(steep, 700.0)))
    share = np.tile(counts, (counts.size, 1))
    np.fill_diagonal(share, 0.0)
    total = share.sum(1)
    zero = (share * weight).sum(1) / np.maximum(total, 1.0)
    return np.asarray(np.diag(weight) / np.where(total > 0, zero, alpha + 0.5))


def prior_bias(labels: Labels, *, smoothing: float = 1.0) -> Floats:
    r"""Return the outputs that predict the prior of the training rows.

    .. math:: b_l = \log \frac{n_l + a}{m_l - n_l + a} \text{ (labels)}, \qquad
        b_c = \log \frac{n_c + a}{N + C a} \text{ (classes)}

    Args:
        labels: Of the training rows alone.
        smoothing: a > 0, added to the counts of either side; keeps empty labels finite.

    Returns:
        (L,) or (C,) float64.

    Example:
        >>> labels = Labels.from_array([[1, 0], [0, 0], [0, 0]], kind="multilabel")
        >>> prior_bias(labels).round(3).tolist()
        [-0.405, -1.386]
    """
    add = to_positive("smoothing", smoothing)
    counts = np.asarray(labels.counts, dtype=np.float64) + add
    if labels.kind == "multiclass":
        return np.asarray(np.log(counts / counts.sum()))
    known = np.asarray(labels.known, dtype=np.float64) + 2.0 * add
    return np.asarray(np.log(counts / (known - counts)))
