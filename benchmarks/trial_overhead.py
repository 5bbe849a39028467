"""Seconds that a trial of a full comparison takes outside `fit`: rows, plan, hash, locks.

Run: python -m benchmarks.trial_overhead [--out FILE]
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise.studies import network
from equipoise.studies.plan import make_plan
from equipoise.studies.run import train_batch
from equipoise.studies.schema import Study, parse_study

COLUMNS = (Column("trial", 44), Column("median s", 9, True), Column("range", 15, True))
ROWS, FEATURES, SEEDS = 20_000, 50, 5


@dataclass(frozen=True)
class Row:
    """Seconds outside `fit`."""

    trial: str
    median: float
    low: float
    high: float


def study(folder: Path) -> Study:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    hot = (x[:, :4] + rng.normal(size=(ROWS, 4)) > 1.5).astype(int)
    columns = {f"x{i}": x[:, i] for i in range(FEATURES)}
    columns |= {name: hot[:, i] for i, name in enumerate("abcd")}
    pl.DataFrame(columns).write_parquet(folder / "rows.parquet")
    return parse_study(
        {
            "data": {"path": str(folder / "rows.parquet"), "labels": list("abcd")},
            "model": "mlp",
            "arms": ["none", "pos_weight"],
            "seeds": SEEDS,
            "training": {"epochs": 1, "accelerator": "cpu"},
        }
    )


def overhead() -> Iterator[Row]:
    """Every trial in this process; the plan, which reads the table, shared by all."""
    inside, real = 0.0, network.fit

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal inside
        begin = time.perf_counter()
        made = real(*given, **named)
        inside = time.perf_counter() - begin
        return made

    outside = []
    with tempfile.TemporaryDirectory() as place, mock.patch.object(network, "fit", timed):
        whole = study(Path(place))
        begin = time.perf_counter()
        plan = make_plan(whole)
        jobs = plan.missing(place)
        planned = time.perf_counter() - begin
        for batch in plan.batches(jobs, place):
            begin = time.perf_counter()
            train_batch(plan, batch, Path(place))
            outside.append(time.perf_counter() - begin - inside)
    parts = {"the plan of all, the table read": [planned], "each trial": outside}
    for name, values in parts.items():
        yield Row(name, statistics.median(values), min(values), max(values))


def cells(row: Row) -> list[str]:
    return [row.trial, f"{row.median:.3f}", f"{row.low:.3f}-{row.high:.3f}"]


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    run_parts("trial_overhead", {"overhead": overhead}, COLUMNS, cells, print_conditions,
              arguments, __doc__)  # fmt: skip


if __name__ == "__main__":
    main()
