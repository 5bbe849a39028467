"""Surrogates of metrics of a whole label: F-beta, area under the ROC curve, average precision."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise._core.messages import say
from equipoise.errors import UsageError
from equipoise.labels.losses import to_scale, to_strength
from equipoise.losses._checks import check_labels, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import Reduction, reduce_units
from equipoise.losses.base import Loss
from equipoise.losses.label_sets import split_weights


@dense("multilabel", "label", by_blocks=False)
def soft_f_beta_loss(
    logits: Tensor,
    target: Tensor,
    *,
    beta: float = 1.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Maximise F-beta with probabilities in the place of decisions, label by label.

    Use when F-beta at the threshold 0.5 is all that counts and batches are large. Prefer
    :func:`bce_loss` with tuned thresholds: it reaches the same F without losing probabilities.

    .. math::
        \ell_l = 1 - \frac{(1+\beta^2)\,TP}{(1+\beta^2)\,TP + \beta^2 FN + FP}, \quad
        TP = \sum_i y p, \; FN = \sum_i y (1-p), \; FP = \sum_i (1-y) p

    Args:
        logits: Scores before sigmoid, (..., N, L), floating.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        beta: Weight of recall, > 0.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives one value per label, (..., L); "mean" and "batchmean" divide by the
            number of labels with a positive in the batch; "sum". Others count 0.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where no label has a positive.
        Dtype and device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``beta`` is not above 0.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        Depends on the batch; distributed, each rank sees its own rows alone. Slopes vanish at
        saturated outputs. Scores rank, and probabilities need a fitted calibrator.

    Example:
        >>> import torch
        >>> soft_f_beta_loss(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]))
        tensor(0.5000)
    """
    check_labels(logits, target)
    square = to_scale("beta", beta) ** 2
    z = upcast(logits)
    one, zero = split_weights(target, z.dtype)
    p, total = z.sigmoid(), one.sum(-2)
    hit, false = (one * p).sum(-2), (zero * p).sum(-2)
    counted = total > 0
    rest = torch.where(counted, square * total + hit + false, 1.0)
    return reduce_units(1.0 - (1.0 + square) * hit / rest, counted, reduction, dtype=logits.dtype)


@dense("multilabel", "label", by_blocks=False)
def pairwise_auc_loss(
    logits: Tensor,
    target: Tensor,
    *,
    margin: float = 1.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Put every positive a margin above every negative of its label, by a squared hinge.

    Use when the ROC curve is the aim and batches hold several positives per label. Prefer
    :func:`bce_loss` first: it ranks about as well on most data and keeps probabilities.

    .. math:: \ell_l = \frac{1}{P N} \sum_{i \in pos} \sum_{j \in neg} \max(0, m - z_i + z_j)^2

    Args:
        logits: Scores, (..., N, L), floating.
        target: 0, 1 or a fraction (a weight as positive and the rest as negative), (..., N, L),
            floating or bool; NaN or < 0 is unknown.
        margin: m >= 0, on the scale of logits.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives one value per label, (..., L); "mean" and "batchmean" divide by the
            number of labels with a positive and a negative in the batch; "sum". Others count 0.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where no label has both. Dtype and
        device of ``logits``; exact over all pairs by one sort, summed in float64.

    Raises:
        UsageError: ``margin`` < 0.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        Depends on the batch; distributed, each rank sees its own rows alone. Scores rank: a
        constant added to all changes nothing, so 0 means nothing. Probabilities need a fitted
        calibrator, decisions a tuned threshold.

    Example:
        >>> import torch
        >>> pairwise_auc_loss(torch.tensor([[1.0], [0.5]]), torch.tensor([[1.0], [0.0]]))
        tensor(0.2500)

    References:
        Gao and Zhou, On the Consistency of AUC Pairwise Optimization, IJCAI 2015.
    """
    check_labels(logits, target)
    gap = to_strength("margin", margin)
    z = logits.double()
    one, zero = split_weights(target, z.dtype)
    none = torch.zeros_like(z)
    value, order = torch.cat([z - gap, z], -2).sort(-2, descending=True)
    positive = torch.cat([one, none], -2).gather(-2, order)
    negative = torch.cat([none, zero], -2).gather(-2, order)
    # In falling order the negatives so far are those a positive, lowered by the margin, has not
    # passed; it pays the square of its distance to each, which their count, sum and sum of squares
    # tell. Ties pay 0 whichever comes first. The three cancel, hence float64.
    count, first = negative.cumsum(-2), (negative * value).cumsum(-2)
    second = (negative * value * value).cumsum(-2)
    paid = positive * (second - 2.0 * value * first + value * value * count)
    pairs = one.sum(-2) * zero.sum(-2)
    counted = pairs > 0
    mean = paid.sum(-2) / torch.where(counted, pairs, 1.0)
    return reduce_units(mean, counted, reduction, dtype=logits.dtype)


def smooth_ap_loss(
    logits: Tensor,
    target: Tensor,
    *,
    temperature: float = 0.1,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Maximise average precision with a sigmoid in the place of every comparison.

    Use when average precision is the aim and batches hold several positives per label. Prefer
    :func:`pairwise_auc_loss` for large batches: this one holds (..., L, N, N) numbers.

    .. math::
        \ell_l = 1 - \frac{1}{P} \sum_{i \in pos}
        \frac{1 + \sum_{j \in pos, j \ne i} s_{ij}}{1 + \sum_{j \ne i} s_{ij}}, \quad
        s_{ij} = \sigma((z_j - z_i) / \tau)

    Args:
        logits: Scores, (..., N, L), floating.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        temperature: tau > 0; small is closer to average precision and has steeper slopes.
        class_dim: -1. Dense outputs are refused: a map of 256 x 256 has four billion pairs.
        reduction: "none" gives one value per label, (..., L); "mean" and "batchmean" divide by the
            number of labels with a positive in the batch; "sum". Others count 0.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where no label has a positive.
        Dtype and device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``temperature`` is not above 0, or ``class_dim`` is not -1.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        Depends on the batch; distributed, each rank sees its own rows alone. Scores rank: a
        constant added to all changes nothing, so 0 means nothing. Probabilities need a fitted
        calibrator, decisions a tuned threshold.

    Example:
        >>> import torch
        >>> smooth_ap_loss(torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [0.0]]))
        tensor(0.3333)

    References:
        Brown et al., Smooth-AP, ECCV 2020, eq. 6.
    """
    check_labels(logits, target)
    _refuse_dense(class_dim)
    tau = to_scale("temperature", temperature)
    z = upcast(logits).mT / tau
    one, zero = (part.mT for part in split_weights(target, z.dtype))
    above = (z.unsqueeze(-2) - z.unsqueeze(-1)).sigmoid()
    itself = torch.eye(z.shape[-1], dtype=torch.bool, device=z.device)
    above = above.masked_fill(itself, 0.0)
    hits = 1.0 + (above * one.unsqueeze(-2)).sum(-1)
    rank = 1.0 + (above * (one + zero).unsqueeze(-2)).sum(-1)
    total = one.sum(-1)
    counted = total > 0
    precision = (one * hits / rank).sum(-1) / torch.where(counted, total, 1.0)
    return reduce_units(1.0 - precision, counted, reduction, dtype=logits.dtype)


def _refuse_dense(class_dim: int) -> None:
    if class_dim != -1:
        do = "Take pairwise_auc_loss, which sorts, or soft_f_beta_loss."
        wanted = "be -1, since all pairs of pixels do not fit in memory"
        raise UsageError(say("class_dim", wanted, class_dim, do))


class SoftFBetaLoss(Loss):
    """One minus soft F-beta. See :func:`soft_f_beta_loss`.

    Args:
        beta: Weight of recall, > 0.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"
    exactness = "none"
    linear_in_target = False

    def __init__(
        self, *, beta: float = 1.0, class_dim: int = -1, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.beta = to_scale("beta", beta)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`soft_f_beta_loss`."""
        return soft_f_beta_loss(
            logits, target, beta=self.beta, class_dim=self.class_dim, reduction=self.reduction
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"beta={self.beta:g}, {super().extra_repr()}"


class PairwiseAUCLoss(Loss):
    """Squared hinge over all pairs. See :func:`pairwise_auc_loss`.

    Args:
        margin: Distance wanted between a positive and a negative, >= 0.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"
    exactness = "none"
    linear_in_target = False

    def __init__(
        self, *, margin: float = 1.0, class_dim: int = -1, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.margin = to_strength("margin", margin)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`pairwise_auc_loss`."""
        return pairwise_auc_loss(
            logits, target, margin=self.margin, class_dim=self.class_dim, reduction=self.reduction
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"margin={self.margin:g}, {super().extra_repr()}"


class SmoothAPLoss(Loss):
    """One minus smooth average precision. See :func:`smooth_ap_loss`.

    Args:
        temperature: Width of the sigmoid, > 0.
        class_dim: -1; dense outputs are refused.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"
    exactness = "none"
    linear_in_target = False

    def __init__(
        self, *, temperature: float = 0.1, class_dim: int = -1, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        _refuse_dense(class_dim)
        self.temperature = to_scale("temperature", temperature)

    def along(self, class_dim: int, ignore_index: int | None = None) -> None:
        """Refuse dense outputs."""
        _refuse_dense(class_dim)
        super().along(class_dim, ignore_index)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`smooth_ap_loss`."""
        return smooth_ap_loss(
            logits,
            target,
            temperature=self.temperature,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"temperature={self.temperature:g}, {super().extra_repr()}"
