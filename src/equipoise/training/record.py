"""What the epochs came to, and which of them is kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise.artifacts import Correction, Labels
from equipoise.diagnosis.course import default_recalls
from equipoise.training.run_data import RunData
from equipoise.training.selection import goes_before, realised_histogram


class Record:
    """History, realised labels and the weights of the epoch that is kept.

    The epoch with the highest metric is kept, of equals the one with the lower validation loss.
    Where the metric is NaN in every epoch, the last epoch is kept. With a deferred treatment an
    epoch of before is never kept: the correction is that of the end.
    """

    def __init__(self, run_data: RunData) -> None:
        self.run_data, self.options = run_data, run_data.options
        late = run_data.deferred
        self.late_from = late.first_epoch(self.options.epochs) if late else self.options.epochs
        self.history: list[dict[str, Any]] = []
        self.label_history: list[dict[str, Any]] = []
        self.drawn = torch.zeros(run_data.split.train.size, dtype=torch.int64)
        self.best: dict[str, Tensor] = {}
        self.best_value, self.best_epoch, self.waited = -math.inf, -1, 0
        self.best_loss = math.inf
        self.second_stage: dict[str, Any] = {}
        self.last_outputs: NDArray[np.float64] | None = None
        self.last_labels: Labels | None = None

    @property
    def is_out_of_patience(self) -> bool:
        """Whether training is to stop."""
        patience = self.options.patience
        return patience is not None and self.waited >= patience

    def take(
        self,
        network: nn.Module,
        outputs: NDArray[np.float64],
        drawn: NDArray[np.int64],
        numbers: dict[str, float],
        labels: Labels | None = None,
    ) -> float:
        """Take note of an epoch and return its validation metric.

        Args:
            network: As it is validated.
            outputs: Of the validation rows, (N, C).
            drawn: How often each training row was drawn in this epoch.
            numbers: "loss", "val_loss" and "lr".
            labels: Of the outputs, where they are no whole rows; None takes the validation rows.
        """
        split, truth = self.run_data.split, self.run_data.truth
        epoch, labels = len(self.history), truth[split.val] if labels is None else labels
        self.last_outputs, self.last_labels = outputs, labels
        value = self.run_data.measure(outputs, labels, self._correction(epoch))
        losses = {key: numbers[key] for key in ("loss", "val_loss")}
        self.history.append({"epoch": epoch, **losses, "val_metric": value, "lr": numbers["lr"]})
        self.drawn += torch.from_numpy(drawn)
        histogram = realised_histogram(truth[split.train], drawn)
        for name, recall in zip(truth.names, default_recalls(outputs, labels), strict=True):
            self.label_history.append(
                {"epoch": epoch, "label": name, "drawn": histogram[name], "recall": recall}
            )
        self._choose(network, epoch, value, numbers["val_loss"])
        return value

    def _correction(self, epoch: int) -> Correction:
        late = self.run_data.deferred
        before = late.before if late is not None and epoch < self.late_from else None
        return before or self.run_data.remedy.correction

    def _choose(self, network: nn.Module, epoch: int, value: float, loss: float) -> None:
        if epoch < self.late_from < self.options.epochs:
            return
        better = self.best_epoch < 0 or goes_before(value, loss, self.best_value, self.best_loss)
        self.waited = 0 if better else self.waited + 1
        if better or self.options.keep == "last":
            self.keep(network)
            self.best_value, self.best_epoch, self.best_loss = value, epoch, loss

    def keep(self, network: nn.Module) -> None:
        """Keep the weights of a network as they are now."""
        self.best = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return all of it, as plain values and tensors."""
        return {
            "history": self.history,
            "label_history": self.label_history,
            "best": self.best,
            "chosen": [self.best_value, self.best_epoch, self.waited, self.best_loss],
            "drawn": self.drawn,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.history, self.label_history = state["history"], state["label_history"]
        self.best, self.drawn = state["best"], state["drawn"]
        self.best_value, self.best_epoch, self.waited, self.best_loss = state["chosen"]
