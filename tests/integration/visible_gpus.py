"""What each process of `test_full_comparison` says it sees: imported there without torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["touched_after", "visible"]


def visible(_expected: str) -> tuple[str, bool]:
    """What a process sees; one of its own."""
    own = os.environ["CUDA_VISIBLE_DEVICES"]
    assert own in ("5", "7")
    return own, True


def touched_after(path: str, seconds: float) -> str:
    """Make a file after a while."""
    time.sleep(seconds)
    Path(path).touch()
    return path
