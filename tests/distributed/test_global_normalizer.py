"""Two processes with unequal micro-batches take the step of one process with all rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from two_ranks import spawn_two

from equipoise.losses import WeightedCrossEntropyLoss

pytestmark = pytest.mark.ddp
WEIGHT = [0.5, 1.0, 10.0]
PARTS = ((5, 2), (1, 4))  # rows of each micro-batch of each rank


def rows() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(12, 4, generator=g), torch.randint(0, 3, (12,), generator=g)


def work(rank: int, world: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    try:
        x, y = rows()
        start = sum(map(sum, PARTS[:rank]))
        own = slice(start, start + sum(PARTS[rank]))
        batches = list(zip(x[own].split(PARTS[rank]), y[own].split(PARTS[rank]), strict=True))
        loss = WeightedCrossEntropyLoss(WEIGHT, normalizer="global")
        weight = torch.zeros(4, 3, requires_grad=True)
        total = loss.weight_total(*(target for _, target in batches))
        for inputs, target in batches:
            loss(inputs @ weight, target, weight_total=total).backward()
        dist.all_reduce(weight.grad)  # DDP averages over ranks
        torch.save(weight.grad / world, Path(folder, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()


def test_the_step_is_that_of_one_process(tmp_path: Path) -> None:
    spawn_two(work, tmp_path)
    x, y = rows()
    weight = torch.zeros(4, 3, requires_grad=True)
    torch.nn.functional.cross_entropy(x @ weight, y, torch.tensor(WEIGHT)).backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, weight.grad)
