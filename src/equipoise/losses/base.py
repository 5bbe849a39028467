"""The base of all losses: a Module that also says what it did to the probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_integer
from equipoise._core.messages import one_of
from equipoise._core.targets import IGNORE_INDEX, require_classes_for_index, to_class_dim
from equipoise.labels.losses import LossSide
from equipoise.losses._checks import known_rows
from equipoise.losses._dense import to_rows
from equipoise.losses._passes import REDUCTIONS, Reduction
from equipoise.losses.posterior import log_odds_tables, recover_posterior

_HALF = (torch.float16, torch.bfloat16)


class Loss(LossSide, nn.Module, ABC):
    """A loss with an inverse.

    A subclass stores hyper-parameters (tensors as float32 buffers, which ``.half()`` leaves in
    float32) and calls its function in ``forward``. Its inverse comes from its own gradients; where
    it has a closed form it overrides ``_ops``, or ``_log_odds`` where no step of `Correction` fits.

    Args:
        class_dim: Axis of the outputs that classes or labels are on: -1, or 1 for (N, C, H, W) and
            2 for (N, T, C), where each pixel or step is a row.
        reduction: "none", "mean" or "sum".

    Attributes:
        kind: "multiclass" or "multilabel".
        exactness: How exactly the inverse holds: "exact", "approximate" or "none".
        linear_in_target: Whether the loss of a blend of two targets is the blend of the two
            losses, row by row before any mean. Mixing rows (mixup) asks for it.
        num_classes: Classes or labels, where a hyper-parameter fixes them, else None.
        ignore_index: Class index of rows that are left out; unknown entries of labels are NaN or
            below 0.
    """

    linear_in_target: ClassVar[bool] = True
    ignore_index: int = IGNORE_INDEX

    def __init__(self, *, class_dim: int = -1, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.class_dim = to_class_dim(class_dim)
        one_of("reduction", reduction, REDUCTIONS)
        self.reduction: Reduction = reduction
        self.num_classes: int | None = None

    def along(self, class_dim: int, ignore_index: int | None = None) -> None:
        """Take classes or labels from another axis, and leave out what has another index.

        Args:
            class_dim: As in the constructor.
            ignore_index: Class index of what is left out; None keeps it.

        Raises:
            UsageError: an ``ignore_index`` for labels, whose unknown entries are NaN or below 0.
        """
        self.class_dim = to_class_dim(class_dim)
        if ignore_index is not None:
            require_classes_for_index(self.kind, ignore_index)
            self.ignore_index = to_integer("ignore_index", ignore_index)

    @abstractmethod
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss; shapes as in the function of the same name."""

    def divisor(self, target: Tensor) -> Tensor:
        """Return what "mean" divides by on these targets, a scalar.

        With it, means over the parts of a batch can be joined to the mean of the whole: known
        entries for labels, known rows for classes, or what the loss counts instead.

        Args:
            target: As :meth:`forward` takes it.
        """
        return self._divisor(self._rows(target))

    def _rows(self, target: Tensor) -> Tensor:
        """Return dense targets as those of rows, (M,) or (M, C)."""
        if self.class_dim == -1:
            return target
        if self.kind == "multiclass" and not target.is_floating_point():
            return target.reshape(-1)
        return to_rows(target, self.class_dim)

    def _divisor(self, target: Tensor) -> Tensor:
        if self.reduction == "sum":
            return torch.ones(())
        if self.kind == "multiclass":
            return known_rows(target, self.ignore_index).sum()
        known = target >= 0
        if self.reduction == "batchmean":
            known = known.flatten(1).any(1) if known.ndim > 1 else known
        return known.sum()

    def posterior(self, logits: Tensor) -> Tensor:
        """Return the true probabilities that these outputs stand for.

        Args:
            logits: As :meth:`forward` takes them: (..., N, C), or dense as ``class_dim`` says.

        Returns:
            The same shape, float64: where the expected training gradient is zero, these are the
            true probabilities under the prior of the training rows.

        Raises:
            NotRecoverableError: the loss has no inverse, for example with a zero weight.
        """
        moved = logits.detach().movedim(self.class_dim, -1)
        found = self._posterior_of_rows(moved.reshape(-1, moved.shape[-1]))
        return found.reshape(moved.shape).movedim(-1, self.class_dim).to(logits.device)

    def _posterior_of_rows(self, rows: Tensor) -> Tensor:
        made = self._probabilities(rows.cpu().double().numpy())
        return recover_posterior(self, rows) if made is None else torch.from_numpy(made)

    def _tables(self, num_classes: int | None) -> Any:
        """Return the closed form as a table; where there is none, what the gradients say."""
        # Gradients are asked last: beyond a logit of 20 they have no digits for 1 - sigmoid(z).
        if self._log_odds(np.zeros((1, 1))) is None:
            return log_odds_tables(self, self._width(num_classes))
        return super()._tables(num_classes)

    def _hold(self, name: str, numbers: Floats | None) -> None:
        """Keep numbers per class or label as a float32 buffer, which moves with the Module."""
        vector = None if numbers is None else torch.tensor(numbers, dtype=torch.float32)
        self.register_buffer(name, vector)

    def operating_point(self, num_classes: int | None = None) -> Tensor:
        """Return the true probability behind equal logits.

        For labels: the probability at which a sigmoid output says 0.5. For classes: the posterior
        where softmax says 1 / C.

        Args:
            num_classes: Needed for classes where no hyper-parameter fixes their number.

        Returns:
            (C,) float64; (1,) for labels that all share one value.
        """
        self._require_recoverable()  # before it asks for a number that would not help
        width = self._width(num_classes)
        zeros = torch.zeros(1, width, dtype=torch.float64, device=self._device())
        return self._posterior_of_rows(zeros)[0].to(zeros.device)

    def _device(self) -> torch.device:
        buffer = next(self.buffers(), None)
        return torch.device("cpu") if buffer is None else buffer.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Loss:
        """Move buffers, but never to half precision: a log prior of -11 needs more digits."""

        def keep_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if tensor.dtype == torch.float32 and moved.dtype in _HALF:
                return tensor.to(moved.device)
            return moved

        super()._apply(keep_float32, recurse)  # type: ignore[no-untyped-call]
        return self

    def extra_repr(self) -> str:
        """Name the settings."""
        # What enters the hash of a trial stays as it was.
        dense = "" if self.class_dim == -1 else f", class_dim={self.class_dim}"
        return f"reduction={self.reduction!r}{dense}"


class ClassLoss(Loss):
    """A loss of single-label classes.

    Args:
        ignore_index: Class index of rows whose class is unknown: they have no loss and no
            gradient, and means do not count them. So have rows of shares with a NaN.
        class_dim: As for :class:`Loss`.
        reduction: "none", "mean" or "sum".
    """

    kind = "multiclass"

    def __init__(
        self,
        *,
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.ignore_index = to_integer("ignore_index", ignore_index)

    def extra_repr(self) -> str:
        """Name the settings."""
        own = "" if self.ignore_index == IGNORE_INDEX else f", ignore_index={self.ignore_index}"
        return f"{super().extra_repr()}{own}"
