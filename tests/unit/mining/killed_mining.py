"""A run of mining that `test_mining_resume` starts, kills and starts again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mining_data import make_pools, train_logistic

from equipoise.mining import MiningOptions, MiningTask, mine_hard_negatives


def run(out: Path, after: int, event: str, restart: bool) -> None:
    """Mine, and die by SIGKILL at the given event: a file put in place, or a call."""
    seen = {"left": after}

    def count(kind: str) -> None:
        if kind == event:
            seen["left"] -= 1
            if seen["left"] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    replace = Path.replace

    def counted_replace(self: Path, target: Any) -> Any:
        count("file")
        return replace(self, target)

    def train(task: MiningTask) -> Any:
        count("call")
        score = train_logistic(task)
        # Goes on from what was there: the sum of all scorers so far.
        before = task.previous

        def scorer(x: Any) -> Any:
            count("call")
            return score(x) if before is None else score(x) + 0.5 * before(x)

        return scorer

    Path.replace = counted_replace  # type: ignore[method-assign,assignment]
    pool, validation = make_pools(1500, groups=100, batch_rows=400)
    options = MiningOptions(
        rounds=2, cap=2, easy=0.5, ceiling=0.002, restart=restart, patience=9, top_k=40
    )
    mine_hard_negatives(train, pool, validation, options=options, seed=3, out=out, shard_rows=600)
