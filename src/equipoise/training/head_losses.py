"""The losses of a stack over its epochs: those of now, and from some epoch on the late ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.training.head_jobs import deferred
from equipoise.training.remedy import Remedy
from equipoise.training.shared_losses import SharedLosses


class HeadLosses:
    """One loss per head, which its schedule may replace.

    Args:
        remedies: One per head.
        epochs: Of training.
        device: Where the logits will be.
    """

    def __init__(
        self, remedies: Sequence[Remedy], epochs: int, device: torch.device | str = "cpu"
    ) -> None:
        self.early = [remedy.loss for remedy in remedies]
        self.late: list[tuple[nn.Module, int]] = []
        for remedy in remedies:
            schedule = deferred(remedy)
            if schedule is None or schedule.loss is None:
                self.late.append((remedy.loss, epochs))
            else:
                self.late.append((schedule.loss, schedule.first_epoch(epochs)))
        self.device = device
        self._late_now: list[bool] = []
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Say which epoch, counted from 0, begins."""
        late_now = [epoch >= first for _, first in self.late]
        if late_now != self._late_now:
            self._late_now = late_now
            pairs = zip(self.early, self.late, late_now, strict=True)
            active = [late if now else early for early, (late, _), now in pairs]
            self.shared = SharedLosses(active, self.device)
        self.shared.start_epoch(epoch)

    def __call__(self, logits: Tensor, targets: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses and their gradients; see :class:`SharedLosses`."""
        return self.shared(logits, targets, which)
