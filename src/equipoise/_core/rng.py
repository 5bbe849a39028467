"""Seeds to generators: one seed at the edge, independent streams inside, global state untouched."""

from __future__ import annotations

import numpy as np

from equipoise._core.checks import to_integer
from equipoise._core.fingerprint import digest


def _entropy(seed: int, stream: tuple[str | int, ...]) -> list[int]:
    whole = to_integer("seed", seed)
    words = [whole & 0xFFFFFFFF, whole >> 32 & 0xFFFFFFFF]
    return words + [int(digest(str(part))[:8], 16) for part in stream]


def generator(seed: int, *stream: str | int) -> np.random.Generator:
    """Return the generator of a named stream of ``seed``; other streams are independent of it."""
    return np.random.default_rng(_entropy(seed, stream))


def child_seed(seed: int, *stream: str | int) -> int:
    """Return a 63-bit seed for a library that takes an int."""
    state = np.random.SeedSequence(_entropy(seed, stream)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
