"""Two processes: rank and world size are found when iteration starts, not before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from two_ranks import spawn_two

from equipoise.sampling import ClassBalancedSampler, WeightedSampler

pytestmark = pytest.mark.ddp
LABELS = np.repeat([0, 1], [950, 51])


def work(rank: int, world: int, folder: str) -> None:
    balanced = ClassBalancedSampler(LABELS, seed=7)  # built before the group exists
    unsharded = WeightedSampler(np.ones(10), num_replicas=1, rank=0)
    assert len(balanced) == 1001
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    try:
        balanced.set_epoch(2)
        rows = list(balanced)
        assert len(rows) == len(balanced) == 501
        assert len(list(unsharded)) == 10
        Path(folder, f"{rank}.json").write_text(json.dumps(rows))
    finally:
        dist.destroy_process_group()


def test_two_ranks_slice_one_sequence(tmp_path: Path) -> None:
    spawn_two(work, tmp_path)
    parts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    alone = ClassBalancedSampler(LABELS, seed=7)
    alone.set_epoch(2)
    together = np.stack(parts, axis=1).ravel()
    assert together[:1001].tolist() == list(alone)
    shares = [LABELS[part].mean() for part in parts]
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)
