"""Label smoothing and its inverse, the same for all classes or more for the frequent ones."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from equipoise._core.checks import to_number
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.errors import UsageError
from equipoise.labels._count_input import Counts, read_counts
from equipoise.labels.losses import Steps, to_vector
from equipoise.losses._checks import Vector, check_classes, check_vector, pick, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import Reduction, reduce_rows
from equipoise.losses.base import ClassLoss


def to_smoothing(value: float) -> float:
    """Return a share in [0, 1); plain Python, so that torch.compile can look through it."""
    number = to_number("label_smoothing", value)
    if not 0.0 <= number < 1.0:
        raise UsageError(say("label_smoothing", "lie in [0, 1)", value, "Start with 0.1."))
    return number


def smoothed(
    log_p: Tensor, target: Tensor, smoothing: float | Tensor, weight: Tensor | None = None
) -> Tensor:
    """Return the log p of every row under its smoothed target, times the weight of its class.

    The target of class k is (1 - e_k) on k plus e_k / C on every class.
    """
    none = not isinstance(smoothing, Tensor) and smoothing == 0
    if target.is_floating_point():
        every = log_p
        if not none:
            every = (1.0 - smoothing) * log_p + smoothing * log_p.mean(-1, keepdim=True)
        return pick(every if weight is None else weight * every, target)
    found = pick(log_p, target)
    if not none:
        share = smoothing[target] if isinstance(smoothing, Tensor) else smoothing
        found = (1.0 - share) * found + share * log_p.mean(-1)
    return found if weight is None else weight[target] * found


def unmix_ops(smoothing: float) -> Steps:
    """Return the steps of a correction that undo label smoothing."""
    return [{"op": "unmix", "smoothing": smoothing}] if smoothing > 0 else []


_WHY = "Pass one share per class, e.g. of `LabelAwareSmoothingLoss.from_class_counts(counts)`."


@dense("multiclass", "row")
def label_aware_smoothing_loss(
    logits: Tensor,
    target: Tensor,
    *,
    smoothing: Tensor,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Smooth the targets of each class by its own share (Zhong et al., 2021).

    Use in a second stage, against over-confidence on frequent classes. Prefer
    :func:`cross_entropy` and a calibrator where only the probabilities matter.

    .. math::
        \ell_i = -(1 - \epsilon_{y_i}) \log p_{i,y_i}
        - \frac{\epsilon_{y_i}}{C - 1} \sum_{k \ne y_i} \log p_{i,k}

    Args:
        logits: Unnormalised scores, (..., N, C), floating, C >= 2.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        smoothing: Share that leaves each class, (C,), in [0, (C - 1) / C); the ranges of values
            are checked by the Module. 0 is cross entropy exactly.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        ShapeError: ``smoothing`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        p is the mixture of the smoothed targets by the true posterior, and linear in it: solved
        in closed form. Logits surer than the targets are outside its range and clipped.
        Distributed: no communication.

    Example:
        >>> import torch
        >>> label_aware_smoothing_loss(
        ...     torch.tensor([[2.0, 0.0]]), torch.tensor([0]), smoothing=torch.tensor([0.4, 0.1])
        ... )
        tensor(0.9269)

    References:
        Zhong et al., Improving Calibration for Long-Tailed Recognition, CVPR 2021, eq. 5 to 7.
    """
    target, known = check_classes(logits, target, ignore_index)
    check_vector("smoothing", smoothing, logits, _WHY)
    log_p = upcast(logits).log_softmax(-1)
    loss = -smoothed(log_p, target, _spread(smoothing).to(log_p.dtype))
    return reduce_rows(loss, known, reduction, dtype=logits.dtype)


def _spread(smoothing: Tensor) -> Tensor:
    """Return the share spread over all classes, where ``smoothing`` goes to the others alone."""
    width = smoothing.shape[0]
    return upcast(smoothing) * (width / max(width - 1, 1))


class LabelAwareSmoothingLoss(ClassLoss):
    """Cross entropy with a smoothing per class. See :func:`label_aware_smoothing_loss`.

    Args:
        smoothing: Share that leaves each class, (C,), in [0, (C - 1) / C); a float32 buffer.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    smoothing: Tensor

    def __init__(
        self,
        smoothing: Vector,
        *,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self._keep("smoothing", to_vector("smoothing", smoothing))
        most = 1.0 - 1.0 / len(self.smoothing)
        if float(self.smoothing.max()) >= most:
            wanted = f"stay below (C - 1) / C = {most:.3g}"
            do = "Above it a class would lend the others more than it keeps."
            raise UsageError(say("smoothing", wanted, f"{float(self.smoothing.max()):.3g}", do))

    @classmethod
    def from_class_counts(
        cls,
        counts: Counts,
        *,
        head: float = 0.4,
        tail: float = 0.1,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> LabelAwareSmoothingLoss:
        """Go from ``tail`` for the rarest class to ``head`` for the most frequent, by a sine."""
        values, _ = read_counts("counts", counts)
        low, high = float(values.min()), float(values.max())
        rank = (values - low) / (high - low) if high > low else np.ones_like(values)
        return cls(
            tail + (head - tail) * np.sin(0.5 * np.pi * rank),
            ignore_index=ignore_index,
            class_dim=class_dim,
            reduction=reduction,
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`label_aware_smoothing_loss`."""
        return label_aware_smoothing_loss(
            logits,
            target,
            smoothing=self.smoothing,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def _ops(self) -> Steps:
        return [{"op": "unmix", "smoothing": _spread(self.smoothing.double()).tolist()}]

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"smoothing={tuple(self.smoothing.shape)}, {super().extra_repr()}"
