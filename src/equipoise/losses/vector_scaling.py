"""Vector scaling: a factor, a shift and a weight per class inside cross entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise._core.targets import IGNORE_INDEX
from equipoise.labels.losses import VectorScalingSide, to_strength
from equipoise.losses._checks import (
    Vector,
    check_classes,
    check_vector,
    pick,
    upcast,
)
from equipoise.losses._dense import dense
from equipoise.losses._passes import Reduction, reduce_rows
from equipoise.losses.base import ClassLoss

_FLOOR = 1e-30
_WHY = "Pass one share per class, e.g. `priors(counts)`."


@dense("multiclass", "row")
def vector_scaling_loss(
    logits: Tensor,
    target: Tensor,
    *,
    prior: Tensor,
    gamma: float = 0.15,
    tau: float = 1.0,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Scale and shift the logits of each class by its share of rows (Kini et al., 2021).

    Use when a network separates its training rows, where shifts and weights fade out and only
    factors keep acting. Prefer :func:`logit_adjusted_loss` before that: it has one setting less.

    .. math::
        \ell_i = -\omega_{y_i} \log \mathrm{softmax}(\Delta \odot z_i + \tau \log \pi)_{y_i},
        \qquad \Delta_k = (\pi_k / \max_j \pi_j)^\gamma

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        prior: Class shares of the training rows, (C,), floating; counts do as well. A share of 0
            is floored at 1e-30.
        gamma: Strength of the factors, >= 0; 0 is logit adjustment exactly.
        tau: Strength of the shift, >= 0; 0 leaves the factors alone.
        weight: One weight per class, (C,), >= 0, or None.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``gamma`` or ``tau`` below 0.
        ShapeError: ``prior`` or ``weight`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        The true posterior is softmax(factors * z + tau log prior) / weight, normalised; a constant
        added to all logits changes it. Decide by z itself, as the paper does, or by the posterior;
        not by softmax(z). Distributed: no communication.

    Example:
        >>> import torch
        >>> vector_scaling_loss(
        ...     torch.tensor([[0.0, 0.0]]), torch.tensor([1]), prior=torch.tensor([0.9, 0.1])
        ... )
        tensor(2.3026)

    References:
        Kini et al., Label-Imbalanced and Group-Sensitive Classification under
        Overparameterization, NeurIPS 2021, eq. 2.
    """
    target, known = check_classes(logits, target, ignore_index)
    check_vector("prior", prior, logits, _WHY)
    z = upcast(logits)
    log_p = _adjusted(z, prior, to_strength("gamma", gamma), to_strength("tau", tau))
    loss = -log_p.log_softmax(-1)
    if weight is not None:
        check_vector("weight", weight, logits, "Pass one weight per class.")
        loss = loss * weight.to(loss.dtype)
    return reduce_rows(pick(loss, target), known, reduction, dtype=logits.dtype)


@dense("multiclass", "row")
def cdt_loss(
    logits: Tensor,
    target: Tensor,
    *,
    prior: Tensor,
    gamma: float = 0.2,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Divide the logit of each class by a temperature that grows with rarity (Ye et al., 2020).

    Use when rare classes are fitted in training and missed in testing: their logits have to be
    larger to be believed. Prefer :func:`logit_adjusted_loss` as the first thing to try.

    .. math:: \ell_i = -\log \mathrm{softmax}(z_i / a)_{y_i}, \qquad
        a_k = (\max_j \pi_j / \pi_k)^\gamma

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        prior: Class shares of the training rows, (C,), floating; counts do as well.
        gamma: Strength, >= 0; 0 is cross entropy exactly.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch.

    Raises:
        UsageError: ``gamma`` < 0.
        ShapeError: ``prior`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        This is :func:`vector_scaling_loss` with tau = 0: the true posterior is softmax(z / a).

    Example:
        >>> import torch
        >>> cdt_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1]), prior=torch.tensor([0.9, 0.1]))
        tensor(0.6931)

    References:
        Ye et al., Identifying and Compensating for Feature Deviation in Imbalanced Deep Learning,
        2020, eq. 3.
    """
    return vector_scaling_loss(
        logits,
        target,
        prior=prior,
        gamma=gamma,
        tau=0.0,
        ignore_index=ignore_index,
        reduction=reduction,
    )


def _adjusted(z: Tensor, prior: Tensor, gamma: float, tau: float) -> Tensor:
    """Return the logits that softmax sees."""
    log_prior = upcast(prior).clamp_min(_FLOOR).log().to(z.dtype)
    factor = torch.exp(gamma * (log_prior - log_prior.amax()))
    return factor * z + tau * log_prior


class VectorScalingLoss(VectorScalingSide, ClassLoss):
    """Cross entropy of scaled and shifted logits. See :func:`vector_scaling_loss`.

    Args:
        prior: Class shares (or counts) of the training rows, (C,), > 0; a float32 buffer.
        gamma: Strength of the factors, >= 0.
        tau: Strength of the shift, >= 0.
        weight: One weight per class, (C,), or None; kept as a float32 buffer.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    prior: Tensor
    weight: Tensor | None

    def __init__(
        self,
        prior: Vector,
        *,
        gamma: float = 0.15,
        tau: float = 1.0,
        weight: Vector | None = None,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self._settle(prior, gamma, tau, weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`vector_scaling_loss`."""
        return vector_scaling_loss(
            logits,
            target,
            prior=self.prior,
            gamma=self.gamma,
            tau=self.tau,
            weight=self.weight,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        shape = tuple(self.prior.shape)
        settings = f"prior={shape}, gamma={self.gamma:g}, tau={self.tau:g}"
        return f"{settings}, weighted={self.weight is not None}, {super().extra_repr()}"


class CDTLoss(VectorScalingLoss):
    """Cross entropy with a temperature per class. See :func:`cdt_loss`.

    Args:
        prior: Class shares (or counts) of the training rows, (C,), > 0; a float32 buffer.
        gamma: Strength, >= 0.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    def __init__(
        self,
        prior: Vector,
        *,
        gamma: float = 0.2,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            prior,
            gamma=gamma,
            tau=0.0,
            ignore_index=ignore_index,
            class_dim=class_dim,
            reduction=reduction,
        )
