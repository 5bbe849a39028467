"""The report's explorer: how long one move takes, and what a page of a thousand labels costs.

    python -m benchmarks.report_speed [--only wide,move] [--out report.json]

`wide`: 1,000 labels of 50,000 rows with 100,000 positives in all: file, seconds and memory of
building the page, seconds until it is open. `move`: milliseconds from an input to the numbers and
figures that follow, layout included, in an installed Chromium: labels with 1,000 and 100,000
positives, ten classes of 20,000 rows, and all of a thousand labels at once. Of five rounds of 300
moves the quietest is stated: others that share the machine only add.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import Column, print_setup, run_parts
from equipoise import DecisionRule, Labels, Scores, write_report
from equipoise.artifacts import Correction
from equipoise.artifacts.calibrator import Calibrator
from equipoise.report.chapter import Chapter

MOVES, ROUNDS = 300, 5
# Moves the cut of a part of the page and forces its layout; seconds by the page's own clock.
MOVE = """([part, values]) => {
  const root = document.querySelector('[data-explorer]');
  const control = root.querySelector(`[data-part="${part}"]`);
  return values.map((value) => {
    const start = performance.now();
    control.value = value;
    control.dispatchEvent(new Event('input'));
    root.getBoundingClientRect();
    return performance.now() - start;
  });
}"""


@dataclass(frozen=True)
class Row:
    """One number: milliseconds, seconds, megabytes."""

    part: str
    case: str
    value: float
    worst: float
    wanted: float
    unit: str


def labelled(n: int, positives: np.ndarray) -> tuple[DecisionRule, Scores]:
    """Return a rule that is not tuned, and binormal scores of labels with so many positives."""
    rng, width = np.random.default_rng(0), positives.size
    y = np.zeros((n, width), dtype=np.int8)
    z = rng.normal(size=(n, width))
    for column, count in enumerate(positives):
        rows = rng.choice(n, count, replace=False)
        y[rows, column] = 1
        z[rows, column] += 1.8
    share = positives / n
    z += np.log(share / (1 - share)) - 1
    names = [f"label {i:04d}" for i in range(width)]
    ids = np.arange(n).astype(str)
    labels = Labels.from_array(y, kind="multilabel", names=names, ids=ids)
    scores = Scores.from_arrays(labels, logits=z, split="val")
    rule = DecisionRule(
        "multilabel", scores.names, Correction.identity("multilabel"), Calibrator.identity(width),
        np.zeros(width), np.full(width, -1.0), None, "f1", "validation",
        {"split": "val", "n_rows": n, "fingerprint": scores.fingerprint, "score_kind": "logits"},
        rows=scores.marks, prior=share,
    )  # fmt: skip
    return rule, scores


def classes(n: int, width: int) -> tuple[DecisionRule, Scores]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, width, n)
    z = rng.normal(size=(n, width)) + 2 * np.eye(width)[y]
    labels = Labels.from_array(y, kind="multiclass", names=[f"class {i}" for i in range(width)])
    scores = Scores.from_arrays(labels, logits=z, split="val")
    rule = DecisionRule(
        "multiclass", scores.names, Correction.identity("multiclass"), Calibrator.identity(width),
        np.zeros(width), None, np.zeros(width), "balanced_accuracy", "validation",
        {"split": "val", "n_rows": n, "fingerprint": scores.fingerprint, "score_kind": "logits"},
        prior=np.full(width, 1 / width),
    )  # fmt: skip
    return rule, scores


@contextmanager
def page_of(path: Path) -> Iterator[tuple[Any, float]]:
    """Yield the open page, and the seconds until its first numbers stood."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto("about:blank")
        start = time.perf_counter()
        page.goto(path.as_uri())
        page.locator('[data-part="table"] td[data-value]').first.wait_for()
        yield page, time.perf_counter() - start
        browser.close()


def moves(path: Path, part: str, case: str, wanted: float, *, everything: bool = False) -> Row:
    rng = np.random.default_rng(1)
    rounds = []
    with page_of(path) as (page, _):
        if everything:
            page.locator('input[value="all"]').check()
        for turn in range(ROUNDS + 1):
            values = rng.uniform(0.01, 0.9, MOVES if turn else 20).round(6).tolist()
            spent = np.array(page.evaluate(MOVE, [part, values]))
            rounds += [(float(np.quantile(spent, 0.99)), float(np.median(spent)))] if turn else []
    worst, middle = min(rounds)
    return Row("move", case, middle, worst, wanted, "ms")


def built(folder: Path, rule: DecisionRule, scores: Scores) -> tuple[Path, float]:
    start = time.perf_counter()
    chapter = Chapter(rule=rule, scores=scores, title="A rule")
    path = write_report(chapter, path=folder / "report.html")
    return path, time.perf_counter() - start


def wide(folder: Path) -> Iterator[Row]:
    positives = np.geomspace(5, 700, 1000)
    positives = np.maximum((positives * 100_000 / positives.sum()).astype(int), 3)
    rule, scores = labelled(50_000, positives)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    path, seconds = built(folder, rule, scores)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    with page_of(path) as (_, opened):
        pass
    nan = float("nan")
    yield Row("wide", "file", path.stat().st_size / 1e6, nan, 3, "MB")
    yield Row("wide", "build", seconds, nan, 30, "s")
    yield Row("wide", "memory at its peak", peak, nan, 2, "GB")
    yield Row("wide", "of it the scores", before, nan, nan, "GB")
    yield Row("wide", "open", opened, nan, 2, "s")
    yield moves(path, "cut", "1,000 labels, one of them", 16)
    yield moves(path, "cut", "1,000 labels at once", nan, everything=True)


def move(folder: Path) -> Iterator[Row]:
    for count, wanted in ((1000, 16), (100_000, 50)):
        path, _ = built(folder, *labelled(10 * count, np.array([count])))
        yield moves(path, "cut", f"{count:,} positives", wanted)
    path, _ = built(folder, *classes(20_000, 10))
    yield moves(path, "cut", "10 classes, 20,000 rows", float("nan"))


COLUMNS = (
    Column("part", 6), Column("case", 26), Column("median", 9, right=True),
    Column("99 %", 9, right=True), Column("wanted", 8, right=True), Column("", 3),
)  # fmt: skip


def cells(row: Row) -> list[str]:
    numbers = [f"{v:.2f}" if v == v else "" for v in (row.value, row.worst, row.wanted)]
    return [row.part, row.case, *numbers, row.unit]


def main(arguments: list[str] | None = None) -> None:
    with tempfile.TemporaryDirectory() as place:
        parts = {"wide": partial(wide, Path(place)), "move": partial(move, Path(place))}
        introduce = partial(print_setup, threads=False)
        run_parts("report_speed", parts, COLUMNS, cells, introduce, arguments, __doc__)


if __name__ == "__main__":
    main()
