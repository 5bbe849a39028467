"""Two processes under torchrun with a bare loop: positives per rank, against the promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.ddp, pytest.mark.slow]
SCRIPT = Path(__file__).with_name("torchrun_script.py")
HOT = (np.random.default_rng(0).random((1000, 2)) < [0.3, 0.04]).astype(int)


def test_each_rank_gets_the_promised_positives(tmp_path: Path) -> None:
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *run, str(SCRIPT), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    drawn = np.array([[np.concatenate(e) for e in rank["rows"]] for rank in ranks])
    assert drawn.shape == (2, 2, 1000)
    rates = HOT[drawn].mean(2)
    # Four standard errors of 1,000 draws at the requested rates.
    assert (np.abs(rates - [0.3, 0.25]) < 4 * np.sqrt([0.21, 0.1875]) / np.sqrt(1000)).all()
    assert not (drawn[0] == drawn[1]).all()
    assert not (drawn[:, 0] == drawn[:, 1]).all()
    batches = np.array([rank["batches"] for rank in ranks])
    assert batches.shape == (2, 2, 25, 20)
    assert (HOT[batches].sum(3) >= 4).all()
    assert {len(set(batch)) for batch in batches.reshape(-1, 20).tolist()} == {20}
