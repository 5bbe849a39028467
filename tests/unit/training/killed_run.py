"""A run of `fit` that `test_resume` starts, kills and starts again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from equipoise import Labels, Split, TrainingOptions, fit, remedy
from equipoise.data import ArrayDataset
from equipoise.training import Deferred, SecondStage, folder

N = 120
STEPS_PER_EPOCH = 6


def make_data() -> ArrayDataset:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, 5)).astype(np.float32)
    hot = (x[:, :3] + 0.5 * rng.normal(size=(N, 3)) > 0.8).astype(int)
    return ArrayDataset(x, Labels.from_array(hot, kind="multilabel"))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )


def run(out: Path, after: int, workers: int = 0, method: str = "none") -> None:
    """Train; minutes between checkpoints so small that each step may write one."""
    folder._pictures = lambda _: {}
    # As in any script; a child of the server of forks would ask for a server of its own.
    multiprocessing.set_start_method("fork", force=True)
    data = make_data()
    split = Split.from_parts(
        np.arange(72), np.arange(72, 100), np.arange(100, N), n_rows=N, seed=0, method="hand"
    )
    settings = {"epochs": 3} if method == "crt" else {}
    treated = remedy(method, data.labels[split.train], **settings)
    options = TrainingOptions(
        epochs=4,
        batch_size=12,
        optimizer="sgd",
        lr=0.05,
        warmup=1.0,
        ema=0.9,
        accelerator="cpu",
        checkpoint_minutes=1e-6 if after % 2 else 10.0,
        num_workers=workers,
    )
    counted = _CountedLoss(treated.loss, after)
    mortal = replace(treated, loss=counted)
    late = treated.schedule
    if isinstance(late, Deferred) and late.loss is not None:
        mortal = replace(mortal, schedule=replace(late, loss=_CountedLoss(late.loss, after)))
    stage = treated.second_stage
    if isinstance(stage, SecondStage):
        second = replace(stage.remedy, loss=_CountedLoss(stage.remedy.loss, after))
        mortal = replace(mortal, second_stage=replace(stage, remedy=second))
    fit(network, data, split, mortal, options=options, out=out)


class _CountedLoss(nn.Module):
    calls = 0
    """Of all losses of this process together: of both stages."""

    def __init__(self, loss: nn.Module, after: int) -> None:
        super().__init__()
        self.loss, self.after = loss, after

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        _CountedLoss.calls += 1
        if _CountedLoss.calls > self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        value: Tensor = self.loss(logits, target)
        return value
