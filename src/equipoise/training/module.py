"""The Lightning module and callback of ``fit``: one loss, one optimizer, one chosen epoch."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise.artifacts import Labels
from equipoise.errors import TrainingError
from equipoise.training.remedy import Remedy
from equipoise.training.selection import selection_metric

__all__ = ["RemedyModule"]


class RemedyModule(pl.LightningModule):
    """Trains a model with a remedy's loss and keeps the epoch that validates best.

    Args:
        model: Maps a batch to logits (N, C).
        remedy: Its loss is used as it is.
        val_labels: The truth of the validation rows, in the order of their loader.
        lr: AdamW learning rate at the start; it falls to 0 along a half cosine.
        weight_decay: Decoupled weight decay.
    """

    def __init__(
        self, model: nn.Module, remedy: Remedy, val_labels: Labels, lr: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.model, self.loss = model, remedy.loss
        self.remedy, self.val_labels = remedy, val_labels
        self.lr, self.weight_decay = lr, weight_decay
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_value, self.best_epoch = -math.inf, -1
        self.first_scores: NDArray[np.float64] | None = None
        self._outputs: list[Tensor] = []
        self._losses: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.model(x)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], _batch_idx: int) -> Tensor:
        """Return the loss of one batch; a NaN stops training."""
        x, target = batch
        value: Tensor = self.loss(self(x), target)
        self._losses.append(value.detach())
        self.log("loss", value, prog_bar=True)
        return value

    def on_train_epoch_end(self) -> None:
        """Check the losses of the epoch and complete its row of the history."""
        losses = torch.stack(self._losses).float()
        self._losses.clear()
        if torch.isnan(losses).any():
            raise TrainingError(
                f"The loss of '{self.remedy.name}' became NaN in epoch {self.current_epoch}. "
                "Lower the learning rate, or check the weights of rare labels."
            )
        row = {"epoch": self.current_epoch, "loss": float(losses.mean())}
        if self.history and self.history[-1].get("epoch") == self.current_epoch:
            self.history[-1] = row | self.history[-1]
        else:
            self.history.append(row)

    def validation_step(self, batch: tuple[Tensor, Tensor], _batch_idx: int) -> None:
        """Keep the logits of one batch."""
        self._outputs.append(self(batch[0]).detach().float().cpu())

    def on_validation_epoch_end(self) -> None:
        """Judge the epoch on all validation rows at once, and keep the best weights."""
        logits = torch.cat(self._outputs).double().numpy()
        self._outputs.clear()
        value = selection_metric(logits, self.val_labels, self.remedy.correction)
        self.history.append({"epoch": self.current_epoch, "val_metric": value})
        self.log("val_metric", value, prog_bar=True)
        if value > self.best_value or self.best_epoch < 0:
            self.best_value, self.best_epoch = value, self.current_epoch
            state = self.model.state_dict()
            self.best = {k: v.detach().cpu().clone() for k, v in state.items()}

    def configure_optimizers(self) -> Any:
        """Return AdamW with a half-cosine schedule over all steps."""
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.lr, weight_decay=self.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(steps, 1))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
