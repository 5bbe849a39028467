"""Seeds for the processes that load data."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_worker(worker_id: int) -> None:
    """Seed Python's and NumPy's global generators from torch's, for libraries that use them.

    Hand it to a DataLoader as ``worker_init_fn``, with ``generator=torch.Generator()
    .manual_seed(seed)``: each worker and epoch then has its own numbers, the same in each run.

    Args:
        worker_id: Number of the worker; torch's seed depends on it already.

    Note:
        Changes the global state of the process that calls it, which is meant to be a worker.

    Example:
        >>> loader = torch.utils.data.DataLoader(
        ...     [1, 2], worker_init_fn=seed_worker, generator=torch.Generator().manual_seed(0)
        ... )
        >>> len(loader)
        2
    """
    del worker_id
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the global state is what is to be seeded
