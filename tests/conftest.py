"""What all tests share: a seeded generator and the hypothesis profile."""

from __future__ import annotations

import os

# Before torch is loaded: test processes side by side, each with threads of its own that wait for
# one another, are thirty times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260)
