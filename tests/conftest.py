"""What all tests share: a seeded generator and the hypothesis profile."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

# Before torch is loaded: test processes side by side, each with threads of its own that wait for
# one another, are thirty times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("quick", derandomize=True, deadline=None, max_examples=20)
settings.register_profile("thorough", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("quick")

PICTURES = {
    "equipoise.report.charts._svg": lambda *_: "<svg></svg>",
}
if find_spec("torch") is not None:  # nothing is trained without
    PICTURES["equipoise.training.folder._pictures"] = lambda *_: {"curves.svg": "<svg></svg>\n"}


@pytest.fixture(scope="module", autouse=True)
def _blank_pictures(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Leave pictures blank: drawn, they are half the time of a small training and its report.

    They are drawn in the tests of reports and of the browser, and where `pictures` is asked for.
    """
    with pytest.MonkeyPatch.context() as patch:
        drawn = {name: resolve_name(name) for name in PICTURES}
        for name, blank in PICTURES.items():
            if not {"report", "browser"}.intersection(request.path.parts):
                patch.setattr(name, blank)
        yield drawn


@pytest.fixture
def pictures(_blank_pictures: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw them all the same."""
    for name, draw in _blank_pictures.items():
        monkeypatch.setattr(name, draw)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260)


def pytest_collection_finish() -> None:
    """Leave what was collected, a million objects, out of every later search for garbage."""
    gc.freeze()
