"""A run that is killed and started again ends with the weights of one that was left alone."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_run import run
from safetensors.torch import load_file

from equipoise import Trial
from forked import statuses

SLOW = pytest.mark.slow
NEVER = 10_000
CALLS = 4 * (6 + 3)
"""Of the loss in one run: 6 training and 3 validation batches in each of 4 epochs."""


def start(folder: Path, after: int, workers: int = 0, method: str = "none") -> int:
    """Run `fit` in a process of its own and return how that ended."""
    (status,) = statuses(run, (folder, after, workers, method))
    assert status in (0, -signal.SIGKILL)
    return status


def finished(folder: Path) -> Path:
    (trial,) = folder.iterdir()
    return trial


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, NEVER) == 0
    return finished(folder)


# Drawn once: numpy.random.default_rng(5).choice(36, 10, replace=False); with the seconds between
# checkpoints even numbers are resumed at an epoch's start, odd ones at any step.
POINTS = (5, 14, 23, *(pytest.param(n, marks=SLOW) for n in (2, 9, 17, 19, 24, 29, 33)))


@pytest.mark.parametrize("after", POINTS)
def test_killed_once_ends_with_the_same_weights(
    tmp_path: Path, undisturbed: Path, after: int
) -> None:
    assert start(tmp_path, after) == -signal.SIGKILL
    assert not list(tmp_path.rglob("trial.json"))
    assert start(tmp_path, NEVER + after % 2) == 0
    assert_same(finished(tmp_path), undisturbed)


def test_killed_again_and_again(tmp_path: Path, undisturbed: Path) -> None:
    # At most 5 calls at a time, with a checkpoint after every step.
    starts = 1
    while start(tmp_path, 5) != 0:
        starts += 1
        assert starts < CALLS
    assert starts > 4
    assert_same(finished(tmp_path), undisturbed)


def test_killed_with_processes_that_load_data(tmp_path: Path, undisturbed: Path) -> None:
    assert start(tmp_path, 13, workers=2) == -signal.SIGKILL
    assert start(tmp_path, NEVER, workers=2) == 0
    assert_same(finished(tmp_path), undisturbed)


STAGES = CALLS + 3 * (6 + 3)
"""Calls of both losses of crt: the last layer has three epochs of its own."""


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    assert start(folder, STAGES, method="crt") == 0
    return finished(folder)


# In the first stage, at its last step of all, at the first of the second, and within that.
IN_STAGES = (
    *(15, CALLS, CALLS + 5),
    *(pytest.param(n, marks=SLOW) for n in (20, CALLS - 1, CALLS + 14, STAGES - 1)),
)


@pytest.mark.parametrize("after", IN_STAGES)
def test_killed_in_either_stage_ends_with_the_same_weights(
    tmp_path: Path, two_stages: Path, after: int
) -> None:
    assert start(tmp_path, after, method="crt") == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "first_stage.ckpt").exists() == (after >= CALLS)
    # What is left to do fits into fewer calls: nothing that was finished is done again.
    rest = STAGES - CALLS if after >= CALLS else STAGES
    assert start(tmp_path, rest + (after - rest) % 2, method="crt") == 0
    assert_same(finished(tmp_path), two_stages)
    assert not list(left.glob("*.ckpt"))


def test_a_late_treatment_is_gone_on_with(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert start(whole, NEVER, method="drs") == 0
    # In the fourth and last epoch, the one that is treated.
    assert start(tmp_path / "cut", 31, method="drs") == -signal.SIGKILL
    assert start(tmp_path / "cut", NEVER + 1, method="drs") == 0
    assert_same(finished(tmp_path / "cut"), finished(whole))


def test_a_finished_trial_is_not_trained_again(undisturbed: Path) -> None:
    before = (undisturbed / "trial.json").stat().st_mtime_ns
    assert start(undisturbed.parent, 0) == 0  # any call of the loss would kill it
    assert (undisturbed / "trial.json").stat().st_mtime_ns == before


def assert_same(one: Path, two: Path) -> None:
    assert one.name == two.name
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    have, want = (load_file(f / "model.safetensors") for f in (one, two))
    for key, value in want.items():
        assert torch.equal(have[key], value), key
    have_trial, want_trial = Trial.load(one), Trial.load(two)
    assert have_trial.history == want_trial.history
    assert have_trial.histogram == want_trial.histogram
    assert [*have_trial.label_history] == [*want_trial.label_history]
    for part in ("val", "test"):
        np.testing.assert_array_equal(
            have_trial.scores[part].values, want_trial.scores[part].values
        )
