"""What one or two processes of `test_fit_ranks` run: `fit` on one global batch after another."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equipoise import Labels, Split, TrainingOptions, fit, remedy
from equipoise.data import ArrayDataset
from equipoise.losses import WeightedCrossEntropyLoss
from equipoise.models import MLP

N, TRAIN = 195, 160


class Noting(ArrayDataset):
    """Writes down which rows are read, in the order of reading."""

    rows: list[int]

    def __getitem__(self, index: int) -> Any:
        self.rows.append(int(index))
        return super().__getitem__(index)


def make_data(kind: str) -> Noting:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, 5))
    noisy = x[:, :3] + 0.5 * rng.normal(size=(N, 3))
    if kind == "labels":
        hot = (noisy > 0.8).astype(int)
        hot[rng.random(hot.shape) < 0.3] = -1
        labels = Labels.from_array(hot, kind="multilabel")
    else:
        labels = Labels.from_array((noisy - [0, 1, 1]).argmax(1), kind="multiclass")
    data = Noting(x, labels)
    data.rows = []
    return data


def main(out: str, kind: str, devices: str, accumulation: str) -> None:
    torch.set_num_threads(1)
    data = make_data(kind)
    # Odd numbers of validation and test rows, which two ranks cannot share alike.
    split = Split.from_parts(
        np.arange(TRAIN), np.arange(TRAIN, TRAIN + 21), np.arange(TRAIN + 21, N),
        n_rows=N, seed=0, method="hand",
    )  # fmt: skip
    treated = remedy("none", data.labels[split.train])
    if kind == "weights":
        loss = WeightedCrossEntropyLoss([0.2, 1.0, 5.0], normalizer="weights")
        treated = replace(treated, loss=loss)
    options = TrainingOptions(
        epochs=2,
        batch_size=16,
        lr=0.02,
        clip=0.2,
        ema=0.9,
        keep="last",
        precision="64-true",
        accelerator="cpu",
        devices=int(devices),
        accumulation=int(accumulation),
    )
    torch.manual_seed(0)
    trial = fit(MLP(5, 3, hidden=(6,)), data, split, treated, options=options, out=out)
    rank = int(os.environ.get("LOCAL_RANK", 0))
    scores: dict[str, Tensor] = {p: torch.from_numpy(s.values) for p, s in trial.scores.items()}
    torch.save({"rows": data.rows, **scores}, Path(out, f"rank{rank}.pt"))
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
