"""Two Lightning processes: the sampler stays in place and each rank gets its share of positives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.sampling import ClassBalancedSampler, StratifiedBatchSampler

pytestmark = pytest.mark.ddp
LABELS = np.repeat([0, 1], [950, 51])
SCRIPT = Path(__file__).with_name("lightning_script.py")


def train(folder: Path, kind: str) -> list[dict[str, Any]]:
    blocked = ("SLURM", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(blocked)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), kind],
        env={**keep, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_lightning_leaves_the_sampler_alone(tmp_path: Path) -> None:
    ranks = train(tmp_path, "rows")
    assert [rank["sampler"] for rank in ranks] == ["ClassBalancedSampler"] * 2
    alone = ClassBalancedSampler(LABELS, seed=7)
    for epoch in range(2):
        rows = [rank["rows"][epoch] for rank in ranks]
        assert [len(part) for part in rows] == [501, 501]
        alone.set_epoch(epoch)
        assert np.stack(rows, axis=1).ravel()[:1001].tolist() == list(alone)
        for part in rows:
            # Half of 501 draws, within four standard deviations.
            assert abs(LABELS[part].sum() - 250.5) < 4 * np.sqrt(501) / 2
    assert ranks[0]["rows"][0] != ranks[0]["rows"][1]


def test_lightning_keeps_what_a_batch_sampler_promises(tmp_path: Path) -> None:
    ranks = train(tmp_path, "batches")
    assert [rank["sampler"] for rank in ranks] == ["StratifiedBatchSampler"] * 2
    alone = StratifiedBatchSampler(LABELS, batch_size=20, min_positives=5, seed=7)
    for epoch in range(2):
        rows = [np.array(rank["rows"][epoch]).reshape(-1, 20) for rank in ranks]
        assert [len(part) for part in rows] == [25, 25]
        alone.set_epoch(epoch)
        assert np.stack(rows, axis=1).reshape(-1, 20).tolist() == list(alone)
        for part in rows:
            assert (LABELS[part].sum(1) >= 5).all()
            assert (LABELS[part].sum(1) <= 10).all()
    assert ranks[0]["rows"][0] != ranks[0]["rows"][1]
