"""The base of all losses: a Module that also says what it did to the probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from equipoise._core.targets import IGNORE_INDEX
from equipoise._core.words import one_of, say
from equipoise.artifacts.correction import Correction, Exactness
from equipoise.artifacts.labels import Kind
from equipoise.errors import NotRecoverableError, UsageError
from equipoise.losses._checks import known_rows
from equipoise.losses._reduction import REDUCTIONS, Reduction
from equipoise.losses.posterior import log_odds_tables, recover_posterior

_HALF = (torch.float16, torch.bfloat16)


class Loss(nn.Module, ABC):
    """A loss with an inverse.

    A subclass stores hyper-parameters (tensors as float32 buffers, which ``.half()`` leaves in
    float32) and calls its function in ``forward``. Its inverse comes from its own gradients; where
    it has a closed form it overrides ``_log_posterior`` and ``_ops``.

    Args:
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

    kind: ClassVar[Kind]
    exactness: ClassVar[Exactness] = "exact"
    linear_in_target: ClassVar[bool] = True
    ignore_index: int = IGNORE_INDEX

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        one_of("reduction", reduction, REDUCTIONS)
        self.reduction: Reduction = reduction
        self.num_classes: int | None = None

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
            logits: (..., N, C) or (..., N, L), floating.

        Returns:
            The same shape, float64: where the expected training gradient is zero, these are the
            true probabilities under the prior of the training rows.

        Raises:
            NotRecoverableError: the loss has no inverse, for example with a zero weight.
        """
        self._require_recoverable()
        closed = self._log_posterior(logits.detach().double())
        if closed is None:
            return recover_posterior(self, logits)
        return closed.softmax(-1) if self.kind == "multiclass" else closed.sigmoid()

    def correction(
        self, *, num_classes: int | None = None, prior: Sequence[float] | None = None
    ) -> Correction:
        """Return the inverse as an artifact that needs NumPy alone.

        Args:
            num_classes: Labels, where no hyper-parameter fixes them and they differ.
            prior: Class shares of the training rows, (C,), noted in the artifact.

        Raises:
            NotRecoverableError: the loss has no inverse, or is a softmax loss without a closed
                form: use :meth:`posterior` and store probabilities.
        """
        self._require_recoverable()
        ops, reach = self._ops(), (0.0, 1.0)
        if ops is None:
            if self.kind == "multiclass":
                raise NotRecoverableError(
                    f"{type(self).__name__} has no closed form that a file could hold. "
                    "Store loss.posterior(logits) as probabilities instead."
                )
            tables, reach = log_odds_tables(self, self.num_classes or num_classes or 1)
            ops = [{"op": "monotone_table", "tables": tables}]
        known = self._prior() if prior is None else tuple(prior)
        return Correction(
            self.kind, tuple(ops), self.exactness, reach, known, self._nominal_weight()
        )

    def _log_posterior(self, z: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return log-odds, or log-posteriors up to a constant, for float64 logits; or None."""
        return None

    def _ops(self) -> list[dict[str, Any]] | None:
        """Return the steps of the correction, or None where there is no closed form."""
        return None

    def _nominal_weight(self) -> tuple[float, ...] | None:
        """Return the weight on positives, where the loss has one."""
        return None

    def _prior(self) -> tuple[float, ...] | None:
        """Return the class shares of the training rows, where the loss knows them."""
        return None

    def operating_point(self, num_classes: int | None = None) -> Tensor:
        """Return the true probability behind equal logits.

        For labels: the probability at which a sigmoid output says 0.5. For classes: the posterior
        where softmax says 1 / C.

        Args:
            num_classes: Needed for classes where no hyper-parameter fixes their number.

        Returns:
            (C,) float64; (1,) for labels that all share one value.
        """
        width = self.num_classes or num_classes
        if width is None:
            if self.kind == "multiclass":
                do = "This loss does not know the number of classes."
                raise UsageError(say("num_classes", "be given", None, do))
            width = 1
        zeros = torch.zeros(1, width, dtype=torch.float64, device=self._device())
        return self.posterior(zeros)[0]

    def _device(self) -> torch.device:
        buffer = next(self.buffers(), None)
        return torch.device("cpu") if buffer is None else buffer.device

    def _require_recoverable(self) -> None:
        if self.exactness == "none":
            raise NotRecoverableError(
                f"Outputs of {type(self).__name__} rank but carry no probability. "
                "Fit a calibrator on validation data: tune(scores)."
            )

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
        return f"reduction={self.reduction!r}"


class ClassLoss(Loss):
    """A loss of single-label classes.

    Args:
        ignore_index: Class index of rows whose class is unknown: they have no loss and no
            gradient, and means do not count them. So have rows of shares with a NaN.
        reduction: "none", "mean" or "sum".
    """

    kind = "multiclass"

    def __init__(self, *, ignore_index: int = IGNORE_INDEX, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.ignore_index = int(ignore_index)

    def extra_repr(self) -> str:
        """Name the settings; what enters the hash of a trial stays as it was."""
        own = "" if self.ignore_index == IGNORE_INDEX else f", ignore_index={self.ignore_index}"
        return f"{super().extra_repr()}{own}"


def offset_op(offset: Tensor) -> dict[str, Any]:
    """Return the step of a correction that adds ``offset``."""
    return {"op": "offset", "offset": offset.tolist()}


def log_offset(name: str, weight: Tensor) -> Tensor:
    """Return -log of a weight per class or label, float64.

    Raises:
        NotRecoverableError: an entry is 0.
    """
    values = weight.detach().double()
    if bool((values == 0).any()):
        at = ", ".join(str(int(i)) for i in (values == 0).nonzero()[:5, 0])
        raise NotRecoverableError(
            f"`{name}` is 0 for class or label {at}: training never saw it, so its probability "
            "cannot be recovered. Leave it out of the model or give it a weight above 0."
        )
    return -values.log()
