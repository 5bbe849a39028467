"""Drawing an epoch beside torch.multinomial, 100,000,000 rows in memory, and raking.

    python -m benchmarks.sampling_speed [--only draw,rank,memory,raking,resampling] [--out FILE]

Ratios are the peer's time over ours, median and range over interleaved repetitions in one process;
above 1 means that Equipoise is faster. Seconds are given where a bound is stated in seconds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise import Labels, Split
from equipoise.artifacts import TrainingRows
from equipoise.sampling import (
    ClassBalancedSampler,
    WeightedSampler,
    mlsmote,
    mlsol,
    rake,
    smote,
    target_rates,
)

MEMORY_PROBE = """
import resource
import numpy as np
from equipoise.sampling import ClassBalancedSampler, WeightedSampler
n = 100_000_000
if {weighted}:
    sampler = WeightedSampler(np.random.default_rng(0).random(n))
else:
    sampler = ClassBalancedSampler((np.random.default_rng(0).random(n) < 0.01).astype(np.int64))
count = 0
for row in sampler:
    count += 1
    if count == 1000:
        break
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    part: str
    case: str
    unit: str
    value: float
    low: float
    high: float


def ratios(part: str, case: str, ours: object, peer: object, times: int) -> Row:
    """Time both sides in turn and return peer / ours."""
    found = []
    for turn in range(times):
        seconds = {}
        for side in ((ours, peer), (peer, ours))[turn % 2]:
            start = time.perf_counter()
            side()  # type: ignore[operator]
            seconds[side] = time.perf_counter() - start
        found.append(seconds[peer] / seconds[ours])
    return Row(part, case, "times faster", float(np.median(found)), min(found), max(found))


def seconds(part: str, case: str, call: object, times: int) -> Row:
    """Return the seconds of a call."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        found.append(time.perf_counter() - start)
    return Row(part, case, "s", float(np.median(found)), min(found), max(found))


def draw() -> Iterator[Row]:
    """One epoch of 10,000,000 rows with replacement, shuffled, against torch.multinomial."""
    n = 10_000_000
    weights = np.random.default_rng(0).random(n) ** 4
    sampler, tensor = WeightedSampler(weights), torch.from_numpy(weights)
    random = torch.Generator().manual_seed(0)

    def peer() -> None:
        torch.multinomial(tensor, n, replacement=True, generator=random)

    yield ratios("draw", "weighted, 10,000,000 rows", sampler.global_rows, peer, 5)
    classes = (np.random.default_rng(0).random(n) < 0.01).astype(np.int64)
    balanced = ClassBalancedSampler(classes)
    yield ratios("draw", "class-balanced, 10,000,000 rows", balanced.global_rows, peer, 5)
    # torch.multinomial refuses more than 2^24 categories.
    yield seconds("draw", "weighted, 2^24 + 1 rows", over_the_limit(), 3)


def over_the_limit() -> object:
    return WeightedSampler(np.ones(2**24 + 1)).global_rows


def rank() -> Iterator[Row]:
    """A rank's share against the whole epoch, both as Python integers."""
    weights = np.random.default_rng(0).random(2_000_000)
    whole = WeightedSampler(weights, sharding="none")
    share = WeightedSampler(weights, num_replicas=8, rank=3)
    yield ratios(
        "rank",
        "1 of 8 ranks against all, 2,000,000 rows",
        lambda: list(share),
        lambda: list(whole),
        5,
    )


def memory() -> Iterator[Row]:
    """Peak memory of drawing from 100,000,000 rows, in a process of its own."""
    for name, weighted in (("weighted", True), ("class-balanced", False)):
        code = MEMORY_PROBE.format(weighted=weighted)
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        peak = float(done.stdout)
        yield Row("memory", f"{name}, 100,000,000 rows", "GiB", peak, peak, peak)


def raking() -> Iterator[Row]:
    """Raking to given rates."""
    rng = np.random.default_rng(0)
    few = (rng.random((224_000, 4)) < (0.085, 0.29, 0.17, 0.469)).astype(np.int8)
    many = (rng.random((100_000, 80)) < np.geomspace(0.002, 0.3, 80)).astype(np.int8)
    for name, hot in (("224,000 x 4", few), ("100,000 x 80", many)):
        target = target_rates(hot, "sqrt")
        yield seconds("raking", f"{name}, square-root rates", partial(rake, hot, target), 3)


def resampling() -> Iterator[Row]:
    """Synthetic rows for 5,000 rare rows among 200,000 x 64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200_000, 64))
    hot = np.zeros((200_000, 1), dtype=np.int8)
    hot[rng.choice(200_000, 5000, replace=False)] = 1
    split = Split.from_parts(range(200_000), [], [], n_rows=200_000, seed=0, method="all")
    one = TrainingRows.of(Labels.from_array(hot, kind="multilabel"), split)
    classes = TrainingRows.of(Labels.from_array(hot[:, 0], kind="multiclass"), split)
    yield seconds("resampling", "SMOTE, 200,000 x 64", partial(smote, classes, x), 1)
    # One label: MLSMOTE knows no minority label among one, so a frequent one stands beside it.
    two = np.column_stack([hot[:, 0], rng.random(200_000) < 0.4]).astype(np.int8)
    both = TrainingRows.of(Labels.from_array(two, kind="multilabel"), split)
    yield seconds("resampling", "MLSMOTE, 200,000 x 64", partial(mlsmote, both, x), 1)
    yield seconds("resampling", "MLSOL, 200,000 x 64", partial(mlsol, one, x), 1)


PARTS = {"draw": draw, "rank": rank, "memory": memory, "raking": raking, "resampling": resampling}


COLUMNS = (Column("case", 42), Column("median (range)", 24, right=True), Column("unit", 12))


def cells(row: Row) -> list[str]:
    return [row.case, f"{row.value:.2f} ({row.low:.2f}-{row.high:.2f})", row.unit]


def introduce(conditions: Mapping[str, Any]) -> None:
    print_conditions(conditions)
    print()


def main(arguments: list[str] | None = None) -> None:
    run_parts("sampling_speed", PARTS, COLUMNS, cells, introduce, arguments)


if __name__ == "__main__":
    main()
