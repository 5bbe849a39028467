"""Overlap of 100,000 boxes with 1,000, beside one pass over the whole matrix.

    python -m benchmarks.mining_speed [--only iou,memory,label] [--out FILE]

Seconds are medians and ranges over repetitions; GiB is the peak of a process of its own, NumPy,
torch and the boxes included (Linux). The plain pass is the usual one-line formula on (N, M) arrays.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise.mining import best_iou, box_iou, label_proposals

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


PARTS = {"iou": iou, "memory": memory, "label": label}

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
