"""Hard negatives within the batch: any loss, over all positives and some of the negatives."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from equipoise._core.words import say
from equipoise.artifacts.labels import Kind
from equipoise.errors import UsageError
from equipoise.losses._online import LossFunction, OnlineLoss, make_rule, mean_of_kept
from equipoise.losses._reduction import Reduction
from equipoise.losses._selection import Band, Per, middle, per_positive


def negative_ratio_loss(
    logits: Tensor,
    target: Tensor,
    *,
    loss: LossFunction,
    ratio: float = 3.0,
    min_negatives: int = 1,
    per: Per = "batch",
    background: int = 0,
    gather: bool = False,
    kind: Kind | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Keep all positives and a multiple of them in negatives, the hardest (SSD, 2016).

    Use when negatives outnumber positives by far and most are easy. Prefer a loss with an inverse,
    such as :class:`PosWeightBCELoss`, where probabilities matter.

    .. math:: n_- = \min(N_-, \max(\lceil r P \rceil, n_{min}))

    Args:
        logits: As in :func:`ohem_loss`, and so are ``target`` (an entry of 0.5 and above is a
            positive), ``loss``, ``gather``, ``kind`` and ``reduction``.
        ratio: r, negatives for each positive, finite and >= 0.
        min_negatives: Negatives kept at least, and where there is no positive: 0 lets a group
            without positives count for nothing.
        per: What is counted and ranked together: the "batch", or for labels an "image" (a row) or
            a "label". For the candidates of an image, as SSD has it, stack images in a leading
            axis, (B, N, C): each slice is ranked by itself.
        background: For classes: the class whose rows are the negatives.

    Returns:
        As :func:`ohem_loss`; the mean is over positives and kept negatives together.

    Raises:
        UsageError: settings out of range, a loss that reduces, or an unknown ``kind``.
        ShapeError: ``target`` or what ``loss`` returns does not fit ``logits``.

    Note:
        Calibration and ranks: as for :func:`ohem_loss`.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0], [2.0], [0.0], [-3.0]])
        >>> y = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
        >>> hard = torch.nn.BCEWithLogitsLoss(reduction="none")
        >>> negative_ratio_loss(z, y, loss=hard, ratio=1.0, kind="multilabel")
        tensor(1.2201)

    References:
        Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 2.2.
    """
    band = _ratio_band(ratio, min_negatives)
    rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
    return mean_of_kept(rule, loss, logits, target, reduction, gather)


def semi_hard_loss(
    logits: Tensor,
    target: Tensor,
    *,
    loss: LossFunction,
    low: float = 0.5,
    high: float = 0.95,
    per: Per = "batch",
    background: int | None = 0,
    gather: bool = False,
    kind: Kind | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Keep all positives and the negatives between two quantiles of their losses.

    Use when easy negatives drown the rest and the very hardest are likely positives that nobody
    marked. Prefer :func:`negative_ratio_loss` where labels are clean: this one never looks at the
    hardest negatives, so confident mistakes among them stay.

    .. math:: q_{low} \le \ell_i \le q_{high} \quad (i \text{ negative})

    Args:
        logits: As in :func:`ohem_loss`, and so are ``target`` (an entry of 0.5 and above is a
            positive), ``loss``, ``per``, ``gather``, ``kind`` and ``reduction``.
        low: Quantile below which negatives are too easy, in [0, 1].
        high: Quantile above which they are too hard, in [low, 1]. Below 1 the hardest negative is
            never kept while there is another.
        background: For classes: the class whose rows are the negatives; None treats all rows
            alike, which drops the hardest rows of every class.

    Returns:
        As :func:`ohem_loss`; the mean is over positives and kept negatives together. Where no
        negative lies in the band, the first below it is kept.

    Raises:
        UsageError: quantiles out of range or order, a loss that reduces, or an unknown ``kind``.
        ShapeError: ``target`` or what ``loss`` returns does not fit ``logits``.

    Note:
        Calibration and ranks: as for :func:`ohem_loss`.

    Example:
        >>> import torch
        >>> z = torch.tensor([[4.0], [1.0], [0.0], [-3.0], [-5.0]])
        >>> hard = torch.nn.BCEWithLogitsLoss(reduction="none")
        >>> semi_hard_loss(z, torch.zeros(5, 1), loss=hard, low=0.5, high=0.9, kind="multilabel")
        tensor(1.0032)
    """
    band = _middle_band(low, high)
    rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
    return mean_of_kept(rule, loss, logits, target, reduction, gather)


def _ratio_band(ratio: float, min_negatives: int) -> Band:
    if not 0.0 <= ratio < math.inf:
        raise UsageError(say("ratio", "be finite and >= 0", ratio, "The published value is 3."))
    if min_negatives < 0:
        raise UsageError(say("min_negatives", "be at least 0", min_negatives))
    return partial(per_positive, float(ratio), int(min_negatives))


def _middle_band(low: float, high: float) -> Band:
    if not 0.0 <= low <= high <= 1.0:
        raise UsageError(say("low and high", "be 0 <= low <= high <= 1", f"{low} and {high}"))
    return partial(middle, float(low), float(high))


class NegativeRatioLoss(OnlineLoss):
    """A loss over positives and a multiple of them in negatives. See :func:`negative_ratio_loss`.

    Args:
        loss: A Module with reduction "none", or a function; one value per row or entry.
        ratio: Negatives for each positive, finite and >= 0.
        min_negatives: Negatives kept at least, in each group.
        per: What is counted and ranked together: "batch", or for labels "image" or "label".
        background: For classes: the class whose rows are the negatives.
        gather: Rank the rows of all ranks together while training.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so.
        reduction: "mean", "sum" or "batchmean".
    """

    def __init__(
        self,
        loss: LossFunction,
        ratio: float = 3.0,
        *,
        min_negatives: int = 1,
        per: Per = "batch",
        background: int = 0,
        gather: bool = False,
        kind: Kind | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        band = _ratio_band(ratio, min_negatives)
        rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
        super().__init__(loss, rule, gather=gather, reduction=reduction)
        self.ratio = ratio
        self.min_negatives = min_negatives

    def _settings(self) -> str:
        return f"ratio={self.ratio:g}, min_negatives={self.min_negatives}"


class SemiHardLoss(OnlineLoss):
    """A loss over positives and negatives between two quantiles. See :func:`semi_hard_loss`.

    Args:
        loss: A Module with reduction "none", or a function; one value per row or entry.
        low: Quantile below which negatives are too easy.
        high: Quantile above which they are too hard.
        per: What is ranked together: "batch", or for labels "image" or "label".
        background: For classes: the class whose rows are the negatives; None: all rows.
        gather: Rank the rows of all ranks together while training.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so.
        reduction: "mean", "sum" or "batchmean".
    """

    def __init__(
        self,
        loss: LossFunction,
        low: float = 0.5,
        high: float = 0.95,
        *,
        per: Per = "batch",
        background: int | None = 0,
        gather: bool = False,
        kind: Kind | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        band = _middle_band(low, high)
        rule = make_rule(loss, kind, per, gather, band, positives=True, background=background)
        super().__init__(loss, rule, gather=gather, reduction=reduction)
        self.low = low
        self.high = high

    def _settings(self) -> str:
        return f"low={self.low:g}, high={self.high:g}"
