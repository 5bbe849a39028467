"""What several processes share: who is who, sums, and rows put together again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def place() -> tuple[int, int]:
    """Return the rank and the number of ranks, (0, 1) outside a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def collective_device() -> torch.device:
    """Return the device that the process group can exchange."""
    if place()[1] > 1 and torch.distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def seed_device(seed: int, device: torch.device) -> None:
    """Seed torch's global state on the CPU and on one device.

    ``torch.manual_seed`` does more: it notes a traceback for each kind of device that is not in
    use, which costs more than a small training step and is kept until the process ends.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def sum_over_ranks(values: Tensor, device: torch.device) -> Tensor:
    """Return the sum over all ranks, on ``device``."""
    total = values.to(device)
    if place()[1] > 1:
        torch.distributed.all_reduce(total)
    return total


def gather_rows(
    parts: Sequence[Tensor], n_rows: int, width: int, device: torch.device
) -> NDArray[np.float64]:
    """Return all rows, (n_rows, width), where rank r holds rows r, r + ranks, ... in ``parts``."""
    _, world = place()
    mine = torch.cat(list(parts)) if parts else torch.empty(0, width, dtype=torch.float64)
    if world == 1:
        return mine.double().cpu().numpy()
    padded = torch.zeros(-(-n_rows // world), width, dtype=torch.float64, device=device)
    padded[: len(mine)] = mine.to(device)
    every = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(every, padded)
    return torch.stack(every, 1).flatten(0, 1)[:n_rows].cpu().numpy()
