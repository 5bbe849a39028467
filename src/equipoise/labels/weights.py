"""Counts to weights and priors: the one place where these formulas stand (NumPy only)."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_number, to_positive
from equipoise._core.messages import one_of, say
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.labels._count_input import Counts, positives_and_known, read_counts, refuse_zeros

WeightMethod = Literal["inverse", "power", "effective_number"]
Normalize = Literal["samples", "classes"]
ZeroCounts = Literal["error", "ignore", "smooth"]
METHODS: tuple[WeightMethod, ...] = ("inverse", "power", "effective_number")
ZERO_COUNTS: tuple[ZeroCounts, ...] = ("error", "ignore", "smooth")
_FLAT = 1.05


def _one_minus_beta(beta: float | str, total: float) -> float:
    if isinstance(beta, str):
        if beta != "(N-1)/N":
            raise UsageError(say("beta", "be a number in [0, 1) or '(N-1)/N'", repr(beta)))
        return 1.0 / total
    if not 0.0 <= to_number("beta", beta) < 1.0:
        raise UsageError(say("beta", "lie in [0, 1)", beta, "Start with 0.999."))
    return 1.0 - beta


def _raw_weights(
    counts: Floats, total: float, method: WeightMethod, power: float, beta: float | str
) -> Floats:
    if method == "effective_number":
        rest = _one_minus_beta(beta, total)
        log_beta = np.log1p(-rest) if rest < 1.0 else -np.inf
        return np.asarray(rest / -np.expm1(counts * log_beta))
    exponent = 1.0 if method == "inverse" else float(power)
    return np.asarray((total / counts) ** exponent)


def class_weights(
    counts: Counts,
    *,
    method: WeightMethod = "inverse",
    power: float = 0.5,
    beta: float | Literal["(N-1)/N"] = 0.999,
    normalize: Normalize | None = "samples",
    zero_counts: ZeroCounts = "error",
) -> Floats:
    r"""Turn class counts into one weight per class.

    Use when a loss or a sampler asks for per-class weights. Prefer logit adjustment when the aim
    is balanced accuracy of single-label classes: weights stop mattering once the training set is
    separated.

    .. math::
        w_k = N / n_k, \quad w_k = (N / n_k)^{power}, \quad
        w_k = (1 - \beta) / (1 - \beta^{n_k})

    Args:
        counts: Rows per class, or positives per label, (C,), >= 0: an array, a mapping name ->
            count, a pandas or polars Series or one-row frame, or :class:`Labels`.
        method: "inverse" (N over the count, with N the sum of all counts), "power" or
            "effective_number".
        power: Exponent of "power"; 0.5 is the square root, 1 is "inverse".
        beta: Of "effective_number", in [0, 1), or "(N-1)/N". It has an effect only where counts
            are of the order of 1 / (1 - beta).
        normalize: "samples": the mean over rows is 1, so the expected loss keeps its scale (for
            "inverse" this is scikit-learn's "balanced"); "classes": the mean over classes is 1;
            None: as the formula says.
        zero_counts: "error" names the class; "ignore" gives it weight 0 and leaves it out of the
            normalisation; "smooth" adds one to each count.

    Returns:
        (C,) float64, finite.

    Raises:
        DataError: negative, infinite or zero counts.
        UsageError: an unknown method, or ``beta`` outside [0, 1).

    Note:
        Weights bend the probabilities a model learns: the true posterior is proportional to
        p / w. A ``NoEffectWarning`` is issued where the largest weight is within 5 % of the
        smallest.

    Example:
        >>> class_weights([19000, 65000, 38000, 105000], normalize=None).round(2).tolist()
        [11.95, 3.49, 5.97, 2.16]
        >>> class_weights({"cat": 90, "dog": 10}).round(3).tolist()
        [0.556, 5.0]

    References:
        Effective number: Cui et al., Class-Balanced Loss, CVPR 2019, proposition 1.
    """
    one_of("method", method, METHODS)
    one_of("zero_counts", zero_counts, ZERO_COUNTS)
    values, names = read_counts("counts", counts)
    zero = values == 0
    if zero.all():
        raise DataError(say("counts", "hold at least one row", "only zeros"))
    if zero_counts == "error":
        refuse_zeros("counts", zero, names, "class")
    used = values + 1.0 if zero_counts == "smooth" else values
    kept = used > 0
    weight = np.zeros_like(used)
    weight[kept] = _raw_weights(
        used[kept], float(used.sum()), method, to_positive("power", power, zero=True), beta
    )
    if normalize == "samples":
        weight *= values.sum() / (weight * values).sum()
    elif normalize == "classes":
        weight /= weight[kept].mean()
    elif normalize is not None:
        one_of("normalize", normalize, ("samples", "classes"))
    _warn_if_flat(weight[kept], used[kept], method)
    return weight


def moderate_beta(counts: ArrayLike) -> float | None:
    """Return the ``beta`` whose weights differ by the square root of what the counts differ by.

    Effective numbers lie between no weights and inverse frequency; which ``beta`` lies between
    depends on the counts alone.

    Args:
        counts: (C,), > 0.

    Returns:
        ``beta``, or None where the counts are too alike for it to matter.

    Example:
        >>> beta = moderate_beta([9000, 7000, 600])
        >>> round(beta, 5)
        0.99951
        >>> class_weights([9000, 7000, 600], method="effective_number", beta=beta).round(2).tolist()
        [0.9, 0.92, 3.48]
    """
    least, most = float(np.min(counts)), float(np.max(counts))
    wanted = np.sqrt(most / least)
    if not wanted >= _FLAT:
        return None

    def beyond(log_rest: float) -> float:
        # expm1 and log1p: 1 - beta may be 1e-9.
        log_beta = np.log1p(-np.exp(log_rest))
        return float(np.expm1(most * log_beta) / np.expm1(least * log_beta) - wanted)

    # With 1 - beta = 1 / most nothing is saturated; with 10 / least everything is, nearly.
    low, high = np.log(1e-3 / most), np.log(min(0.999999, 10.0 / least))
    if beyond(high) > 0:
        return None
    return float(-np.expm1(brentq(beyond, low, high, xtol=1e-6)))


def _warn_if_flat(weight: Floats, counts: Floats, method: str) -> None:
    ratio = float(weight.max() / weight.min())
    if ratio < _FLAT:
        beta = moderate_beta(counts) if method == "effective_number" else None
        advice = "" if beta is None else f" Use a larger `beta`, for example {beta:.6g}."
        warnings.warn(
            f"The largest class weight is only {ratio:.3f} times the smallest: "
            f"these weights change nothing.{advice}",
            NoEffectWarning,
            stacklevel=3,
        )


def pos_weights(
    n_positive: Counts,
    n_known: ArrayLike | None = None,
    *,
    power: float = 1.0,
    cap: float | None = None,
    zero_counts: ZeroCounts = "error",
) -> Floats:
    r"""Weight the positives of each label by negatives over positives.

    Use when a binary or multi-label loss asks for ``pos_weight``. Prefer a threshold tuned on
    validation data when only the operating point is wrong: ranking rarely improves.

    .. math:: w_l = \min(cap, (neg_l / pos_l)^{power})

    Args:
        n_positive: Positives per label, (L,), or :class:`Labels` (``n_known`` is then not needed).
        n_known: Known rows, one number or (L,).
        power: 1 equalises positives and negatives; 0.5 is milder; 0 gives 1.
        cap: Upper bound on the weight, or None. Three positives in 6,790 rows weigh 2,262.
        zero_counts: For labels without positives or without negatives: "error" names them,
            "ignore" gives weight 1, "smooth" adds one to both counts of every label.

    Returns:
        (L,) float64, finite and above 0.

    Raises:
        DataError: more positives than known rows, or zero counts.

    Note:
        With weight w the output 0.5 stands for the true probability 1 / (1 + w).

    Example:
        >>> pos_weights([10, 50], 100).tolist()
        [9.0, 1.0]
        >>> pos_weights([10, 50], 100, power=0.5, cap=2.0).tolist()
        [2.0, 1.0]
    """
    one_of("zero_counts", zero_counts, ZERO_COUNTS)
    positive, known, names = positives_and_known(n_positive, n_known)
    negative = known - positive
    if zero_counts == "error":
        refuse_zeros("n_positive", positive == 0, names, "label")
        refuse_zeros("n_known - n_positive", negative == 0, names, "label")
    if zero_counts == "smooth":
        positive, negative = positive + 1.0, negative + 1.0
    weight = np.ones_like(positive)
    kept = (positive > 0) & (negative > 0)
    exponent = to_positive("power", power, zero=True)
    weight[kept] = (negative[kept] / positive[kept]) ** exponent
    return weight if cap is None else np.minimum(weight, to_positive("cap", cap))


def priors(counts: Counts, *, zero_counts: ZeroCounts = "error", smoothing: float = 0.0) -> Floats:
    """Turn class counts into class shares that sum to 1.

    Args:
        counts: Rows per class, (C,), as for :func:`class_weights`.
        zero_counts: "error" names the class; "ignore" leaves its share at 0; "smooth" adds one to
            each count.
        smoothing: Added to each count, >= 0, beside what ``zero_counts`` adds.

    Returns:
        (C,) float64, sums to 1.

    Raises:
        DataError: zero counts (unless allowed) or nothing counted.

    Example:
        >>> priors([30, 10]).tolist()
        [0.75, 0.25]
        >>> priors([3, 0], zero_counts="smooth").tolist()
        [0.8, 0.2]
    """
    one_of("zero_counts", zero_counts, ZERO_COUNTS)
    values, names = read_counts("counts", counts)
    values = values + to_positive("smoothing", smoothing, zero=True)
    if zero_counts == "smooth":
        values = values + 1.0
    if not values.any():
        raise DataError(say("counts", "hold at least one row", "only zeros"))
    if zero_counts == "error":
        refuse_zeros("counts", values == 0, names, "class")
    return np.asarray(values / values.sum())


def label_frequencies(n_positive: Counts, n_known: ArrayLike | None = None) -> Floats:
    """Return the share of positives among the known rows of each label.

    Args:
        n_positive: Positives per label, (L,), or :class:`Labels` (``n_known`` is then not needed).
        n_known: Known rows, one number or (L,).

    Returns:
        (L,) float64 in [0, 1]; NaN where nothing is known.

    Raises:
        DataError: more positives than known rows.

    Example:
        >>> label_frequencies([19000, 105000], 224000).round(3).tolist()
        [0.085, 0.469]
    """
    positive, known, _ = positives_and_known(n_positive, n_known)
    share = np.full(positive.shape, np.nan)
    np.divide(positive, known, out=share, where=known > 0)
    return share
