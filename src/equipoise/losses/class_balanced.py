"""Class-balanced losses of labels: weights from effective numbers of examples."""

from __future__ import annotations

from torch import Tensor

from equipoise._core.messages import one_of
from equipoise.labels.loss_settings import WEIGHT_ON, WeightOn
from equipoise.labels.losses import ClassBalancedSide, to_strength
from equipoise.losses._checks import (
    Vector,
    check_labels,
    check_vector,
    upcast,
)
from equipoise.losses._dense import dense
from equipoise.losses._passes import Entrywise, Reduction, reduce_loss
from equipoise.losses._terms import negative_focal, positive_focal
from equipoise.losses.base import Loss

_WHY = "Pass one weight per label, e.g. `ClassBalancedBCELoss.from_label_counts(...)`."


@dense("multilabel", "entry")
def class_balanced_bce_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    weight_on: WeightOn,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weigh binary cross entropy by the effective number of examples (Cui et al., 2019).

    Use when counts differ by orders of magnitude and near-duplicates make frequent labels less
    informative than they count. Prefer :func:`pos_weight_bce_loss` for the plain ratio.

    .. math:: \ell = -a_l\, y \log p - b_l (1 - y) \log(1 - p)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        weight: One weight per label, (L,), floating, >= 0; a setting, no gradient flows to it.
        weight_on: "positives": a = weight, b = 1, which moves the operating point. "label":
            a = b = weight, which only sets the share of a label in the whole and its learning
            rate, never its operating point.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries, never by weights; "batchmean" by the number of rows with one; "sum".

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``weight`` is not (L,), or ``target`` does not fit ``logits``.
        UsageError: an unknown ``weight_on``.

    Note:
        On positives the output 0.5 means 1 / (1 + w); on the label it means 0.5.

    Example:
        >>> import torch
        >>> z, y, w = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([3.0, 3.0])
        >>> class_balanced_bce_loss(z, y, weight=w, weight_on="positives", reduction="none")
        tensor([[2.0794, 0.6931]])
        >>> class_balanced_bce_loss(z, y, weight=w, weight_on="label", reduction="none")
        tensor([[2.0794, 2.0794]])

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, eq. 4.
    """
    return class_balanced_focal_loss(
        logits, target, weight=weight, weight_on=weight_on, gamma=0.0, reduction=reduction
    )


@dense("multilabel", "entry")
def class_balanced_focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    weight: Tensor,
    weight_on: WeightOn,
    gamma: float = 2.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weigh the sigmoid focal loss by the effective number of examples (Cui et al., 2019).

    Use when class-balanced weights help and easy entries still drown the rest. Prefer
    :func:`class_balanced_bce_loss` first: it has one setting less.

    .. math:: \ell = -a_l\, y (1-p)^\gamma \log p - b_l (1-y)\, p^\gamma \log(1-p)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        weight: One weight per label, (L,), floating, >= 0; a setting, no gradient flows to it.
        weight_on: "positives" (a = weight, b = 1) or "label" (a = b = weight); see
            :func:`class_balanced_bce_loss`.
        gamma: Focusing strength, >= 0; 0 is class-balanced BCE.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries, never by weights; "batchmean" by the number of rows with one; "sum".

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``weight`` is not (L,), or ``target`` does not fit ``logits``.
        UsageError: an unknown ``weight_on``, or ``gamma`` < 0.

    Note:
        On positives the output 0.5 means 1 / (1 + w).

    Example:
        >>> import torch
        >>> z, y, w = torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([3.0])
        >>> class_balanced_focal_loss(z, y, weight=w, weight_on="positives")
        tensor(0.5199)

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, eq. 12.
    """
    check_labels(logits, target)
    check_vector("weight", weight, logits, _WHY)
    z = upcast(logits)
    one = weight.to(z.dtype)
    zero = None if one_of("weight_on", weight_on, WEIGHT_ON) == "positives" else one
    exponent = to_strength("gamma", gamma)
    loss = Entrywise(positive_focal(exponent), negative_focal(exponent))
    return reduce_loss(
        loss, z, target, reduction, dtype=logits.dtype, one_weight=one, zero_weight=zero
    )


class ClassBalancedBCELoss(ClassBalancedSide, Loss):
    """Class-balanced binary cross entropy. See :func:`class_balanced_bce_loss`.

    Args:
        weight: One weight per label, (L,), >= 0; kept as a float32 buffer.
        weight_on: "positives" or "label".
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    weight: Tensor

    def __init__(
        self,
        weight: Vector,
        *,
        weight_on: WeightOn,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self._settle(weight, weight_on, 0.0)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`class_balanced_bce_loss`."""
        return class_balanced_focal_loss(
            logits,
            target,
            weight=self.weight,
            weight_on=self.weight_on,
            gamma=self.gamma,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        own = f"weight={tuple(self.weight.shape)}, weight_on={self.weight_on!r}"
        return f"{own}, gamma={self.gamma:g}, {super().extra_repr()}"


class ClassBalancedFocalLoss(ClassBalancedBCELoss):
    """Class-balanced sigmoid focal loss. See :func:`class_balanced_focal_loss`.

    Args:
        weight: One weight per label, (L,), >= 0; kept as a float32 buffer.
        weight_on: "positives" or "label".
        gamma: Focusing strength, >= 0.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    def __init__(
        self,
        weight: Vector,
        *,
        weight_on: WeightOn,
        gamma: float = 2.0,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, weight_on=weight_on, class_dim=class_dim, reduction=reduction)
        self.gamma = to_strength("gamma", gamma)
