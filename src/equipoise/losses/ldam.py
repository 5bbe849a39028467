"""LDAM: a larger margin for rarer classes, on the cosines of a normalised head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from equipoise._core.targets import IGNORE_INDEX
from equipoise.labels.losses import LDAMSide, to_scale
from equipoise.losses._checks import Vector, check_classes, check_vector, pick, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import Reduction, reduce_rows
from equipoise.losses.base import ClassLoss
from equipoise.losses.focal import log_one_minus

_WHY = "Pass one margin per class, e.g. of `LDAMLoss.from_class_counts(counts)`."


@dense("multiclass", "row")
def ldam_loss(
    logits: Tensor,
    target: Tensor,
    *,
    margin: Tensor,
    scale: float = 30.0,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Ask for a larger margin where a class is rarer (Cao et al., 2019).

    Use with a cosine head (:class:`equipoise.models.CosineHead` with ``scale=1``), with or without
    deferred re-weighting. Prefer :func:`logit_adjusted_loss` with any other head: on plain logits
    a margin of 0.5 is next to nothing, and a scale of 30 only raises the learning rate.

    .. math::
        \ell_i = -\log \frac{e^{s (z_{i,y_i} - \Delta_{y_i})}}
        {e^{s (z_{i,y_i} - \Delta_{y_i})} + \sum_{k \ne y_i} e^{s z_{i,k}}}

    Args:
        logits: Cosines, (..., N, C), floating, C >= 2; not yet multiplied by the scale.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C):
            the mixture of the losses of the classes.
        margin: One margin per class, (C,), floating, >= 0.
        scale: s > 0; with margin 0 and scale 1 this is cross entropy exactly.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``scale`` is not above 0.
        ShapeError: ``margin`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        With p = softmax(s z) the true posterior is proportional to
        p_k (1 - p_k (1 - exp(-s margin_k))). Distributed: no communication.

    Example:
        >>> import torch
        >>> ldam_loss(
        ...     torch.tensor([[0.9, 0.4]]), torch.tensor([0]), margin=torch.tensor([0.5, 0.1])
        ... )
        tensor(0.6931)

    References:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss,
        NeurIPS 2019, eq. 13 and 14.
    """
    target, known = check_classes(logits, target, ignore_index)
    check_vector("margin", margin, logits, _WHY)
    z = to_scale("scale", scale, "Start with 30.") * upcast(logits)
    shift = scale * margin.to(z.dtype)
    if target.is_floating_point():
        # The loss of class k alone is log(1 + (1 - p_k) / p_k e^(s margin_k)).
        log_p = z.log_softmax(-1)
        loss = pick(softplus(log_one_minus(z, log_p) + shift - log_p), target)
    else:
        lowered = z.scatter_add(-1, target.unsqueeze(-1), -shift[target].unsqueeze(-1))
        loss = -pick(lowered.log_softmax(-1), target)
    return reduce_rows(loss, known, reduction, dtype=logits.dtype)


class LDAMLoss(LDAMSide, ClassLoss):
    """Cross entropy of scaled cosines with a margin per class. See :func:`ldam_loss`.

    Args:
        margin: One margin per class, (C,), >= 0; kept as a float32 buffer.
        scale: s > 0. Where the head multiplies by it already, pass 1 here and margins times s.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    margin: Tensor

    def __init__(
        self,
        margin: Vector,
        *,
        scale: float = 30.0,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self._settle(margin, scale)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`ldam_loss`."""
        return ldam_loss(
            logits,
            target,
            margin=self.margin,
            scale=self.scale,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        shape = tuple(self.margin.shape)
        return f"margin={shape}, scale={self.scale:g}, {super().extra_repr()}"


class ClassWeighted(nn.Module):
    """A softmax loss with one weight per class, for losses that take none themselves.

    Args:
        loss: Linear in its target: the weights go into the targets. Its mean still divides by
            rows.
        weight: (C,), >= 0.
    """

    linear_in_target = True
    weight: Tensor

    def __init__(self, loss: nn.Module, weight: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (N, C) and class indices (N,), or class shares (N, C).

        With the ``class_dim`` of its loss they are dense.
        """
        if not target.is_floating_point():
            known = (target != self.ignore_index).unsqueeze(-1)
            hot = one_hot(torch.where(known.squeeze(-1), target, 0), len(self.weight))
            target = torch.where(known, hot.to(logits.dtype), torch.nan).movedim(-1, self.class_dim)
        around = logits.ndim - 1 - self.class_dim % logits.ndim
        weight = self.weight.reshape(-1, *[1] * around)
        value: Tensor = self.loss(logits, target * weight)
        return value

    @property
    def class_dim(self) -> int:
        """Axis of classes, that of the loss."""
        return int(getattr(self.loss, "class_dim", -1))

    @property
    def ignore_index(self) -> int:
        """Class index of rows that are left out, that of the loss."""
        return int(getattr(self.loss, "ignore_index", IGNORE_INDEX))

    def along(self, class_dim: int, ignore_index: int | None = None) -> None:
        """Take classes from another axis, and leave out what has another index."""
        self.loss.along(class_dim, ignore_index)  # type: ignore[operator]

    def divisor(self, target: Tensor) -> Tensor:
        """Return what the mean divides by: known rows."""
        ask = getattr(self.loss, "divisor", None)
        rows: Tensor = ask(target) if callable(ask) else torch.tensor(len(target))
        return rows
