"""What each of the two processes of `test_trainer_gloo` runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset
from transformers import DataCollatorWithPadding

import equipoise as eq
import tiny_transformers as tiny
from equipoise.integrations.huggingface import RemedyTrainer, training_labels
from equipoise.losses import WeightedCrossEntropyLoss
from equipoise.sampling import ClassBalancedSampler
from equipoise.training import Remedy

WEIGHTS = [1.0, 3.0, 9.0]


def rows(n: int = 301) -> list[dict[str, Any]]:
    words, traits = tiny.texts(n, 0)
    classes = np.where(traits[:, 0] == 1, 2, traits[:, 1]).tolist()
    return [{**row, "row": i} for i, row in enumerate(tiny.encoded(words, classes))]


def one_step(folder: Path, size: int, parts: int) -> dict[str, Any]:
    """The weights after one step of SGD on 32 rows in order, over their weights."""
    model, data = tiny.bert("Sequence", 3), rows(32)
    loss = WeightedCrossEntropyLoss(WEIGHTS, normalizer="weights")
    trainer = RemedyTrainer(
        Remedy("own", loss, loss.correction(), sampler=InOrder),
        model,
        tiny.arguments(
            folder,
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=parts,
            optim="sgd",
            learning_rate=1.0,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
        ),
        train_dataset=data,
        data_collator=DataCollatorWithPadding(tiny.tokenizer()),
    )
    trainer.train()
    return {name: value.detach().clone() for name, value in model.named_parameters()}


class InOrder:
    """The 32 rows as they come."""

    def __init__(self, *, seed: int, sharding: str) -> None:
        assert sharding == "none"
        self.seed = seed

    def __iter__(self) -> Any:
        return iter(range(32))

    def __len__(self) -> int:
        return 32

    def set_epoch(self, epoch: int) -> None:
        """Every epoch is alike."""


def bare_accelerate(folder: str) -> None:
    """Which of 1,000 rows this process is dealt in two epochs of a loop of one's own."""
    accelerator = Accelerator(cpu=True)
    sampler = ClassBalancedSampler(np.repeat([0, 1], [950, 50]), seed=7, sharding="none")
    data = TensorDataset(torch.arange(1000))
    loader = accelerator.prepare(DataLoader(data, batch_size=100, sampler=sampler))
    seen = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        seen.append([row for (batch,) in loader for row in batch.tolist()])
    Path(folder, f"{accelerator.process_index}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


def main(folder: str) -> None:
    data, model = rows(), tiny.bert("Sequence", 3)
    remedy = eq.remedy("class_balanced_sampling", training_labels(data, model))
    seen: list[int] = []
    pad = DataCollatorWithPadding(tiny.tokenizer())

    def collate(batch: list[dict[str, Any]]) -> Any:
        seen.extend(row["row"] for row in batch)
        return pad([{k: v for k, v in row.items() if k != "row"} for row in batch])

    trainer = RemedyTrainer(
        remedy,
        model,
        tiny.arguments(
            Path(folder),
            num_train_epochs=2,
            per_device_train_batch_size=25,
            remove_unused_columns=False,
        ),
        train_dataset=data,
        data_collator=collate,
    )
    trainer.train()
    rank = trainer.args.process_index
    Path(folder, f"{rank}.json").write_text(json.dumps([trainer.args.world_size, seen]))
    torch.save(one_step(Path(folder), 8, 2), Path(folder, f"{rank}.pt"))
    torch.distributed.destroy_process_group()
