"""Deferred treatment: plain training first, then another loss or sampler (DRW, DRS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from equipoise._core.words import say
from equipoise.artifacts import Correction
from equipoise.errors import UsageError
from equipoise.training.remedy import RowSampler

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Deferred:
    """What takes over late in training, as the slot ``schedule`` of a remedy.

    Use deferred re-weighting or re-sampling where treatment from the start spoils the features:
    with many classes it loses against no treatment at all. Prefer plain treatment on short
    trainings, in which little time is left to defer to.

    Args:
        start: Share of training after which it takes over, in [0, 1]: epoch ``round(start x
            epochs)`` is the first, or the last of a training so short that this lies beyond it.
            0 is treatment from the beginning; 1 never.
        loss: Takes over from the remedy's loss; None keeps that.
        sampler: Takes over from the remedy's sampler, as ``sampler(seed=...)``, and draws as many
            rows per epoch; None keeps that.
        before: What undoes the outputs until then, for the validation metric; the epoch that is
            kept is always a later one. None takes the remedy's correction.

    Raises:
        UsageError: ``start`` outside [0, 1], or nothing that takes over.

    Note:
        Calibration: at the end of training the outputs lie between the two operating points, near
        the first where the learning rate falls to 0 meanwhile ("cosine"): leave the late part a
        rate to learn with ("multistep", as in the paper), and calibrate on validation rows.
        The remedy's correction is that of the late loss and sampler, marked approximate; with
        ``start`` 1 it must be that of plain training.

    Example:
        >>> from torch import nn
        >>> late = Deferred(0.8, loss=nn.CrossEntropyLoss())
        >>> late.first_epoch(200), late.first_epoch(2)
        (160, 1)

    Source:
        Cao et al., NeurIPS 2019, algorithm 1 (DRW).
    """

    start: float = 0.8
    loss: nn.Module | None = None
    sampler: Callable[..., RowSampler] | None = None
    before: Correction | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 1:
            raise UsageError(say("start", "lie in [0, 1], a share of training", self.start))
        if self.loss is None and self.sampler is None:
            raise UsageError(say("schedule", "defer a loss or a sampler", "neither"))

    def first_epoch(self, epochs: int) -> int:
        """Return the first epoch, counted from 0, in which it is in force; ``epochs`` for never."""
        first = round(self.start * epochs)
        # Else 2 epochs with 0.8 would be plain training, corrected for a loss it never had.
        return first if self.start == 1 else min(first, epochs - 1)
