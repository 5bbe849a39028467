"""What each of the two processes of `test_lightning_ddp` runs."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from equipoise.sampling import ClassBalancedSampler, StratifiedBatchSampler

LABELS = np.repeat([0, 1], [950, 51])


def make_recorder(pl: Any) -> Any:
    """Return a module of either namespace."""

    class Recorder(pl.LightningModule):
        """A model of one weight that notes the rows it was given."""

        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(1, 1)
            self.rows: list[list[int]] = []

        def on_train_epoch_start(self) -> None:
            self.rows.append([])

        def training_step(self, batch: list[Tensor], _batch_idx: int) -> Tensor:
            self.rows[-1] += batch[0].int().tolist()
            return self.model(batch[0][:, None].float()).square().mean() * 1e-9

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-9)

    return Recorder()


def loader(kind: str) -> DataLoader[Any]:
    rows = TensorDataset(torch.arange(1001))
    if kind == "rows":
        return DataLoader(rows, batch_size=100, sampler=ClassBalancedSampler(LABELS, seed=7))
    batches = StratifiedBatchSampler(LABELS, batch_size=20, min_positives=5, seed=7)
    return DataLoader(rows, batch_sampler=batches)


def main(folder: str, kind: str, namespace: str) -> None:
    pl = import_module(namespace)
    module = make_recorder(pl)
    # use_distributed_sampler is left at its default, True: Lightning must see what it has.
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, loader(kind))
    used = trainer.train_dataloader
    sampler = used.sampler if kind == "rows" else used.batch_sampler
    record = {"sampler": type(sampler).__name__, "rows": module.rows}
    Path(folder, f"{trainer.global_rank}.json").write_text(json.dumps(record))
    torch.distributed.destroy_process_group()
