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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a fixture of their file run in one worker, so that it is made once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


def _shares(item: pytest.Item) -> bool:
    known = getattr(item, "_fixtureinfo", None)
    made = known.name2fixturedefs.values() if known is not None else ()
    return any(found[-1].scope == "module" for found in made if found)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260)
