"""Global state around foreign code: keep it, compare it, put it back."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def guest() -> Iterator[None]:
    """Put random states, grad mode and default dtype back; keep foreign warnings quiet."""
    before = global_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
        torch.set_grad_enabled(before[3])
        torch.set_default_dtype(before[4])


def global_state() -> tuple[Any, ...]:
    """Return what :func:`changed_state` compares and :func:`guest` puts back."""
    return (
        torch.get_rng_state(),
        np.random.get_state(legacy=True),  # noqa: NPY002
        random.getstate(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
    )


def changed_state(before: tuple[Any, ...], after: tuple[Any, ...]) -> list[str]:
    """Return the names of global states that differ."""
    numpy_same = np.array_equal(before[1][1], after[1][1]) and before[1][2] == after[1][2]
    same = {
        "torch's random state": torch.equal(before[0], after[0]),
        "NumPy's random state": bool(numpy_same),
        "Python's random state": before[2] == after[2],
        "the grad mode": before[3] == after[3],
        "the default dtype": before[4] == after[4],
    }
    return [name for name, unchanged in same.items() if not unchanged]


def seed_globals(seed: int) -> None:
    """Seed the generators that foreign code may draw from (those of the CPU)."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
