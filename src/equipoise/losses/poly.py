"""Poly-1 and its kin: losses with the leading terms of their expansion turned up or down."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_number
from equipoise._core.logistic import expit
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.errors import UsageError
from equipoise.labels.losses import Steps, to_margin, to_strength
from equipoise.losses._checks import check_classes, check_labels, pick, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import Entrywise, Reduction, Term, reduce_loss, reduce_rows, rowwise
from equipoise.losses._terms import power, tails
from equipoise.losses.asymmetric import negative_margin
from equipoise.losses.base import ClassLoss, Loss


@dense("multiclass", "row")
def poly1_cross_entropy_loss(
    logits: Tensor,
    target: Tensor,
    *,
    epsilon: float = 1.0,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Change the first term of the expansion of cross entropy in 1 - p (Leng et al., 2022).

    Use when plain cross entropy under-fits and one number is to be tuned. Prefer
    :func:`logit_adjusted_loss` against imbalance: this loss treats all classes alike.

    .. math:: \ell_i = -\log p_{i,y_i} + \epsilon (1 - p_{i,y_i})

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        epsilon: Weight of the added term, > -1; 0 is cross entropy exactly.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``epsilon`` is not above -1: right answers would be pushed away.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        With epsilon > 0 probabilities are too sure: the gradient is (1 + e p)(p - e_y), so the
        true posterior is proportional to p / (1 + e p). Distributed: no communication.

    Example:
        >>> import torch
        >>> poly1_cross_entropy_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), epsilon=1.0)
        tensor(0.2461)

    References:
        Leng et al., PolyLoss, ICLR 2022, section 3.
    """
    target, known = check_classes(logits, target, ignore_index)
    strength = _to_epsilon(epsilon)
    z = upcast(logits)
    if target.is_floating_point():
        log_p = z.log_softmax(-1)
        loss = pick(-log_p - strength * torch.expm1(log_p), target)
    else:
        loss = rowwise(partial(_rule, epsilon=strength), z, target)
    return reduce_rows(loss, known, reduction, dtype=logits.dtype)


def _rule(log_p: Tensor, log_q: Tensor, *, epsilon: float) -> tuple[Tensor, Tensor]:
    # By the gap g, with p = sigmoid(-g): d/dg (-log p + e q) = q (1 + e p).
    q = log_q.exp()
    return epsilon * q - log_p, q * (1.0 + epsilon * log_p.exp())


def _to_epsilon(value: float) -> float:
    number = to_number("epsilon", value)
    if not -1.0 < number < math.inf:
        raise UsageError(say("epsilon", "be finite and > -1", value, "0 is the plain loss."))
    return number


class Poly1CrossEntropyLoss(ClassLoss):
    """Cross entropy plus epsilon (1 - p). See :func:`poly1_cross_entropy_loss`.

    Args:
        epsilon: Weight of the added term, > -1.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    def __init__(
        self,
        *,
        epsilon: float = 1.0,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self.epsilon = _to_epsilon(epsilon)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`poly1_cross_entropy_loss`."""
        return poly1_cross_entropy_loss(
            logits,
            target,
            epsilon=self.epsilon,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def _ops(self) -> Steps:
        return [{"op": "poly", "epsilon": self.epsilon}] if self.epsilon else []

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"epsilon={self.epsilon:g}, {super().extra_repr()}"


@dense("multilabel", "entry")
def asymmetric_polynomial_loss(
    logits: Tensor,
    target: Tensor,
    *,
    first: float = 1.0,
    second: float = -1.25,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    detach_focus: bool = False,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Re-weight the first terms of -log p in the asymmetric loss (Huang et al., 2023).

    Use when the asymmetric loss drives positives too hard towards 1. Prefer
    :func:`asymmetric_loss` when it does not: this one has two settings more.

    .. math::
        \ell = -y\, q^{\gamma_+} (\log p + \epsilon_1 q + \epsilon_2 q^2)
        - (1-y)\, p_m^{\gamma_-} \log(1-p_m), \quad q = 1-p, \; p_m = \max(p - m, 0)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        first: Coefficient of 1 - p, at most 1; 0 with ``second`` 0 is the asymmetric loss.
        second: Coefficient of (1 - p)^2, at most 0.
        gamma_positive: Focusing of positives, >= 0.
        gamma_negative: Focusing of negatives, >= 0.
        margin: Negatives with p below it have neither loss nor gradient; in [0, 1).
        detach_focus: Whether the focusing weights are constants for the gradient.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "batchmean" by the number of rows with one; "sum". All keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``first`` above 1 or ``second`` above 0, for which a positive could be pushed
            down; a negative gamma; ``margin`` outside [0, 1).
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        The inverse comes from the slopes.

    Example:
        >>> import torch
        >>> asymmetric_polynomial_loss(torch.tensor([[0.0]]), torch.tensor([[1.0]]))
        tensor(0.5056)

    References:
        Huang et al., Asymmetric Polynomial Loss For Multi-Label Classification, ICASSP 2023.
    """
    check_labels(logits, target)
    z = upcast(logits)
    focus = to_strength("gamma_positive", gamma_positive)
    negative = negative_margin(
        to_strength("gamma_negative", gamma_negative), to_margin(margin), detach=detach_focus
    )
    positive = _series_term(_series(first, second), focus, detach=detach_focus)
    return reduce_loss(Entrywise(positive, negative), z, target, reduction, dtype=logits.dtype)


def _series(first: float, second: float) -> tuple[float, float]:
    a, b = to_number("first", first), to_number("second", second)
    if not -math.inf < a <= 1.0:
        raise UsageError(say("first", "be finite and <= 1", first))
    if not -math.inf < b <= 0.0:
        raise UsageError(say("second", "be finite and <= 0", second))
    return a, b


def _series_term(series: tuple[float, float], gamma: float, *, detach: bool) -> Term:
    first, second = series

    def term(z: Tensor) -> tuple[Tensor, Tensor]:
        q, p, minus_log = tails(z, mirrored=True)
        value = minus_log - q * (first + second * q)
        # 1 - first p - 2 second p q, with 1 - p = q, so that nothing cancels at first = 1.
        slope = -q * ((1.0 - first) + q * (first - 2.0 * second * p))
        if gamma == 0.0:
            return value, slope
        weight = power(q, gamma)
        if not detach:
            slope = slope - gamma * (p * value)
        return weight * value, weight * slope

    return term


@dense("multilabel", "entry")
def poly1_bce_loss(
    logits: Tensor,
    target: Tensor,
    *,
    epsilon: float = 2.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Add a multiple of the probability missed to binary cross entropy (Leng et al., 2022).

    Use as a mild variant of BCE. Prefer :func:`bce_loss` unless validation data say otherwise.

    .. math:: \ell = y (-\log p + \epsilon (1-p)) + (1-y) (-\log(1-p) + \epsilon\, p)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        epsilon: Coefficient of the first term, > -1; 0 is BCE exactly.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "batchmean" by the number of rows with one; "sum". All keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``epsilon`` <= -1, for which positives would be pushed down.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        Makes probabilities too bold for ``epsilon`` > 0; the output 0.5 still means 0.5. No
        second derivatives.

    Example:
        >>> import torch
        >>> poly1_bce_loss(torch.tensor([[0.0]]), torch.tensor([[1.0]]), epsilon=2.0)
        tensor(1.6931)

    References:
        Leng et al., PolyLoss, ICLR 2022, eq. 4.
    """
    check_labels(logits, target)
    z = upcast(logits)
    extra = _to_epsilon(epsilon)

    loss = Entrywise(
        lambda z: _poly1_term(z, extra, positive=True),
        lambda z: _poly1_term(z, extra, positive=False),
    )
    return reduce_loss(loss, z, target, reduction, dtype=logits.dtype)


def _poly1_term(z: Tensor, epsilon: float, *, positive: bool) -> tuple[Tensor, Tensor]:
    s, c, value = tails(z, mirrored=positive)
    slope = s + epsilon * (s * c)
    return value + epsilon * s, -slope if positive else slope


class AsymmetricPolynomialLoss(Loss):
    """Asymmetric polynomial loss. See :func:`asymmetric_polynomial_loss`.

    Args:
        first: Coefficient of 1 - p in the loss of positives, at most 1.
        second: Coefficient of (1 - p)^2, at most 0.
        gamma_positive: Focusing of positives, >= 0.
        gamma_negative: Focusing of negatives, >= 0.
        margin: Negatives below it are left alone; in [0, 1).
        detach_focus: Whether the focusing weights are constants for the gradient.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"

    def __init__(
        self,
        *,
        first: float = 1.0,
        second: float = -1.25,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
        detach_focus: bool = False,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.first, self.second = _series(first, second)
        self.gamma_positive = to_strength("gamma_positive", gamma_positive)
        self.gamma_negative = to_strength("gamma_negative", gamma_negative)
        self.margin = to_margin(margin)
        self.detach_focus = bool(detach_focus)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`asymmetric_polynomial_loss`."""
        return asymmetric_polynomial_loss(
            logits,
            target,
            first=self.first,
            second=self.second,
            gamma_positive=self.gamma_positive,
            gamma_negative=self.gamma_negative,
            margin=self.margin,
            detach_focus=self.detach_focus,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        gammas = f"{self.gamma_positive:g}, {self.gamma_negative:g}, margin={self.margin:g}"
        own = f"{self.first:g}, {self.second:g}, gammas={gammas}, detach={self.detach_focus}"
        return f"{own}, {super().extra_repr()}"


class Poly1BCELoss(Loss):
    """Binary cross entropy with a first polynomial term. See :func:`poly1_bce_loss`.

    Args:
        epsilon: Coefficient of the probability missed, > -1.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"

    def __init__(
        self, *, epsilon: float = 2.0, class_dim: int = -1, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.epsilon = _to_epsilon(epsilon)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`poly1_bce_loss`."""
        return poly1_bce_loss(
            logits, target, epsilon=self.epsilon, class_dim=self.class_dim, reduction=self.reduction
        )

    def _log_odds(self, z: Floats) -> Floats:
        # l1' = -q (1 + e p) and l0' = p (1 + e q).
        e = self.epsilon
        return np.asarray(z + np.log1p(e * expit(-z)) - np.log1p(e * expit(z)))

    def _ops(self) -> Steps | None:
        return [] if self.epsilon == 0 else None

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"epsilon={self.epsilon:g}, {super().extra_repr()}"
