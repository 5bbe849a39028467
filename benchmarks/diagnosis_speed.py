"""Diagnosis of 1,000,000 rows x 100 labels with groups and a split: seconds and peak memory.

Run: python -m benchmarks.diagnosis_speed [--out FILE]
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise import Labels, Split
from equipoise.diagnosis import Material, run_checks

COLUMNS = (Column("what", 40), Column("seconds", 9, True), Column("peak GiB", 9, True),
           Column("found", 30))  # fmt: skip
ROWS, LABELS = 1_000_000, 100


@dataclass(frozen=True)
class Row:
    """One diagnosis; memory is the peak of the process, the labels included."""

    what: str
    seconds: float
    peak_gib: float
    found: str


def peak() -> float:
    """GiB that this process has held at most, where the system says so."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    return float("nan")


def labels_alone() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    prevalence = np.geomspace(2e-6, 0.4, LABELS)
    hot = np.zeros((ROWS, LABELS), dtype=np.int8)
    for i, p in enumerate(prevalence):
        hot[rng.random(ROWS) < p, i] = 1
    labels = Labels.from_array(hot, kind="multilabel", groups=np.arange(ROWS) // 3)
    order = rng.permutation(ROWS // 3) if ROWS % 3 == 0 else rng.permutation(ROWS // 3 + 1)
    part = np.argsort(order)[np.arange(ROWS) // 3] < 0.8 * order.size
    split = Split.from_parts(np.flatnonzero(part), [], np.flatnonzero(~part), n_rows=ROWS, seed=0,
                             method="hand")  # fmt: skip
    for what, given in (("labels", {}), ("labels and a grouped split", {"split": split})):
        begin = time.perf_counter()
        results = run_checks(Material(labels, **given))
        seconds = time.perf_counter() - begin
        found = " ".join(r.code for r in results if r.status == "found")
        yield Row(f"{what}, {ROWS:,} x {LABELS}", round(seconds, 2), round(peak(), 2), found)


def cells(row: Row) -> list[str]:
    return [row.what, f"{row.seconds:.2f}", f"{row.peak_gib:.2f}", row.found]


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    run_parts("diagnosis_speed", {"labels": labels_alone}, COLUMNS, cells, print_conditions,
              arguments, __doc__)  # fmt: skip


if __name__ == "__main__":
    main()
