"""Mining that is killed at any moment, and started again, writes the same mistake book."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from killed_mining import run

from forked import statuses

FILES = ("book.parquet", "training.parquet", "val.parquet", "rule.json", "mining.json")
NEVER = 10_000


def start(folder: Path, after: int, event: str = "file", restart: bool = True) -> int:
    """Run mining in a process of its own and return how that ended."""
    (status,) = statuses(run, (folder, after, event, restart))
    assert status in (0, -signal.SIGKILL)
    return status


def contents(folder: Path) -> dict[str, bytes]:
    (place,) = folder.iterdir()
    return {name: (place / name).read_bytes() for name in FILES}


def kill_at_each(folder: Path, event: str, step: int, restart: bool) -> int:
    """Kill one run after so many events, for every number there is; return how many."""
    assert start(folder / "whole", NEVER, event, restart) == 0
    want, after = contents(folder / "whole"), 0
    while True:
        place = folder / str(after)
        if start(place, after, event, restart) == 0:
            return after
        assert not list(place.glob("*/mining.json"))
        assert start(place, NEVER, event, restart) == 0
        assert contents(place) == want, f"killed after {after}"
        assert not list(place.rglob("*.tmp")) or event == "file"
        after += step


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_files_of_every_round(tmp_path: Path, step: int) -> None:
    # 3 trainings of 4 files, 2 rounds of 3 shards and 3 files, and 6 files at the end.
    assert kill_at_each(tmp_path, "file", step, restart=True) == -(-30 // step) * step


@pytest.mark.parametrize("step", [7, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_in_training_and_scoring_where_rounds_go_on(tmp_path: Path, step: int) -> None:
    assert kill_at_each(tmp_path, "call", step, restart=False) > 20


def test_killed_again_and_again(tmp_path: Path) -> None:
    assert start(tmp_path / "whole", NEVER) == 0
    starts = 1
    while start(tmp_path / "cut", 6) != 0:
        starts += 1
        assert starts < 30
    assert starts > 3
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
