"""The learning rate as a function of step and epoch."""

from __future__ import annotations

import math

from equipoise.training.options import TrainingOptions
from equipoise.training.selection import goes_before


class Rate:
    """The factor on the learning rate at each optimizer step, counted from 0.

    Args:
        options: Schedule, warm-up and length.
        steps_per_epoch: Optimizer steps of one epoch.

    The rise of the warm-up multiplies the schedule. Milestones and the steps of "exponential" and
    "plateau" fall on the beginning of an epoch.

    Example:
        >>> options = TrainingOptions(epochs=10, schedule="multistep", milestones=(0.5, 0.8))
        >>> rate = Rate(options, steps_per_epoch=4)
        >>> [round(rate(4 * epoch), 2) for epoch in (0, 4, 5, 8)]
        [1.0, 1.0, 0.1, 0.01]
    """

    def __init__(self, options: TrainingOptions, steps_per_epoch: int) -> None:
        self._options, self._steps_per_epoch = options, max(steps_per_epoch, 1)
        self.best, self.waited, self.plateaus = -math.inf, 0, 0
        self.best_loss = math.inf

    def __call__(self, step: int) -> float:
        """Return the factor for the step with this number."""
        options = self._options
        done = step / self._steps_per_epoch
        factor = self._fall(done)
        if done < options.warmup:
            factor *= (step + 1) / (options.warmup * self._steps_per_epoch + 1)
        return factor

    def _fall(self, done: float) -> float:
        options, epoch = self._options, int(done)
        if options.schedule == "cosine":
            return (1 + math.cos(math.pi * min(done / options.epochs, 1.0))) / 2
        if options.schedule == "multistep":
            passed = sum(epoch >= round(m * options.epochs) for m in options.milestones)
            return float(options.factor**passed)
        if options.schedule == "exponential":
            return float(options.factor**epoch)
        return float(options.factor**self.plateaus)

    def saw(self, value: float, loss: float) -> None:
        """Take note of an epoch's validation metric and loss; a NaN metric counts as no rise."""
        if not math.isnan(value) and goes_before(value, loss, self.best, self.best_loss):
            self.best, self.best_loss, self.waited = value, loss, 0
            return
        self.waited += 1
        if self.waited >= self._options.plateau_patience and self._options.schedule == "plateau":
            self.plateaus, self.waited = self.plateaus + 1, 0

    def state_dict(self) -> dict[str, float]:
        """Return what the validation metric has decided so far."""
        chosen = {"best": self.best, "best_loss": self.best_loss}
        return chosen | {"waited": self.waited, "plateaus": self.plateaus}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.waited, self.plateaus = int(state["waited"]), int(state["plateaus"])
