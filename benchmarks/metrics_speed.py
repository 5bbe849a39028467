"""Metrics of many rows and labels: time, memory and intervals, beside the peers in one process.

    python -m benchmarks.metrics_speed [--only large,wide,bootstrap] [--out metrics.json]

Sides run in turn after a warm-up. Ratios are worked out within one repetition; the table states
the median and the range. For `large` the ratio is our time divided by that of one sort of the
float32 scores (below 2 wanted); elsewhere it is the peer's time divided by ours.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.machine import Column, print_setup, run_parts
from equipoise.metrics import (
    boyd_interval,
    influence_interval,
    macro_influence,
    measure_labels,
    ratio_influence,
)
from equipoise.metrics.influence import ranking_influences
from equipoise.metrics.intervals import gap_bootstrap
from equipoise.metrics.ranks import rank_labels, rank_positives

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One number: a ratio to a peer, or seconds or a share on its own."""

    part: str
    case: str
    against: str
    value: float
    low: float
    high: float
    unit: str


def seconds(sides: dict[str, Call], *, times: int) -> dict[str, np.ndarray]:
    """Return the seconds of every repetition, sides interleaved and each first as often."""
    for call in sides.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(times):
        names = list(sides)
        for name in names[repetition % len(names) :] + names[: repetition % len(names)]:
            start = time.perf_counter()
            sides[name]()
            found[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in found.items()}


def row(part: str, case: str, against: str, values: np.ndarray, unit: str = "x") -> Row:
    low, middle, high = (float(np.quantile(values, q)) for q in (0.0, 0.5, 1.0))
    return Row(part, case, against, middle, low, high, unit)


def draw(n: int, width: int, prevalence: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return truth int8 and probabilities float32 of binormal labels."""
    rng = np.random.default_rng(0)
    share = np.geomspace(*prevalence, width)
    y = (rng.random((n, width)) < share).astype(np.int8)
    z = rng.normal(size=y.shape) + 1.5 * y + np.log(share / (1 - share)) - 1
    return y, (1 / (1 + np.exp(-z))).astype(np.float32)


def _peak(call: Call) -> float:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)


def _scikit_learn(y: np.ndarray, p: np.ndarray) -> None:
    from sklearn import metrics as oracle

    for truth, score in zip(y.T, p.T, strict=True):
        oracle.average_precision_score(truth, score)
        oracle.roc_auc_score(truth, score)
        precision, recall, _ = oracle.precision_recall_curve(truth, score)
        (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
        oracle.brier_score_loss(truth, score)


def large() -> Iterator[Row]:
    """1,000,000 x 10: AP, AUROC, best F1 with thresholds and Brier against one sort."""
    for prevalence in ((0.005, 0.3), (0.1, 0.5)):
        y, p = draw(1_000_000, 10, prevalence)
        ours = partial(measure_labels, y, p, probabilities=True)
        found = seconds({"": ours, "sort": partial(np.sort, p, axis=0)}, times=7)
        case = f"1,000,000 x 10, prevalence {prevalence[0]:g} to {prevalence[1]:g}"
        yield row("large", case, "one sort of the scores", found[""] / found["sort"])
        size = y.nbytes + p.nbytes
        peak = np.array([(_peak(ours) + size) / size])
        yield row("large", f"{case}, peak memory", "the input, itself counted", peak)
    y, p = draw(1_000_000, 1, (0.05, 0.05))
    sides = {
        "": partial(measure_labels, y, p, probabilities=True),
        "scikit-learn": partial(_scikit_learn, y, p),
    }
    found = seconds(sides, times=3)
    yield row(
        "large", "1,000,000 x 1", "scikit-learn, four calls", found["scikit-learn"] / found[""]
    )


def _intervals(y: np.ndarray, p: np.ndarray, cuts: np.ndarray) -> None:
    """AP, AUROC, F1 and Brier of every label with intervals, and their macro averages."""
    totals: list[list[object]] = [[], [], [], []]
    for column in range(y.shape[1]):
        truth, score = y[:, column], p[:, column].astype(np.float64)
        ranks = rank_positives(truth, score)
        ap, auroc = ranking_influences(truth, ranks, ranks.cells(score))
        flag, yes = score >= cuts[column], truth == 1
        f1 = ratio_influence(2.0 * (yes & flag), 1.0 * yes + flag)
        brier = ratio_influence((score - yes) ** 2, np.ones(len(score)))
        if 0 < ranks.n_positive < 50:
            boyd_interval(ap.value, ranks.n_positive, n=len(score))
        for total, part in zip(totals, (ap, auroc, f1, brier), strict=True):
            influence_interval(part)
            total.append(part)
    for total in totals:
        influence_interval(macro_influence(total, len(y)))  # type: ignore[arg-type]


def wide() -> Iterator[Row]:
    """20,000 x 500: all metrics, intervals of all, gap bootstrap where it serves."""
    y, p = draw(20_000, 500, (0.0005, 0.3))
    ours = partial(measure_labels, y, p, probabilities=True)
    found = seconds({"": ours, "scikit-learn": partial(_scikit_learn, y, p)}, times=2)
    yield row("wide", "20,000 x 500, all four", "scikit-learn", found["scikit-learn"] / found[""])
    yield row("wide", "20,000 x 500, all four", "", found[""], "s")
    cuts = measure_labels(y, p, probabilities=True).threshold
    found = seconds({"": partial(_intervals, y, p, cuts)}, times=3)
    yield row("wide", "intervals of all, and macro", "", found[""], "s")
    ranks = [r for r in rank_labels(y, p) if 10 <= r.n_positive <= 200]
    found = seconds({"": lambda: [gap_bootstrap(r, n_resamples=1000) for r in ranks]}, times=2)
    case = f"gap bootstrap, B = 1,000, {len(ranks)} labels of 10-200"
    yield row("wide", case, "", found[""], "s")


def bootstrap() -> Iterator[Row]:
    """1,000 replicates of AP, 20,000 rows, one label, against a loop over scikit-learn."""
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    for positives in (40, 200, 1000):
        y = np.zeros(20_000, dtype=np.int8)
        y[:positives] = 1
        score = rng.normal(size=y.size) + 1.5 * y

        def ours(y: np.ndarray = y, score: np.ndarray = score) -> object:
            return gap_bootstrap(rank_positives(y, score), n_resamples=1000)

        def loop(y: np.ndarray = y, score: np.ndarray = score) -> object:
            rows = np.random.default_rng(1).integers(0, y.size, (1000, y.size))
            return [average_precision_score(y[r], score[r]) for r in rows]

        found = seconds({"": ours, "loop": loop}, times=2)
        case = f"1,000 replicates, {positives} positives in 20,000"
        yield row("bootstrap", case, "scikit-learn loop", found["loop"] / found[""])


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "large": large,
    "wide": wide,
    "bootstrap": bootstrap,
}


COLUMNS = (Column("case", 52), Column("against", 25), Column("value", 24, right=True))


def cells(one: Row) -> list[str]:
    span = f"{one.value:.2f} {one.unit} ({one.low:.2f}-{one.high:.2f})"
    return [one.case, one.against, span]


def introduce(conditions: Mapping[str, Any]) -> None:
    print_setup(conditions, threads=False)
    print("\nmedian (range) over repetitions\n")


def main(arguments: list[str] | None = None) -> None:
    run_parts("metrics_speed", PARTS, COLUMNS, cells, introduce, arguments, __doc__)


if __name__ == "__main__":
    main()
