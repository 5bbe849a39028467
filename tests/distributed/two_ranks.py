"""Two gloo processes for a test, forked from one that has loaded torch and Lightning."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp
from torch.distributed import TCPStore

import forked  # noqa: F401  (says what the server of forks loads)

__all__ = ["as_torchrun_starts_two", "spawn_two"]


def spawn_two(work: Callable[[int, int, str], None], folder: Path) -> None:
    """Run ``work(rank, 2, folder)`` in two processes that meet at ``folder/rendezvous``.

    Where gloo itself cannot connect the two, which on a busy machine happens now and then before
    ``work`` has done anything, they are started once more.
    """
    try:
        _start(work, (2, str(folder)))
    except mp.ProcessRaisedException as error:
        if "connectFullMesh failed" not in str(error):
            raise
        (folder / "rendezvous").unlink(missing_ok=True)
        _start(work, (2, str(folder)))


def as_torchrun_starts_two(work: Callable[..., None], *arguments: Any) -> None:
    """Run ``work(*arguments)`` in two processes with what torchrun sets for each of its two.

    As under torchrun, the store at which they meet is that of the process which starts them.
    """
    for again in (True, False):
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        try:
            _start(_rank_of_torchrun, (store.port, work, arguments))
            break
        except mp.ProcessRaisedException as error:
            if not (again and "connectFullMesh failed" in str(error)):
                raise


def _start(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    mp.start_processes(work, args=arguments, nprocs=2, start_method="forkserver")


def _rank_of_torchrun(
    rank: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    for name in [k for k in os.environ if k.startswith("SLURM")]:
        del os.environ[name]
    os.environ |= {
        "LOCAL_RANK": str(rank),
        "RANK": str(rank),
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    work(*arguments)
