"""Online hard example mining: any loss, over the hardest share of the batch or of each class."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from equipoise._core.words import say
from equipoise.artifacts.labels import Kind
from equipoise.errors import UsageError
from equipoise.losses._online import LossFunction, OnlineLoss, make_rule, mean_of_kept
from equipoise.losses._reduction import Reduction
from equipoise.losses._selection import Band, Per, hardest


def ohem_loss(
    logits: Tensor,
    target: Tensor,
    *,
    loss: LossFunction,
    ratio: float = 0.25,
    min_kept: int = 1,
    per: Per = "batch",
    gather: bool = False,
    kind: Kind | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Take the mean over the hardest share of the batch only (OHEM, Shrivastava et al., 2016).

    Use when most rows are easy and labels are clean. Prefer ``per="class"`` or ``per="label"``
    against a long tail, where most hard rows belong to frequent classes and crowd out the rare
    ones; prefer :func:`semi_hard_loss` where labels are noisy: the hardest rows are then the wrong
    labels.

    .. math:: \ell = \frac{1}{k} \sum_{i \in \text{top } k} \ell_i, \quad
        k = \max(\lceil r n \rceil, k_{min})

    Args:
        logits: (..., N, C) for classes, (..., N, L) for labels, floating.
        target: As ``loss`` takes it; unknown entries of labels are NaN and never count.
        loss: Maps logits and target to one value per row (classes) or entry (labels): a Module
            with reduction "none", or a function.
        ratio: r, the share that is kept, in (0, 1].
        min_kept: Kept at least, where there are as many; in each group where groups are ranked
            apart.
        per: What is ranked together, n entries: the "batch"; a "class" (classes; rows of soft
            targets go to their largest share); a "label" or an "image", that is a row (labels).
        gather: Rank the rows of all ranks of torch.distributed together.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so by its ``kind``.
        reduction: "mean" and "batchmean" divide by the number kept; "sum". "none" is refused.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes, each slice ranked by itself; 0 where
        nothing is known. Dtype and device of ``logits``; ``loss`` gets float32 where they are half
        precision.

    Raises:
        UsageError: settings out of range, a loss that reduces, or an unknown ``kind``.
        ShapeError: ``target`` or what ``loss`` returns does not fit ``logits``.

    Note:
        The choice carries no gradient. Outputs lose their meaning as probabilities: scores rank,
        and need a fitted calibrator. Distributed: each rank picks among its own rows and does not
        communicate; with ``gather`` losses and targets are gathered, all ranks share one threshold
        and the mean over the number kept on all is scaled so that the gradients that DDP averages
        are those of one process with all rows.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[2.0], [0.0], [-3.0], [-2.0]]), torch.zeros(4, 1)
        >>> hard = torch.nn.BCEWithLogitsLoss(reduction="none")
        >>> ohem_loss(z, y, loss=hard, ratio=0.5, kind="multilabel")
        tensor(1.4100)

    References:
        Shrivastava, Gupta and Girshick, Training Region-Based Object Detectors with Online Hard
        Example Mining, CVPR 2016.
    """
    rule = make_rule(loss, kind, per, gather, _ohem_band(ratio, min_kept))
    return mean_of_kept(rule, loss, logits, target, reduction, gather)


def _ohem_band(ratio: float, min_kept: int) -> Band:
    if not 0.0 < ratio <= 1.0:
        raise UsageError(say("ratio", "lie in (0, 1]", ratio, "Published values: 0.25 to 0.7."))
    if min_kept < 1:
        raise UsageError(say("min_kept", "be at least 1", min_kept))
    return partial(hardest, float(ratio), int(min_kept))


class OHEMLoss(OnlineLoss):
    """A loss over the hardest share of the batch. See :func:`ohem_loss`.

    Args:
        loss: A Module with reduction "none", or a function; one value per row or entry.
        ratio: Share that is kept, in (0, 1].
        min_kept: Kept at least, in each group.
        per: What is ranked together: "batch", "class" (classes), "label" or "image" (labels).
        gather: Rank the rows of all ranks together while training.
        kind: "multiclass" or "multilabel", where ``loss`` does not say so.
        reduction: "mean", "sum" or "batchmean".

    Example:
        >>> import torch
        >>> from equipoise.losses import BCELoss
        >>> loss = OHEMLoss(BCELoss(reduction="none"), ratio=0.5)
        >>> loss.selected(torch.tensor([[2.0, -1.0]]), torch.zeros(1, 2))
        tensor([[ True, False]])
    """

    def __init__(
        self,
        loss: LossFunction,
        ratio: float = 0.25,
        *,
        min_kept: int = 1,
        per: Per = "batch",
        gather: bool = False,
        kind: Kind | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        rule = make_rule(loss, kind, per, gather, _ohem_band(ratio, min_kept))
        super().__init__(loss, rule, gather=gather, reduction=reduction)
        self.ratio = ratio
        self.min_kept = min_kept

    def _settings(self) -> str:
        return f"ratio={self.ratio:g}, min_kept={self.min_kept}"
