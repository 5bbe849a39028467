"""`fit` on two processes takes the same steps as on one, and reads every row once to evaluate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fit_script import main
from safetensors.torch import load_file
from two_ranks import as_torchrun_starts_two

from equipoise import Trial

pytestmark = pytest.mark.ddp
SCRIPT = Path(__file__).with_name("fit_script.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

Found = tuple[dict[str, torch.Tensor], Trial, list[dict[str, Any]]]
"""Weights, trial and what each rank wrote down."""


def read(out: Path) -> Found:
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    ranks = [torch.load(file, weights_only=True) for file in sorted(out.glob("rank*.pt"))]
    return load_file(folder / "model.safetensors"), Trial.load(folder), ranks


def on_two_ranks(out: Path, kind: str, accumulation: int = 1) -> Found:
    """Run on two ranks started as torchrun starts them, by the server of forks."""
    out.mkdir()
    as_torchrun_starts_two(main, str(out), kind, "1", str(accumulation))
    return read(out)


def started(
    out: Path, kind: str, devices: int, accumulation: int = 1, launcher: tuple[str, ...] = ()
) -> Found:
    """Run as a script of its own, by Lightning's launcher or the given one."""
    blocked = ("SLURM", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(blocked)}
    out.mkdir()
    # One more try where gloo could not connect, as it sometimes cannot on a busy machine.
    for again in (True, False):
        done = subprocess.run(
            [sys.executable, *launcher, str(SCRIPT), str(out), kind, str(devices),
             str(accumulation)],
            env={**keep, "OMP_NUM_THREADS": "1"},
            cwd=out,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )  # fmt: skip
        if not (again and "connectFullMesh failed" in done.stderr):
            break
    assert done.returncode == 0, done.stderr
    return read(out)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What one process comes to, this one."""
    found = {}
    threads = torch.get_num_threads()
    for kind in ("labels", "classes", "weights"):
        out = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            main(str(out), kind, "1", "1")
        found[kind] = read(out)
    torch.set_num_threads(threads)
    return found


@pytest.mark.parametrize("kind", ["labels", "classes", "weights"])
def test_two_ranks_equal_one_process(tmp_path: Path, kind: str, alone: dict[str, Found]) -> None:
    assert_equal(on_two_ranks(tmp_path / "two", kind, accumulation=2), alone[kind])


@pytest.mark.slow
def test_two_ranks_that_lightning_starts_equal_one_process(
    tmp_path: Path, alone: dict[str, Found]
) -> None:
    assert_equal(started(tmp_path / "two", "labels", 2, accumulation=2), alone["labels"])


def assert_equal(together: Found, single: Found) -> None:
    have, two, ranks = together
    want, one, (noted,) = single
    assert len(ranks) == 2
    for key, value in want.items():
        torch.testing.assert_close(have[key], value, rtol=0, atol=1e-6)
    # 20 global batches, each the same rows on one process and on two.
    shares = [np.array(rank["rows"][:80]).reshape(10, 8) for rank in ranks]
    both = np.concatenate(shares, axis=1)
    first = np.array(noted["rows"][:160]).reshape(10, 16)
    assert (np.sort(both, 1) == np.sort(first, 1)).all()
    for have_row, want_row in zip(two.history, one.history, strict=True):
        assert have_row == pytest.approx(want_row, abs=1e-6)
    assert two.histogram == one.histogram
    for part in ("val", "test"):
        np.testing.assert_allclose(two.scores[part].values, one.scores[part].values, atol=1e-6)
        assert two.scores[part].ids.tolist() == one.scores[part].ids.tolist()
        for rank in ranks:  # every rank returns the whole trial
            np.testing.assert_array_equal(rank[part].numpy(), two.scores[part].values)


def test_every_row_is_read_once_to_evaluate(tmp_path: Path) -> None:
    _, _, ranks = on_two_ranks(tmp_path / "two", "labels")
    read = np.concatenate([rank["rows"] for rank in ranks])
    times = np.bincount(read, minlength=195)
    # Training rows in both epochs; validation rows after each and at the end; test rows once.
    assert times.tolist() == [2] * 160 + [3] * 21 + [1] * 14


@pytest.mark.slow
def test_torchrun_trains_with_the_same_command(tmp_path: Path, alone: dict[str, Found]) -> None:
    want, *_ = alone["labels"]
    have, _, ranks = started(tmp_path / "two", "labels", 1, launcher=TORCHRUN)
    assert len(ranks) == 2
    for key, value in want.items():
        torch.testing.assert_close(have[key], value, rtol=0, atol=1e-6)
