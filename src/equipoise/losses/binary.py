"""Binary cross entropy over labels, masked where unknown, with or without positive weights."""

from __future__ import annotations

from torch import Tensor

from equipoise.labels.losses import BCESide, PosWeightSide
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

_BCE = Entrywise(positive_focal(0.0), negative_focal(0.0))
_WHY = "Pass one weight per label, e.g. `pos_weights(n_positive, n_known)`."


@dense("multilabel", "entry")
def bce_loss(
    logits: Tensor, target: Tensor, *, class_dim: int = -1, reduction: Reduction = "mean"
) -> Tensor:
    r"""Score independent labels by the negative log-likelihood of their known entries.

    Use as the baseline that every remedy has to beat, and for binary classification with L = 1.
    Prefer :func:`pos_weight_bce_loss` only if it ranks better on validation data: its operating
    point is had for free by a threshold.

    .. math:: \ell = -y \log p - (1 - y) \log(1 - p)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
            Integers are refused: they are class indices.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``target`` does not fit ``logits``.
        DataError: wrong dtypes.

    Note:
        Leaves probabilities as they are. Distributed: no communication; the mean is per rank.

    Example:
        >>> import torch
        >>> bce_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, float("nan")]]))
        tensor(0.6931)
    """
    check_labels(logits, target)
    z = upcast(logits)
    return reduce_loss(_BCE, z, target, reduction, dtype=logits.dtype)


@dense("multilabel", "entry")
def pos_weight_bce_loss(
    logits: Tensor,
    target: Tensor,
    *,
    pos_weight: Tensor,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Multiply the positive term of binary cross entropy by a weight per label.

    Use when positives are rare and training stalls at "always no". Prefer :func:`bce_loss` with
    tuned thresholds when only the operating point is wrong.

    .. math:: \ell = -w_l\, y \log p - (1 - y) \log(1 - p)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        pos_weight: One weight per label, (L,), floating, >= 0; 1 is BCE exactly.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries, never by weights; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``pos_weight`` is not (L,), or ``target`` does not fit ``logits``.
        DataError: wrong dtypes.

    Note:
        The output 0.5 stands for the true probability 1 / (1 + w); the true log-odds are
        z - log w. Distributed: no communication; the mean is per rank.

    Example:
        >>> import torch
        >>> pos_weight_bce_loss(
        ...     torch.tensor([[0.0]]), torch.tensor([[1.0]]), pos_weight=torch.tensor([9.0])
        ... )
        tensor(6.2383)
    """
    check_labels(logits, target)
    check_vector("pos_weight", pos_weight, logits, _WHY)
    z = upcast(logits)
    one = pos_weight.to(z.dtype)
    return reduce_loss(_BCE, z, target, reduction, dtype=logits.dtype, one_weight=one)


class BCELoss(BCESide, Loss):
    """Masked binary cross entropy of independent labels. See :func:`bce_loss`.

    Args:
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`bce_loss`."""
        return bce_loss(logits, target, class_dim=self.class_dim, reduction=self.reduction)


class PosWeightBCELoss(PosWeightSide, Loss):
    """Binary cross entropy with a weight on positives. See :func:`pos_weight_bce_loss`.

    Args:
        pos_weight: One weight per label, (L,), >= 0; kept as a float32 buffer.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    pos_weight: Tensor

    def __init__(
        self, pos_weight: Vector, *, class_dim: int = -1, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self._settle(pos_weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`pos_weight_bce_loss`."""
        return pos_weight_bce_loss(
            logits,
            target,
            pos_weight=self.pos_weight,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"pos_weight={tuple(self.pos_weight.shape)}, {super().extra_repr()}"
