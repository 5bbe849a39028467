"""A run of `fit` that `test_resume` starts, kills and starts again."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from equipoise import Labels, Split, TrainingOptions, Trial, fit, remedy
from equipoise.data import ArrayDataset
from equipoise.training import Deferred, SecondStage

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


def run(out: Path, after: int, method: str = "none", workers: int = 0) -> Trial:
    """Train; minutes between checkpoints so small that each step may write one."""
    torch.set_num_threads(1)
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
    return fit(network, data, split, mortal, options=options, out=out)


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


def serve() -> None:
    """Run what each line of stdin asks for in a process of its own; answer with its status.

    Torch and Lightning are imported once, before the first line.
    """
    import lightning.pytorch  # noqa: F401

    for line in sys.stdin:
        folder, after, workers, method = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(Path(folder), after, method, workers)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
