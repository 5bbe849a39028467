"""Two processes of the Hugging Face Trainer: one draw between them, one step of the whole batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from trainer_script import bare_accelerate, main, one_step, rows
from two_ranks import as_torchrun_starts_two

import equipoise as eq
import tiny_transformers as tiny
from equipoise.integrations.huggingface import training_labels
from equipoise.sampling import ClassBalancedSampler

pytestmark = pytest.mark.ddp


def test_two_processes_share_one_draw_and_take_one_step(tmp_path: Path) -> None:
    as_torchrun_starts_two(main, str(tmp_path))
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [world for world, _ in found] == [2, 2]
    data = rows()
    remedy = eq.remedy("class_balanced_sampling", training_labels(data, tiny.bert("Sequence", 3)))
    alone = remedy.sampler(seed=0)
    labels = np.array([row["labels"] for row in data])
    # 301 draws in batches of 25 are 13, and accelerate adds one so that both have seven.
    parts = [np.array(seen).reshape(2, 7, 25) for _, seen in found]
    for epoch in range(2):
        alone.set_epoch(epoch)
        drawn = list(alone)
        dealt = np.stack([part[epoch] for part in parts], axis=1).ravel()
        assert dealt[:301].tolist() == drawn
        for part in parts:
            share = np.bincount(labels[part[epoch].ravel()], minlength=3) / 175
            # A third of 175 draws, within four standard deviations.
            assert (np.abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / 175)).all()
    assert not (parts[0][0] == parts[0][1]).all()

    # 2 processes x 2 parts x 8 rows take the step of 32 rows in one process.
    steps = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole = one_step(tmp_path, 32, 1)
    start = dict(tiny.bert("Sequence", 3).named_parameters())
    moved = 0.0
    for name, value in whole.items():
        for step in steps:
            torch.testing.assert_close(step[name], value, atol=2e-6, rtol=1e-5)
        moved = max(moved, float((value - start[name].detach()).abs().max()))
    assert moved > 0.05


def test_accelerate_deals_out_a_sampler_that_does_not_shard_itself(tmp_path: Path) -> None:
    as_torchrun_starts_two(bare_accelerate, str(tmp_path))
    parts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    labels = np.repeat([0, 1], [950, 50])
    alone = ClassBalancedSampler(labels, seed=7)
    for epoch in range(2):
        alone.set_epoch(epoch)
        dealt = np.stack([np.array(part[epoch]).reshape(5, 100) for part in parts], axis=1)
        assert dealt.ravel().tolist() == list(alone)
        for part in parts:
            # Half of 500 draws, within four standard deviations.
            assert abs(labels[part[epoch]].sum() - 250) < 4 * np.sqrt(500) / 2
