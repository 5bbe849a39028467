"""Tuning 100 labels beside scikit-learn's tuner, and a rule on 20,000,000 rows of a file.

    python -m benchmarks.decisions_speed [--only tune,apply] [--out decisions.json]

scikit-learn tunes one label in the same process, by cross-validated thresholds on given scores;
its time is multiplied by the number of labels.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise import Labels, Scores, tune

APPLY_PROBE = """
import resource, time
import numpy as np
import polars as pl
from equipoise.artifacts import Correction, DecisionRule
from equipoise.artifacts.calibrator import Calibrator
from equipoise.studies.apply_file import apply_file
rule = DecisionRule("multilabel", tuple("ABCD"), Correction.identity("multilabel"),
                    Calibrator.identity(4), np.zeros(4), np.array([1.0, 0.0, -1.0, 2.0]), None,
                    "f1", "validation", {{}})
start = time.perf_counter()
apply_file(rule, "{path}", "{path}.out.parquet", score_kind="logits",
           columns=["zA", "zB", "zC", "zD"], id_column="id")
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    case: str
    unit: str
    value: float
    low: float
    high: float


def tuning() -> Iterator[Row]:
    """100 labels x 5,000 rows, cross-fitted."""
    rng = np.random.default_rng(2)
    share = np.exp(rng.uniform(np.log(5e-4), np.log(0.2), 100))
    y = (rng.random((5000, 100)) < share).astype(np.int8)
    z = 2 * rng.normal(size=y.shape) + 3 * y + np.log(share / (1 - share)) - 1
    val = Scores.from_arrays(Labels.from_array(y, kind="multilabel"), logits=z, split="val")
    ours, theirs = [], []
    common = int(np.argmax(share))
    for _ in range(3):
        start = time.perf_counter()
        tune(val)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        TunedThresholdClassifierCV(LogisticRegression(), scoring="f1").fit(
            z[:, [common]], y[:, common]
        )
        theirs.append(100 * (time.perf_counter() - start))
    ratio = np.array(theirs) / np.array(ours)
    yield Row("tune 100 x 5,000", "s", float(np.median(ours)), min(ours), max(ours))
    middle = float(np.median(ratio))
    yield Row("scikit-learn over ours", "times", middle, float(ratio.min()), float(ratio.max()))


def applying() -> Iterator[Row]:
    """20,000,000 x 4 from Parquet to Parquet, in a process of its own."""
    import polars as pl

    with tempfile.TemporaryDirectory() as folder:
        path, rng = Path(folder, "new.parquet"), np.random.default_rng(0)
        columns = {f"z{c}": rng.normal(size=20_000_000).astype(np.float32) for c in "ABCD"}
        pl.DataFrame({"id": np.arange(20_000_000), **columns}).write_parquet(path)
        del columns
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", APPLY_PROBE.format(path=path)],
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, peak = (float(x) for x in done.stdout.split())
    yield Row("apply 20,000,000 x 4", "s", seconds, seconds, seconds)
    yield Row("apply 20,000,000 x 4, peak", "GiB", peak, peak, peak)


PARTS = {"tune": tuning, "apply": applying}


COLUMNS = (Column("case", 28), Column("median (range)", 24, right=True), Column("unit", 6))


def cells(row: Row) -> list[str]:
    return [row.case, f"{row.value:.2f} ({row.low:.2f}-{row.high:.2f})", row.unit]


def introduce(conditions: Mapping[str, Any]) -> None:
    print_conditions(conditions)
    print()


def main(arguments: list[str] | None = None) -> None:
    run_parts("decisions_speed", PARTS, COLUMNS, cells, introduce, arguments)


if __name__ == "__main__":
    main()
