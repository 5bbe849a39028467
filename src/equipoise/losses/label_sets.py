"""Losses that rank the labels of a row: its positives above its negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from equipoise._core.checks import to_number
from equipoise._core.messages import one_of, say
from equipoise.errors import UsageError
from equipoise.losses._checks import check_labels, split_known, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import REDUCTIONS, Reduction, reduce_units
from equipoise.losses.base import Loss

_EMPTY = -1e30


def split_weights(target: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the weight of every entry as a positive and as a negative; both 0 where unknown."""
    truth, known = split_known(target, dtype)
    rest = 1.0 - truth
    return truth, rest if known is None else torch.where(known, rest, 0.0)


@dense("multilabel", "row", by_blocks=False)
def zlpr_loss(
    logits: Tensor, target: Tensor, *, class_dim: int = -1, reduction: Reduction = "mean"
) -> Tensor:
    r"""Rank the positives of a row above zero and its negatives below (Su et al., 2022).

    Use when rows carry few of many labels and a set per row is wanted. Prefer :func:`bce_loss`
    where probabilities matter.

    .. math::
        \ell_i = \log\Big(1 + \sum_l (1 - y_{il}) e^{z_{il}}\Big)
        + \log\Big(1 + \sum_l y_{il} e^{-z_{il}}\Big)

    Args:
        logits: Scores, (..., N, L), floating. A label is predicted where its score is above 0.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives one value per row, (..., N), 0 where nothing is known; "mean" and
            "batchmean" divide by the number of rows with a known entry; "sum".

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        For one label this is BCE. For more, labels of a row depend on one another: scores rank,
        and probabilities need a fitted calibrator.

    Example:
        >>> import torch
        >>> zlpr_loss(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor(1.7918)

    References:
        Su et al., ZLPR: A Novel Loss for Multi-label Classification, arXiv 2208.02955.
    """
    check_labels(logits, target)
    z = upcast(logits)
    one, zero = split_weights(target, z.dtype)
    start = torch.zeros_like(z[..., :1])
    below = torch.cat([start, z + zero.log()], -1).logsumexp(-1)
    above = torch.cat([start, one.log() - z], -1).logsumexp(-1)
    counted = (one + zero > 0).any(-1)
    return reduce_units(below + above, counted, reduction, dtype=logits.dtype)


@dense("multilabel", "batch", by_blocks=False)
def two_way_loss(
    logits: Tensor,
    target: Tensor,
    *,
    temperature_positive: float = 4.0,
    temperature_negative: float = 1.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Rank positives above negatives within rows and within labels (Kobayashi, 2023).

    Use when both the order of labels in a row and of rows under a label matter. Prefer
    :func:`bce_loss` for small batches: a label without positives in the batch learns nothing.

    .. math::
        \ell = \operatorname{softplus}\Big(T_- \log \sum_{neg} e^{z / T_-}
        + T_+ \log \sum_{pos} e^{-z / T_+}\Big)

    for every row over its labels and for every label over the rows, their two means added.

    Args:
        logits: Scores, (..., N, L), floating.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        temperature_positive: T+ > 0.
        temperature_negative: T- > 0.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "mean" and "batchmean" add the mean over rows and the mean over labels, each
            over those with a positive and a negative; "sum" adds the sums. "none" is refused: the
            loss has no smaller unit than the batch.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where no row and no label has both.
        Dtype and device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: reduction "none", or a temperature that is not above 0.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        Depends on the batch; distributed, each rank sees its own rows alone. Scores rank: a
        constant added to all changes nothing, so 0 means nothing. Probabilities need a fitted
        calibrator, decisions a tuned threshold.

    Example:
        >>> import torch
        >>> two_way_loss(torch.zeros(2, 2), torch.eye(2))
        tensor(1.3863)

    References:
        Kobayashi, Two-Way Multi-Label Loss, CVPR 2023, eq. 7 to 9.
    """
    check_labels(logits, target)
    one_of("reduction", reduction, REDUCTIONS[1:])
    z = upcast(logits)
    one, zero = split_weights(target, z.dtype)
    warm, cold = _temperature(temperature_positive), _temperature(temperature_negative)
    pulls = (cold, z / cold + _log(zero)), (warm, _log(one) - z / warm)
    total = torch.zeros_like(z.sum((-2, -1)))
    for axis in (-1, -2):
        (t0, negative), (t1, positive) = pulls
        value = softplus(t0 * negative.logsumexp(axis) + t1 * positive.logsumexp(axis))
        counted = (one > 0).any(axis) & (zero > 0).any(axis)
        total = total + reduce_units(value, counted, reduction, dtype=z.dtype)
    return total.to(logits.dtype)


def _log(weight: Tensor) -> Tensor:
    """Return the logarithm, finite for 0, so that an empty sum keeps a gradient of 0."""
    return torch.where(weight > 0, weight.log(), _EMPTY)


def _temperature(value: float) -> float:
    number = to_number("temperature", value)
    if not number > 0.0:
        raise UsageError(say("temperature", "be > 0", value, "The published pair is 4 and 1."))
    return number


class ZLPRLoss(Loss):
    """Zero-bounded log-sum-exp and pairwise rank loss. See :func:`zlpr_loss`.

    Args:
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"
    exactness = "none"
    linear_in_target = False

    def _divisor(self, target: Tensor) -> Tensor:
        """Return how many rows have a known entry."""
        if self.reduction == "sum":
            return super()._divisor(target)
        return (target >= 0).any(1).sum()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`zlpr_loss`."""
        return zlpr_loss(logits, target, class_dim=self.class_dim, reduction=self.reduction)


class TwoWayLoss(Loss):
    """Two-way multi-label loss. See :func:`two_way_loss`.

    Args:
        temperature_positive: T+ > 0.
        temperature_negative: T- > 0.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "mean", "sum" or "batchmean".
    """

    kind = "multilabel"
    exactness = "none"
    linear_in_target = False

    def __init__(
        self,
        *,
        temperature_positive: float = 4.0,
        temperature_negative: float = 1.0,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            class_dim=class_dim, reduction=one_of("reduction", reduction, REDUCTIONS[1:])
        )
        self.temperature_positive = _temperature(temperature_positive)
        self.temperature_negative = _temperature(temperature_negative)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`two_way_loss`."""
        return two_way_loss(
            logits,
            target,
            temperature_positive=self.temperature_positive,
            temperature_negative=self.temperature_negative,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        own = f"{self.temperature_positive:g}, {self.temperature_negative:g}"
        return f"{own}, {super().extra_repr()}"
