"""What torchrun starts twice for `test_mining_gloo`: mining with networks that `fit` trains."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from equipoise import Labels, TrainingOptions
from equipoise.mining import ArrayPool, FitTrainer, MiningOptions, mine_hard_negatives
from equipoise.models import MLP


def pools() -> list[ArrayPool]:
    made = []
    for seed, n in ((1, 400), (2, 301)):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 2))
        y = (x[:, 0] + 0.5 * rng.normal(size=n) > 1.6).astype(int)
        made.append(ArrayPool(x, Labels.from_array(y, kind="multilabel"), batch_rows=50))
    return made


def main(out: str, devices: str) -> None:
    torch.set_num_threads(1)
    options = TrainingOptions(
        epochs=3, batch_size=16, lr=0.05, accelerator="cpu", devices=int(devices), keep="last",
        precision="64-true",
    )  # fmt: skip
    trainer = FitTrainer(lambda: MLP(2, 1, hidden=(4,)), options=options, progress=False)
    if devices != "1":
        dist.init_process_group("gloo")
    try:
        mine_hard_negatives(
            trainer, *pools(), options=MiningOptions(rounds=1), out=Path(out), shard_rows=100
        )
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
