"""Two gloo processes for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch.multiprocessing as mp

__all__ = ["spawn_two"]


def spawn_two(work: Callable[[int, int, str], None], folder: Path) -> None:
    """Run ``work(rank, 2, folder)`` in two processes that meet at ``folder/rendezvous``.

    Where gloo itself cannot connect the two, which on a busy machine happens now and then before
    ``work`` has done anything, they are started once more.
    """
    try:
        mp.spawn(work, args=(2, str(folder)), nprocs=2)
    except mp.ProcessRaisedException as error:
        if "connectFullMesh failed" not in str(error):
            raise
        (folder / "rendezvous").unlink(missing_ok=True)
        mp.spawn(work, args=(2, str(folder)), nprocs=2)
