"""Wide labels: 100,000 rows x 20,000 labels with 5 positives a row, from diagnosis to evaluation.

Run: python -m benchmarks.wide_labels [--only line,labels,splits] [--out FILE]

The line may hold 4 GB of memory of its own (RLIMIT_DATA): a step that wants more fails.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import csr_array

from benchmarks.machine import Column, print_conditions, run_parts
from equipoise import Labels, Scores, diagnose, evaluate, stratified_split, tune
from equipoise.decisions import TopK
from equipoise.labels import class_weights, pos_weights
from equipoise.sampling import class_balanced_weights

COLUMNS = (Column("step", 44), Column("seconds", 8, True), Column("cpu s", 8, True),
           Column("peak GB", 8, True),
           Column("what came of it", 46))  # fmt: skip
ROWS, LABELS, PER_ROW, MEMORY = 100_000, 20_000, 5, 4 * 10**9
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One step; memory is the peak of the process so far, libraries included.

    Seconds by the clock, and of the processor: of all threads, and without those of others.
    """

    step: str
    seconds: float
    cpu_seconds: float
    peak_gb: float
    result: str


def timed(step: str, work: Callable[[], T], say: Callable[[T], str]) -> tuple[T, Row]:
    """Do a step, and say how long it took and what came of it."""
    begin, cpu = time.perf_counter(), time.process_time()
    made = work()
    seconds, used = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return made, Row(step, round(seconds, 2), round(used, 2), round(peak, 2), say(made))


def table(n: int, width: int, seed: int = 0) -> csr_array:
    """Return (n, width) with a long tail: 5 draws a row, the r-th label as 1 / (r + 10)^0.8."""
    rng = np.random.default_rng(seed)
    share = 1.0 / (np.arange(width) + 10) ** 0.8
    drawn = rng.choice(width, size=(n, PER_ROW), p=share / share.sum())
    rows = np.repeat(np.arange(n), PER_ROW)
    made = csr_array((np.ones(rows.size, dtype=np.int8), (rows, drawn.ravel())), shape=(n, width))
    made.sum_duplicates()
    made.data[:] = 1
    return made


def score(labels: Labels, split: Any, seed: int) -> Scores:
    """Return logits as float32: noise around -9, and 7 more where a label is present."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((len(labels), labels.num_classes), dtype=np.float32)
    logits *= 1.5
    logits -= 9.0
    found = labels.entries.present
    logits[found.rows, found.columns] += 7.0
    return Scores.from_arrays(labels, logits=logits, split=split)


def line() -> Iterator[Row]:
    """Diagnose, split, weigh, tune the best k, evaluate; what the scores cost is said apart."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, before[1]))
    begin, cpu = time.perf_counter(), time.process_time()
    raw = table(ROWS, LABELS)
    size = f"{ROWS:,} x {LABELS:,}"
    labels, row = timed(
        f"Labels.from_array, {size}",
        lambda: Labels.from_array(raw, kind="multilabel", ids=np.arange(ROWS)),
        lambda made: f"{made.counts.sum():,} positives",
    )
    yield row
    _, row = timed("diagnose", lambda: diagnose(labels), lambda f: " ".join(x.code for x in f))
    yield row
    split, row = timed(
        "stratified_split, 70/15/15",
        lambda: stratified_split(labels),
        lambda made: "/".join(f"{n:,}" for n in made.sizes.values()),
    )
    yield row

    def weigh() -> tuple[Any, ...]:
        train = labels[split.train]
        return (
            class_weights(train, zero_counts="ignore"),
            pos_weights(train, zero_counts="ignore"),
            class_balanced_weights(train),
        )

    yield timed("class, positive and row weights", weigh, lambda w: f"{len(w[2]):,} rows")[1]
    held: dict[str, Scores] = {}

    def fill(part: Any, seed: int) -> Row:
        held.clear()  # one table of scores at a time: 1.2 GB
        work = lambda: held.setdefault(part, score(labels[getattr(split, part)], part, seed))  # noqa: E731
        return timed(f"scores of {part}, made here", work, lambda s: f"{s.values.dtype}")[1]

    scores_made = [fill("val", 1)]
    yield scores_made[0]
    rule, row = timed(
        "tune, TopK(5)",
        lambda: tune(held["val"], objective=TopK(PER_ROW)),
        lambda r: f"F1 cross-fitted {np.nanmean(r.cross_fitted):.3f}",
    )
    yield row
    scores_made.append(fill("test", 2))
    yield scores_made[1]
    _, row = timed(
        "evaluate",
        lambda: evaluate(rule, held["test"]),
        lambda e: f"macro AP {e.overall['macro']['ap']}",
    )
    yield row
    whole, used = time.perf_counter() - begin, time.process_time() - cpu
    whole -= sum(row.seconds for row in scores_made)
    used -= sum(row.cpu_seconds for row in scores_made)
    yield Row("all but making the scores", round(whole, 2), round(used, 2), row.peak_gb, "")
    resource.setrlimit(resource.RLIMIT_DATA, before)


def more_labels() -> Iterator[Row]:
    """Diagnose 20,000 rows of more and more labels, sparse and dense."""
    for width in (3_000, 8_000):
        raw = table(20_000, width)
        for form, values in (("sparse", raw), ("dense", raw.toarray())):
            labels = Labels.from_array(values, kind="multilabel")
            step = f"diagnose, 20,000 x {width:,}, {form}"
            yield timed(step, lambda held=labels: diagnose(held),
                        lambda f: " ".join(x.code for x in f))[1]  # fmt: skip


def splits() -> Iterator[Row]:
    """Split where there are about as many labels as rows: sizes hold, presence gives way."""
    for n, width in ((2_000, 2_000), (500, 300)):
        labels = Labels.from_array(table(n, width), kind="multilabel")

        def say(made: Any, labels: Labels = labels) -> str:
            short = len(made.proof.get("traded_labels", {}))
            sizes = "/".join(map(str, made.sizes.values()))
            return f"{sizes}; {short} of {int((labels.counts >= 3).sum())} labels miss a part"

        step = f"stratified_split, {n:,} x {width:,}"
        yield timed(step, lambda held=labels: stratified_split(held), say)[1]


def cells(row: Row) -> list[str]:
    return [
        row.step,
        f"{row.seconds:.2f}",
        f"{row.cpu_seconds:.2f}",
        f"{row.peak_gb:.2f}",
        row.result,
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    run_parts("wide_labels", {"line": line, "labels": more_labels, "splits": splits}, COLUMNS,
              cells, print_conditions, arguments, __doc__)  # fmt: skip


if __name__ == "__main__":
    main()
