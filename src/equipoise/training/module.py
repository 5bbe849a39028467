"""What ``fit`` needs of Lightning: one loss, one optimizer, one chosen epoch, a quiet trainer."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm  # type: ignore[import-untyped]

from equipoise.artifacts import Labels
from equipoise.errors import TrainingError
from equipoise.training.remedy import Remedy, start_epoch
from equipoise.training.selection import selection_metric

__all__ = ["RemedyModule", "run_trainer"]


class RemedyModule(pl.LightningModule):
    """Trains a model with a remedy's loss and keeps the epoch that validates best.

    Args:
        model: Maps a batch to logits (N, C).
        remedy: A copy of its loss is used.
        val_labels: The truth of the validation rows, in the order of their loader.
        lr: AdamW learning rate at the start; it falls to 0 along a half cosine.
        weight_decay: Decoupled weight decay.

    Where the validation metric is NaN in every epoch, the last epoch is kept.
    """

    def __init__(
        self, model: nn.Module, remedy: Remedy, val_labels: Labels, lr: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.model, self.loss = model, copy.deepcopy(remedy.loss)
        self.remedy, self.val_labels = remedy, val_labels
        self.lr, self.weight_decay = lr, weight_decay
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_value, self.best_epoch = -math.inf, -1
        self._outputs: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []

    def on_train_epoch_start(self) -> None:
        """Say which epoch begins to a loss that asks for it."""
        start_epoch(self.loss, self.current_epoch)

    def training_step(self, batch: tuple[Tensor, Tensor], _batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        x, target = batch
        value: Tensor = self.loss(self.model(x), target)
        self._losses.append(value.detach())
        self._sizes.append(len(target))
        return value

    def on_validation_epoch_start(self) -> None:
        """Stop if a loss of this epoch was not finite."""
        if not torch.isfinite(torch.stack(self._losses)).all():
            raise self._lost("loss")

    def validation_step(self, batch: tuple[Tensor, Tensor], _batch_idx: int) -> None:
        """Keep the logits of one batch."""
        self._outputs.append(self.model(batch[0]).detach().cpu())

    def on_validation_epoch_end(self) -> None:
        """Judge the epoch on all validation rows at once, and keep the best weights."""
        losses = torch.stack(self._losses).double().cpu().numpy()
        loss = float(np.average(losses, weights=self._sizes))
        logits = torch.cat(self._outputs).double().numpy()
        for kept in (self._losses, self._sizes, self._outputs):
            kept.clear()
        if not np.isfinite(logits).all():
            raise self._lost("output")
        value = selection_metric(logits, self.val_labels, self.remedy.correction)
        epoch = self.current_epoch
        self.history.append({"epoch": epoch, "loss": loss, "val_metric": value})
        if self.best_epoch < 0 or not value <= self.best_value:
            self.best_value, self.best_epoch = value, epoch
            with torch.inference_mode(False):
                state = self.model.state_dict()
                self.best = {k: v.detach().cpu().clone() for k, v in state.items()}

    def _lost(self, what: str) -> TrainingError:
        return TrainingError(
            f"The {what} of '{self.remedy.name}' is not finite in epoch {self.current_epoch}. "
            "Lower the learning rate, or check the weights of rare labels."
        )

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


class _Bar(pl.Callback):
    """One progress bar over all steps, on stderr: stdout is for results."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Show the bar."""
        total = int(trainer.estimated_stepping_batches)
        self.bar = tqdm(total=total, desc="training", unit="step", leave=False, file=sys.stderr)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move by one step."""
        self.bar.update()

    def on_train_end(self, *_: Any) -> None:
        """Take the bar away."""
        self.bar.close()

    def on_exception(self, *_: Any) -> None:
        """Take the bar away."""
        if hasattr(self, "bar"):
            self.bar.close()


def run_trainer(
    module: RemedyModule,
    train: DataLoader[Any],
    val: DataLoader[Any],
    *,
    epochs: int,
    accelerator: str,
    progress: bool | None,
) -> None:
    """Train on one device; Ctrl-C comes out as KeyboardInterrupt, nothing is written."""
    show = sys.stderr.isatty() if progress is None else progress
    with _quiet(), _honest_interrupt():
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator=accelerator,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=[_Bar()] if show else [],
        )
        trainer.fit(module, train, val)


@contextlib.contextmanager
def _honest_interrupt() -> Iterator[None]:
    """Undo what Lightning makes of Ctrl-C: SystemExit(1), and SIGINT ignored from then on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as leaving:
        if not isinstance(leaving.__context__, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from None
    finally:
        if signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice on worker counts and its notices on devices."""
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            # Frozen batch norm is in eval mode on purpose.
            warnings.filterwarnings("ignore", message=r".*module\(s\) in eval mode.*")
            yield
    finally:
        logger.setLevel(level)
