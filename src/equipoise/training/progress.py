"""How training gets on: one live line on stderr, or one plain line per epoch."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import lightning.pytorch as pl
import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from equipoise.artifacts import Labels
from equipoise.training.module import RemedyModule

_METRIC = {"multilabel": "macro AP", "multiclass": "balanced accuracy"}
_EVERY = 0.2  # seconds between looks at the loss: each waits for the device


def rarest_label(train: Labels, val: Labels) -> str | None:
    """Return the label with the fewest training positives among those with some in both parts.

    Example:
        >>> train = Labels.from_array([0, 0, 0, 1, 1, 2], kind="multiclass", names=["a", "b", "c"])
        >>> rarest_label(train, train[[0, 3]])
        'b'
    """
    usable = np.flatnonzero((train.counts > 0) & (val.counts > 0))
    if not usable.size:
        return None
    return train.names[int(usable[np.argmin(train.counts[usable])])]


class Progress(pl.Callback):
    """One line for all steps of a training, by rank 0 only: stdout is for results.

    In a terminal the line lives: step, epoch, loss so far, and after each epoch the validation
    metric and the recall of the rarest label. Elsewhere there is one plain line per epoch.

    Args:
        stage: What the line begins with.
    """

    def __init__(self, stage: str = "training") -> None:
        self.stage = stage
        self.bar: Any = None
        self._rarest: str | None = None
        self._judged = ""
        self._looked = 0.0

    def write(self, text: str) -> None:
        """Write a line of its own beside the live one."""
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the line."""
        if not trainer.is_global_zero or not isinstance(pl_module, RemedyModule):
            return
        truth, split = pl_module.feed.truth, pl_module.feed.split
        self._rarest = rarest_label(truth[split.train], truth[split.val])
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=int(trainer.estimated_stepping_batches),
                initial=trainer.global_step,
                unit="step",
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
            )
            self._show(trainer, "")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Move by the steps taken, and look at the loss now and then."""
        if self.bar is None or not isinstance(pl_module, RemedyModule):
            return
        self.bar.update(trainer.global_step - self.bar.n)
        if time.monotonic() - self._looked >= _EVERY:
            self._looked = time.monotonic()
            loss = pl_module.mean_loss
            self._show(trainer, "" if loss is None else f"loss {loss:.4g}")

    def _show(self, trainer: pl.Trainer, loss: str) -> None:
        words = ", ".join(part for part in (loss, self._judged) if part)
        self.bar.set_description_str(f"{self.stage}: epoch {_place(trainer)}", refresh=False)
        self.bar.set_postfix_str(words)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what the epoch came to."""
        if not trainer.is_global_zero or not isinstance(pl_module, RemedyModule):
            return
        row = pl_module.record.history[-1]
        self._judged = self._judge(pl_module)
        if self.bar is not None:
            self._show(trainer, f"loss {row['loss']:.4g}")
            return
        self.write(
            f"{self.stage}: epoch {_place(trainer)}, loss {row['loss']:.4g}, "
            f"validation loss {row['val_loss']:.4g}, {self._judged}, "
            f"learning rate {row['lr']:.2g}"
        )

    def _judge(self, module: RemedyModule) -> str:
        record, truth = module.record, module.feed.truth
        words = f"{_METRIC[truth.kind]} {_number(record.history[-1]['val_metric'])}"
        last = record.label_history[-truth.num_classes :]
        for row in last:
            if row["label"] == self._rarest:
                words += f", recall of {_short(row['label'])} {_number(row['recall'])}"
        return words

    def on_train_end(self, *_: Any) -> None:
        """Take the line away."""
        self._close()

    def on_exception(self, *_: Any) -> None:
        """Take the line away."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _place(trainer: pl.Trainer) -> str:
    return f"{trainer.current_epoch + 1}/{trainer.max_epochs}"


def _number(value: float) -> str:
    return "not estimable" if math.isnan(value) else f"{value:.3f}"


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
