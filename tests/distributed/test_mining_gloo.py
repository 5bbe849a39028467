"""Mining on two ranks: each scores every second shard, and the book is that of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist
from two_ranks import spawn_two

from equipoise import Labels
from equipoise.mining import ArrayPool, MiningOptions, MistakeBook, mine_hard_negatives

pytestmark = pytest.mark.ddp
SHARD = 100


def pools() -> tuple[ArrayPool, ArrayPool]:
    made = []
    for seed, n in ((1, 1000), (2, 500)):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 2))
        y = (x[:, 0] + 0.6 * rng.normal(size=n) > 1.8).astype(int)
        made.append(ArrayPool(x, Labels.from_array(y, kind="multilabel"), batch_rows=50))
    return made[0], made[1]


def mine(out: Path, seen: list[int]) -> Any:
    def train(task: Any) -> Any:
        # The weighted mean of each side: the same on every rank.
        sides = [np.average(task.x[task.y == c], axis=0, weights=task.weights[task.y == c])
                 for c in (0, 1)]  # fmt: skip
        direction = sides[1] - sides[0]

        def scorer(x: Any) -> Any:
            seen.append(len(x))
            return x @ direction

        return scorer

    options = MiningOptions(rounds=2, patience=9, easy=0.5)
    return mine_hard_negatives(train, *pools(), options=options, out=out, shard_rows=SHARD)


def work(rank: int, world: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    try:
        seen: list[int] = []
        mined = mine(Path(folder, "out"), seen)
        mined.book.save(Path(folder, f"book-{rank}.parquet"))
        np.save(Path(folder, f"seen-{rank}.npy"), np.array(seen))
    finally:
        dist.destroy_process_group()


def test_two_ranks_write_the_book_of_one(tmp_path: Path) -> None:
    spawn_two(work, tmp_path)
    seen: list[int] = []
    alone = mine(tmp_path / "alone", seen)
    want = (alone.folder / "book.parquet").read_bytes()
    (together,) = (tmp_path / "out").iterdir()
    assert (together / "book.parquet").read_bytes() == want
    for rank in range(2):
        assert (tmp_path / f"book-{rank}.parquet").read_bytes() == want
    validation = len(pools()[1])
    negatives = sum(seen) - 3 * validation
    parts = [int(np.load(tmp_path / f"seen-{r}.npy").sum()) - 3 * validation for r in range(2)]
    assert sum(parts) == negatives == 2 * pools()[0].n_negative
    # 10 shards of 100 rows each round: 5 for each rank.
    assert max(parts) < 0.55 * negatives


SCRIPT = Path(__file__).with_name("mining_script.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(out: Path, devices: int, launcher: tuple[str, ...] = ()) -> MistakeBook:
    """Mine with networks that `fit` trains on so many ranks, and read the book."""
    blocked = ("SLURM", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(blocked)}
    # One more try where gloo could not connect, as it sometimes cannot on a busy machine.
    for again in (True, False):
        done = subprocess.run(
            [sys.executable, *launcher, str(SCRIPT), str(out), str(devices)],
            env={**keep, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if not (again and "connectFullMesh failed" in done.stderr):
            break
    assert done.returncode == 0, done.stderr
    (place,) = out.iterdir()
    return MistakeBook.load(place / "book.parquet")


@pytest.mark.slow
def test_networks_trained_on_two_ranks_make_the_same_mistakes(tmp_path: Path) -> None:
    alone, together = start(tmp_path / "one", 1), start(tmp_path / "two", 2, TORCHRUN)
    np.testing.assert_array_equal(together.rows, alone.rows)
    np.testing.assert_allclose(together.scores, alone.scores, atol=1e-5)
