"""What each of the two processes of `test_torchrun` runs: a bare loop, no trainer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from equipoise.sampling import StratifiedBatchSampler, WeightedSampler, rake

HOT = (np.random.default_rng(0).random((1000, 2)) < [0.3, 0.04]).astype(int)


def main(folder: str) -> None:
    rows = TensorDataset(torch.arange(1000), torch.from_numpy(HOT).float())
    weighted = WeightedSampler(rake(HOT, [0.3, 0.25]).weights, num_samples=2000, seed=3)
    stratified = StratifiedBatchSampler(HOT, batch_size=20, min_positives=4, seed=3)
    loaders = {
        "rows": DataLoader(rows, batch_size=50, sampler=weighted),
        "batches": DataLoader(rows, batch_sampler=stratified),
    }
    torch.distributed.init_process_group("gloo")
    model = DistributedDataParallel(nn.Linear(1, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    seen: dict[str, list[list[list[int]]]] = {name: [] for name in loaders}
    for name, sampler in (("rows", weighted), ("batches", stratified)):
        for epoch in range(2):
            sampler.set_epoch(epoch)
            seen[name].append([])
            for index, target in loaders[name]:
                optimizer.zero_grad()
                (model(index[:, None].float()) - target).square().mean().backward()
                optimizer.step()
                seen[name][-1].append(index.tolist())
    del model
    torch.distributed.barrier()
    rank = torch.distributed.get_rank()
    Path(folder, f"{rank}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
    # At a normal exit gloo's threads abort the process now and then ("terminate called without an
    # active exception"), also after destroy_process_group.
    os._exit(0)
