"""Our own side of the benchmarks in two checkouts, run in turn, as ratios with intervals.

    git worktree add --detach ../before v0.1
    python -m benchmarks.pairs ../before [--pairs 10] [--only speed,loss_speed] [--out pairs.json]

Every run is a process of its own that imports the checkout's package and benchmarks; the cases are
those of the commands, once after a warm-up, and the peers are left out. A ratio is this checkout's
time divided by the other's within one pair; the sides change their order from pair to pair. The
interval is Student's, at 95 %, of the mean logarithm. Above 1 means that this checkout is slower.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.machine import Column, facts, print_head, print_row, print_setup, write_results

Seconds = Iterator[tuple[str, float]]
HERE = Path(__file__).resolve().parent.parent
COLUMNS = (Column("case", 56), Column("seconds", 9, True), Column("ratio [95 %]", 22, True))


@dataclass(frozen=True)
class Row:
    """One case: this checkout's median, and its ratio to the other's."""

    case: str
    seconds: float
    ratio: float
    low: float
    high: float
    pairs: int


# What follows runs inside either checkout, whose benchmarks have the names that stand here since
# they were written: `measure`, `interleave`, `alone`.


def speed() -> Seconds:
    """Every case of `benchmarks.speed`."""
    from benchmarks import speed as bench

    def measure(part: str, case: str, ours: Callable[[], object], *_: object, **__: object) -> Any:
        ours()
        begin = time.perf_counter()
        ours()
        return [(f"{part}: {case}", time.perf_counter() - begin)]

    # The peers also check the answers, which the tests do.
    bench.measure = measure
    for part in bench.PARTS.values():
        yield from part()  # type: ignore[misc]


def loss_speed() -> Seconds:
    """Every loss of `benchmarks.loss_speed`, at both shapes, eager and compiled."""
    from benchmarks import loss_speed as bench

    timed: list[tuple[str, float]] = []
    real = bench.interleave

    def interleave(sides: dict[str, Callable[[], None]], *rest: Any) -> dict[str, np.ndarray]:
        own = {name: call for name, call in sides.items() if name != "peer"}
        found = real(own, *rest)
        timed.extend((name, float(np.median(values))) for name, values in found.items())
        return {"peer": np.ones(1), **found}

    bench.interleave = interleave
    bench.print_row = lambda *_: None  # type: ignore[assignment]
    bench.peak = lambda *_: 1.0
    for shape in bench.SHAPES[:2]:
        costs = bench.costs(shape, [], bench.torch.device("cpu"), compiled=True)
        ways = len(timed) // len(costs)
        for at, (way, seconds) in enumerate(timed):
            cost = costs[at // ways]
            yield f"loss_speed: {cost.loss}, {cost.shape}, {way}", seconds
        timed.clear()


def screening_speed() -> Seconds:
    """Our row of `benchmarks.screening_speed`, from two epochs."""
    from benchmarks import screening_speed as bench

    bench.alone = lambda *_: 1.0
    ours = next(iter(bench.measure(20_000, 2, 5, 2)))
    yield f"screening_speed: {ours.heads} heads", ours.seconds


def trial_overhead() -> Seconds:
    """What the ten trials of `benchmarks.trial_overhead` take in all, the plan or the first one
    with its reading included.
    """
    from benchmarks import trial_overhead as bench

    once, each = (row.median for row in bench.overhead())
    yield "trial_overhead: ten trials", once + 9 * each


PARTS: dict[str, Callable[[], Seconds]] = {
    part.__name__: part for part in (speed, loss_speed, screening_speed, trial_overhead)
}


def starts(checkout: Path) -> Seconds:
    """`import equipoise` and `equipoise --help`, the median of seven processes each."""
    commands = {
        "import equipoise": ["-c", "import equipoise"],
        "equipoise --help": ["-m", "equipoise", "--help"],
    }
    for name, command in commands.items():
        seconds = []
        for _ in range(8):
            begin = time.perf_counter()
            run(checkout, command)
            seconds.append(time.perf_counter() - begin)
        yield name, float(np.median(seconds[1:]))


def run(checkout: Path, command: list[str]) -> str:
    """Run Python on a checkout and return what it prints."""
    path = os.pathsep.join(map(str, (checkout / "src", checkout)))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(  # noqa: S603  # Python itself, on files of the two checkouts
        [sys.executable, *command], cwd=checkout, env=environment, text=True, capture_output=True
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {' '.join(command[:2])} failed\n{done.stderr}")
    return done.stdout


def timed(checkout: Path, part: str) -> dict[str, float]:
    """Return the seconds of every case of a part, run on a checkout."""
    if part == "starts":
        return dict(starts(checkout))
    # This file's code, the other's benchmarks: loaded by path, so that both sides run the same.
    code = (
        "import importlib.util, json, sys\n"
        f"spec = importlib.util.spec_from_file_location('pairs', {str(Path(__file__))!r})\n"
        "pairs = importlib.util.module_from_spec(spec)\n"
        "sys.modules['pairs'] = pairs\n"
        "spec.loader.exec_module(pairs)\n"
        f"print(json.dumps(dict(pairs.PARTS[{part!r}]())))"
    )
    found: dict[str, float] = json.loads(run(checkout, ["-c", code]).splitlines()[-1])
    return found


def compare(part: str, other: Path, pairs: int) -> list[Row]:
    """Run a part in both checkouts in turn and return a row per case that both have."""
    seconds: list[dict[Path, dict[str, float]]] = []
    for pair in range(pairs):
        sides = (HERE, other) if pair % 2 else (other, HERE)
        seconds.append({side: timed(side, part) for side in sides})
        print(f"{part}: pair {pair + 1} of {pairs}", file=sys.stderr, flush=True)
    rows = []
    for case in seconds[0][HERE]:
        if case not in seconds[0][other]:
            continue
        ours = np.array([pair[HERE][case] for pair in seconds])
        logs = np.log(ours / np.array([pair[other][case] for pair in seconds]))
        middle = float(logs.mean())
        half = float(stats.t.ppf(0.975, pairs - 1) * logs.std(ddof=1)) / math.sqrt(pairs)
        ratio, low, high = (math.exp(x) for x in (middle, middle - half, middle + half))
        rows.append(Row(case, float(np.median(ours)), ratio, low, high, pairs))
    return rows


def introduce(conditions: Mapping[str, Any], other: Path) -> None:
    print_setup(conditions, threads=True)
    print(f"\nTime of this checkout over that of {other.name}, peers left out\n")


def main(arguments: list[str] | None = None) -> None:
    every = [*PARTS, "starts"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--only", default=",".join(every), help="parts, separated by commas")
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.pairs < 2:
        parser.error(f"--pairs must be 2 or more for an interval, got {chosen.pairs}")
    wanted = chosen.only.split(",")
    if unknown := sorted(set(wanted) - set(every)):
        parser.error(f"--only must name {', '.join(every)}, got {', '.join(unknown)}")
    conditions = facts()
    introduce(conditions, chosen.other)
    print_head(COLUMNS)
    rows = []
    for part in wanted:
        for row in compare(part, chosen.other.resolve(), chosen.pairs):
            shown = f"{row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}]"
            print_row(COLUMNS, [row.case, f"{row.seconds:.3f}", shown])
            rows.append(row)
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
