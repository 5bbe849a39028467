"""What goes wrong in the middle of `fit`: one line, and nothing that was finished is lost."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from equipoise import Labels, Split, TrainingOptions, fit, remedy
from equipoise.data import ArrayDataset
from equipoise.errors import TrainingError
from equipoise.models import MLP

N = 60
SPLIT = Split.from_parts(
    np.arange(40), np.arange(40, 50), np.arange(50, N), n_rows=N, seed=0, method="hand"
)


class Rows(ArrayDataset):
    """A data set that does something when a training row is read for the so-maniest time."""

    reads = 0
    at = -1
    how: str = ""

    def __getitem__(self, index: int) -> Any:
        if index < 40:
            self.reads += 1
        if self.reads == self.at:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.EIO, "Input/output error", f"image{index}.jpg")
        return super().__getitem__(index)


def make_rows() -> Rows:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    return Rows(x, Labels.from_array((x[:, :2] > 0.5).astype(int), kind="multilabel"))


class Greedy(MLP):
    """A network that asks for too much memory at a given call in training."""

    calls = 0
    at = -1

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            type(self).calls += 1
            if type(self).calls == self.at:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")
        return super().forward(x)


def train(out: Path, rows: Rows, model: Any = None, **given: Any) -> Any:
    options = TrainingOptions(epochs=4, batch_size=10, accelerator="cpu", **given)
    treated = remedy("none", rows.labels[SPLIT.train])
    make = model or (lambda: MLP(4, 2))
    return fit(make, rows, SPLIT, treated, options=options, out=out)


def check_kept_and_finish(out: Path, seen: str) -> None:
    """One line; the checkpoint stands; the same call ends as an undisturbed one."""
    assert "\n" not in seen
    assert "the same call goes on from there" in seen
    (folder,) = out.iterdir()
    assert not list(folder.glob(".*.tmp"))
    assert not (folder / "trial.json").exists()
    trial = train(out, make_rows())
    whole = train(out / "whole", make_rows())
    one, two = (load_file(p / t.folder_name / "model.safetensors") for p, t in
                ((out, trial), (out / "whole", whole)))  # fmt: skip
    assert all(torch.equal(one[key], two[key]) for key in two)
    assert not list(folder.glob("*.ckpt"))


def test_an_unreadable_file_in_the_third_epoch(tmp_path: Path) -> None:
    rows = make_rows()
    rows.at, rows.how = 95, "raise"
    with pytest.raises(TrainingError, match=r"image\d+\.jpg") as caught:
        train(tmp_path, rows)
    check_kept_and_finish(tmp_path, str(caught.value))


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    rows = make_rows()
    rows.at, rows.how = 15, "kill"
    with pytest.raises(
        TrainingError, match=r"process that loads data died.*num_workers=0"
    ) as caught:
        train(tmp_path, rows, num_workers=1)
    assert "\n" not in str(caught.value)


def test_a_batch_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    Greedy.calls, Greedy.at = 0, 7
    torch.manual_seed(0)
    with pytest.raises(TrainingError, match=r"does not fit.*accumulation=2") as caught:
        train(tmp_path, make_rows(), model=lambda: Greedy(4, 2))
    check_kept_and_finish(tmp_path, str(caught.value))


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = pl.Trainer.save_checkpoint, [0]

    def full(self: pl.Trainer, path: Any, *more: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "save_checkpoint", full)
        with pytest.raises(TrainingError, match="disk is full") as caught:
            train(tmp_path, make_rows())
    check_kept_and_finish(tmp_path, str(caught.value))


def test_a_full_disk_at_the_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = sys.modules["equipoise.training.fitting"]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(home, "write_trial", full)
        with pytest.raises(TrainingError, match="disk is full") as caught:
            train(tmp_path, make_rows())
    check_kept_and_finish(tmp_path, str(caught.value))


class Late(nn.Module):
    """A loss that is NaN from a call on."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        factor = float("nan") if self.calls >= self.at else 1.0
        return nn.functional.binary_cross_entropy_with_logits(logits, target) * factor


def test_a_loss_that_becomes_nan_keeps_what_was_before(tmp_path: Path) -> None:
    from dataclasses import replace

    rows = make_rows()
    treated = replace(remedy("none", rows.labels[SPLIT.train]), loss=Late(12))
    options = TrainingOptions(epochs=4, batch_size=10, accelerator="cpu")
    with pytest.raises(TrainingError, match="loss of 'none' is not finite in epoch 2"):
        fit(lambda: MLP(4, 2), rows, SPLIT, treated, options=options, out=tmp_path)
    (folder,) = tmp_path.iterdir()
    kept = torch.load(folder / "resume.ckpt", weights_only=True)
    assert [row["epoch"] for row in kept["equipoise"]["record"]["history"]] == [0, 1]
    assert all(torch.isfinite(v).all() for v in kept["state_dict"].values())
