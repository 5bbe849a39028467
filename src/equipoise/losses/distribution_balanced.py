"""Distribution-balanced loss: re-balanced weights and negative-tolerant regularisation."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from equipoise._core.checks import to_number
from equipoise.labels.losses import DistributionBalancedSide, to_scale, to_strength
from equipoise.losses._checks import (
    Vector,
    check_labels,
    check_vector,
    upcast,
)
from equipoise.losses._dense import dense
from equipoise.losses._passes import Entrywise, Reduction, Term, reduce_loss
from equipoise.losses._terms import focal_term, positive_focal
from equipoise.losses.base import Loss

_WHY = "Pass the positives of each label among the training rows, e.g. `labels.counts`."


@dense("multilabel", "entry", coupled=True)
def distribution_balanced_loss(
    logits: Tensor,
    target: Tensor,
    *,
    n_positive: Tensor,
    n_rows: float,
    alpha: float = 0.1,
    beta: float = 10.0,
    mu: float = 0.2,
    kappa: float = 0.05,
    scale: float = 2.0,
    gamma: float = 2.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Undo the over-sampling of labels that come together, spare negatives (Wu et al., 2020).

    Use when labels co-occur and the training rows were re-sampled by label. Prefer
    :func:`pos_weight_bce_loss` where rows carry about one label each.

    .. math::
        \ell = \hat r \left[ -y (1-p)^\gamma \log p
        - \tfrac{1 - y}{\lambda} p_\lambda^\gamma \log(1-p_\lambda) \right], \quad
        p = \sigma(z - v), \; p_\lambda = \sigma(\lambda (z - v))

    with :math:`v_l = \kappa \log(N / n_l - 1)`,
    :math:`\hat r = \alpha + \sigma(\beta (r - \mu))` and
    :math:`r_{il} = n_l^{-1} / \sum_k y_{ik} n_k^{-1}`.

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN is unknown, left out, and
            counts as no positive of its row.
        n_positive: Positives per label in the training set, (L,), floating, >= 0. A label without
            any is taken to have one.
        n_rows: Rows N of the training set.
        alpha: Lowest weight, >= 0.
        beta: Steepness of the weights, >= 0.
        mu: Ratio r in the middle of the weights. A row without positives, whose r is not defined,
            gets r = mu, so the weight alpha + 1/2.
        kappa: Size of the shift v, >= 0.
        scale: Lambda, > 0: how steep negatives are, and how little they weigh.
        gamma: Focusing, >= 0. With alpha 0.5, beta 0, kappa 0, scale 1 and gamma 0 the loss is BCE.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries, never by weights; "batchmean" by the number of rows with one; "sum".

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``n_positive`` is not (L,), or ``target`` does not fit ``logits``.
        UsageError: a setting out of range.

    Note:
        The weight of an entry depends on the other labels of its row, so the way back to
        probabilities is approximate.

    Example:
        >>> import torch
        >>> z, y, n = torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([50.0])
        >>> distribution_balanced_loss(z, y, n_positive=n, n_rows=100)
        tensor(0.1906)

    References:
        Wu et al., Distribution-Balanced Loss for Multi-Label Classification in Long-Tailed
        Datasets, ECCV 2020, eq. 3 to 9.
    """
    check_labels(logits, target)
    check_vector("n_positive", n_positive, logits, _WHY)
    z = upcast(logits)
    counts = n_positive.to(z.dtype)
    strengths = to_strength("alpha", alpha), to_strength("beta", beta), to_number("mu", mu)
    steep = to_scale("scale", scale, "1 leaves negatives alone.")
    loss = Entrywise(
        *_tolerant_terms(steep, to_strength("gamma", gamma)),
        row_weight=partial(_rebalanced, counts=counts, settings=strengths),
    )
    moved = z - _shift(counts, n_rows, to_strength("kappa", kappa))
    return reduce_loss(loss, moved, target, reduction, dtype=logits.dtype)


def _rebalanced(truth: Tensor, *, counts: Tensor, settings: tuple[float, float, float]) -> Tensor:
    """Return alpha + sigmoid(beta (r - mu)); rows without positives have r = mu."""
    alpha, beta, mu = settings
    inverse = 1.0 / counts.clamp_min(1.0)
    total = (truth * inverse).sum(-1, keepdim=True)
    # A row without positives has r = 0 / 0: both parts of the exponent are 0 there, as at r = mu.
    empty = total == 0
    share = (beta / total).masked_fill(empty, 0.0)
    middle = torch.full_like(total, beta * mu).masked_fill(empty, 0.0)
    steep = middle - share * inverse
    return steep.exp_().add_(1.0).reciprocal_().add_(alpha)


def _shift(counts: Tensor, n_rows: float, kappa: float) -> Tensor:
    """Return v, with at least one positive and one negative per label."""
    positive = counts.clamp(1.0, max(float(n_rows) - 1.0, 1.0))
    return kappa * torch.log((n_rows - positive).clamp_min(1.0) / positive)


def _tolerant_terms(scale: float, gamma: float) -> tuple[Term, Term]:
    def zero(z: Tensor) -> tuple[Tensor, Tensor]:
        # The chain rule's factor is the scale that the loss divides by.
        value, slope = focal_term(scale * z, gamma)
        return value * (1.0 / scale), slope

    return positive_focal(gamma), zero


class DistributionBalancedLoss(DistributionBalancedSide, Loss):
    """Distribution-balanced loss. See :func:`distribution_balanced_loss`.

    Args:
        n_positive: Positives per label in the training set, (L,), >= 0; a float32 buffer.
        n_rows: Rows of the training set.
        alpha: Lowest weight, >= 0.
        beta: Steepness of the weights, >= 0.
        mu: Ratio in the middle of the weights.
        kappa: Size of the shift by rarity, >= 0.
        scale: Lambda, > 0: how steep negatives are, and how little they weigh.
        gamma: Focusing, >= 0.
        weight_ratio: Mean weight of positives over mean weight of negatives, (L,), which the way
            back undoes; :meth:`from_targets` measures it. None takes rows to have one label each.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    linear_in_target = False  # the weight of an entry depends on the other labels of its row
    n_positive: Tensor
    weight_ratio: Tensor

    def __init__(
        self,
        n_positive: Vector,
        *,
        n_rows: float,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        kappa: float = 0.05,
        scale: float = 2.0,
        gamma: float = 2.0,
        weight_ratio: Vector | None = None,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self._settle(
            n_positive,
            n_rows,
            alpha=alpha,
            beta=beta,
            mu=mu,
            kappa=kappa,
            scale=scale,
            gamma=gamma,
            weight_ratio=weight_ratio,
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`distribution_balanced_loss`."""
        return distribution_balanced_loss(
            logits,
            target,
            n_positive=self.n_positive,
            n_rows=self.n_rows,
            alpha=self.alpha,
            beta=self.beta,
            mu=self.mu,
            kappa=self.kappa,
            scale=self.scale,
            gamma=self.gamma,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        own = f"alpha={self.alpha:g}, beta={self.beta:g}, mu={self.mu:g}, kappa={self.kappa:g}"
        return f"{own}, scale={self.scale:g}, gamma={self.gamma:g}, {super().extra_repr()}"
