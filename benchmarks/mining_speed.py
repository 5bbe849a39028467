"""Overlap of 100,000 boxes with 1,000, and a pool of 5,000,000 rows x 64 scored and mined.

    python -m benchmarks.mining_speed [--only iou,memory,label,pool,large] [--out FILE]

Seconds are medians and ranges over repetitions; GiB is the peak of a process of its own, NumPy,
torch and the boxes included (Linux). The plain pass is the usual one-line formula on (N, M) arrays.

The pool lies on disk, as a memory map (.npy, float32) and as Parquet; a network of 64 hidden units
scores it, and the hardest 10,000 rows are selected, at most 10 of each of 50,000 groups. GiB is
what anonymous memory of that process grew by since the network stood: labels and groups are in it,
pages of the memory map, which the system takes back when it needs them, are not. "large" is one
whole round over a memory map by a fixed scorer, beside the labels.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise.mining import best_iou, box_iou, label_proposals

POOL_ROWS, POOL_COLUMNS, POOL_GROUPS = 5_000_000, 64, 50_000
POOL_PROBE = """
from benchmarks.mining_speed import mine_pool
mine_pool({form!r}, {folder!r}, {rows})
"""

# The high-water mark of /proc is that of the process alone; ru_maxrss is handed on by its parent.
PROBE = """
from pathlib import Path
from benchmarks.mining_speed import {work}, boxes
{work}(boxes(100_000, 0), boxes(1_000, 1))
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 2**20)
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


def boxes(n: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 1000, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 300, (n, 2))], axis=1).astype(np.float32)


def plain_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    first, second = ((x[:, 2:] - x[:, :2]).prod(1) for x in (a, b))
    return shared / (first[:, None] + second - shared)


def seconds(part: str, case: str, call: Callable[[], object], times: int) -> Row:
    """Return the seconds of a call."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return Row(part, case, "s", float(np.median(found)), min(found), max(found))


def iou() -> Iterator[Row]:
    """The whole matrix, and the best of each row alone."""
    many, few = boxes(100_000, 0), boxes(1_000, 1)
    case = "100,000 x 1,000"
    yield seconds("iou", f"box_iou, {case}", partial(box_iou, many, few), 5)
    yield seconds("iou", f"best_iou, {case}", partial(best_iou, many, few), 5)
    yield seconds("iou", f"plain pass, {case}", partial(plain_iou, many, few), 3)


def memory() -> Iterator[Row]:
    """Peak memory of each."""
    for work in ("box_iou", "best_iou", "plain_iou"):
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", PROBE.format(work=work)],
            capture_output=True,
            text=True,
            check=True,
        )
        peak = float(done.stdout)
        yield Row("memory", f"{work}, 100,000 x 1,000", "GiB", peak, peak, peak)


def label() -> Iterator[Row]:
    """Labels of 100,000 proposals of one image with 1,000 true boxes of 20 classes."""
    many, few = boxes(100_000, 0), boxes(1_000, 1)
    classes = np.random.default_rng(2).integers(1, 21, 1_000)
    per_class = dict(zip(range(1, 21), np.linspace(0.4, 0.7, 20), strict=True))
    one = partial(label_proposals, many, few, classes, take_best=True)
    several = partial(label_proposals, many, few, classes, positive_iou=per_class)
    yield seconds("label", "one threshold, each truth takes its best", one, 3)
    yield seconds("label", "a threshold for each of 20 classes", several, 3)


def write_pool(folder: Path, rows: int) -> None:
    """Write the pool a piece at a time, as x.npy and as x.parquet."""
    import polars as pl

    step, parts = 250_000, folder / "parts"
    parts.mkdir()
    mapped = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, POOL_COLUMNS))
    for start in range(0, rows, step):
        rng = np.random.default_rng(start)
        n = min(step, rows - start)
        x = rng.standard_normal((n, POOL_COLUMNS), dtype=np.float32)
        mapped[start : start + n] = x
        y = (rng.random(n) < 1e-4).astype(np.int8)
        np.save(parts / f"y-{start:09d}.npy", y)
        frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(POOL_COLUMNS)} | {"y": y})
        group = (np.arange(start, start + n) * POOL_GROUPS // rows).astype(np.int32)
        frame.with_columns(image=group).write_parquet(folder / f"x-{start:09d}.parquet")
    mapped.flush()
    y = np.concatenate([np.load(part) for part in sorted(parts.iterdir())])
    np.save(folder / "y.npy", y)


def anonymous_bytes() -> int:
    """Return what the process holds that is no page of a file (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def mine_pool(form: str, folder: str, rows: int) -> None:
    """Score and select, and print seconds of both and the growth of memory; runs by itself."""
    import threading

    import torch

    from equipoise import Labels
    from equipoise.mining import ArrayPool, ParquetPool, score_pool
    from equipoise.mining.pools import Pool
    from equipoise.mining.selection import find_hard
    from equipoise.mining.trainer import NetworkScorer
    from equipoise.models import MLP

    place = Path(folder)
    torch.manual_seed(0)
    scorer = NetworkScorer(MLP(POOL_COLUMNS, 1), torch.device("cpu"))
    scorer(np.zeros((1024, POOL_COLUMNS), dtype=np.float32))
    before, peak, stop = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    pool: Pool
    if form == "memory map":
        y = np.load(place / "y.npy")
        groups = np.arange(rows) * POOL_GROUPS // rows
        labels = Labels.from_array(y, kind="multilabel", groups=groups)
        pool = ArrayPool(place / "x.npy", labels)
    else:
        pool = ParquetPool(place / "x-*.parquet", label="y", group_column="image")
    start = time.perf_counter()
    scored = score_pool(lambda: scorer, pool, place / form)
    middle = time.perf_counter()
    hard = find_hard(
        scored.shards, np.arange(1000), pool.groups, n_left=pool.n_negative, top_k=10_000,
        threshold=None, cap=10, ceiling=0.0001,
    )  # fmt: skip
    end = time.perf_counter()
    stop.set()
    watcher.join()
    assert hard.rows.size == 10_000
    print(middle - start, end - middle, (peak[0] - before) / 2**30)


def pool() -> Iterator[Row]:
    """A pool on disk, scored and mined in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_pool(Path(folder), POOL_ROWS)
        for form in ("memory map", "Parquet"):
            code = POOL_PROBE.format(form=form, folder=folder, rows=POOL_ROWS)
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            scored, selected, grown = (float(word) for word in done.stdout.split())
            case = f"{form}, {POOL_ROWS:,} x {POOL_COLUMNS}"
            yield Row("pool", f"score, {case}", "s", scored, scored, scored)
            yield Row("pool", f"select, {case}", "s", selected, selected, selected)
            yield Row("pool", f"memory, {case}", "GiB", grown, grown, grown)


def mine_large(folder: str, rows: int) -> None:
    """Mine one round from a memory map by a fixed scorer, and print seconds and memory."""
    import threading

    from equipoise import Labels
    from equipoise.mining import ArrayPool, MiningOptions, mine_hard_negatives

    mapped = Path(folder, "x.npy")
    y = (np.random.default_rng(1).random(rows) < 2e-4).astype(np.int8)
    pool = ArrayPool(mapped, Labels.from_array(y, kind="multilabel"))
    x = np.random.default_rng(2).standard_normal((20_000, 4), dtype=np.float32)
    known = Labels.from_array((np.arange(20_000) % 50 == 0).astype(int), kind="multilabel")
    weights = np.array([1, -1, 0.5, 0.2], dtype=np.float32)
    before, peak, stop = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    options = MiningOptions(rounds=1)
    mine_hard_negatives(
        lambda _task: lambda batch: batch @ weights, pool, ArrayPool(x, known), options=options
    )
    seconds_taken = time.perf_counter() - start
    stop.set()
    watcher.join()
    print(seconds_taken, (peak[0] - before) / 2**30)


def large() -> Iterator[Row]:
    """One round over 50,000,000 rows of 4 numbers, in a process of its own."""
    rows, step = 50_000_000, 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        mapped = np.lib.format.open_memmap(Path(folder, "x.npy"), "w+", np.float32, (rows, 4))
        for start in range(0, rows, step):
            rng = np.random.default_rng(start)
            mapped[start : start + step] = rng.standard_normal((step, 4), dtype=np.float32)
        mapped.flush()
        code = f"from benchmarks.mining_speed import mine_large; mine_large({folder!r}, {rows})"
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        taken, grown = (float(word) for word in done.stdout.split())
        case = f"{rows:,} x 4"
        yield Row("large", f"one round, {case}", "s", taken, taken, taken)
        yield Row("large", f"memory, {case}", "GiB", grown, grown, grown)


PARTS = {"iou": iou, "memory": memory, "label": label, "pool": pool, "large": large}

COLUMNS = (Column("case", 42), Column("median (range)", 24, right=True), Column("unit", 5))


def cells(row: Row) -> list[str]:
    return [row.case, f"{row.value:.2f} ({row.low:.2f}-{row.high:.2f})", row.unit]


def introduce(conditions: Mapping[str, Any]) -> None:
    print_conditions(conditions)
    print()


def main(arguments: list[str] | None = None) -> None:
    run_parts("mining_speed", PARTS, COLUMNS, cells, introduce, arguments)


if __name__ == "__main__":
    main()
