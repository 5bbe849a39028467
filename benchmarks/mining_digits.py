"""Find one digit in mosaics by sliding windows: does mining hard negatives help?

    python -m benchmarks.mining_digits [--seeds 5] [--train 150] [--test 150] [--processes 2]
                                       [--picture docs/mining.svg] [--out FILE]

Every network is the same small one, trained by a bare loop on the same mosaics; every training
takes the same number of steps but one, which takes as many as all rounds of mining together.
Printed are average precision of test windows and of test mosaics (which show the digit or not,
scored by their best window), and precision where recall is 0.8, with 95 % t intervals over seeds;
the mean probability over the share of positives among the hundredth of test windows with the
highest scores and among the others; and differences from baselines, paired over seeds and mosaics.
A seed redraws scans and mosaics of training and validation; the test mosaics stay.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student
from torch import nn

from benchmarks.machine import Column, facts, print_head, print_row, write_results
from equipoise._core.files import write_text
from equipoise.losses import BCELoss, OHEMLoss
from equipoise.metrics import Influence, average_precision_influence, pair_over_seeds
from equipoise.metrics.sweep import sweep
from equipoise.mining import MiningOptions, MiningTask, mine_hard_negatives
from equipoise.mining.result import Mined
from equipoise.models import MLP
from equipoise.report.review import growth_picture
from equipoise.studies.digit_windows import DigitWindows, digit_windows

ROUNDS, STEPS, BATCH, EVERYTHING = 4, 2000, 128, 1e9
RECALL = 0.8


@dataclass(frozen=True)
class Arm:
    """How negatives are chosen."""

    name: str
    options: MiningOptions
    loss: str = "none"
    longer: int = 1


ARMS = (
    Arm("random 1:3", MiningOptions(ratio=3, rounds=0, weighting="none")),
    Arm("random 1:8", MiningOptions(ratio=8, rounds=0, weighting="none")),
    Arm("all negatives", MiningOptions(ratio=EVERYTHING, rounds=0, weighting="none")),
    Arm("all, 5 x steps", MiningOptions(ratio=EVERYTHING, rounds=0, weighting="none"), longer=5),
    Arm("OHEM on all", MiningOptions(ratio=EVERYTHING, rounds=0, weighting="none"), "ohem"),
    Arm("mined, weighted", MiningOptions(rounds=ROUNDS, patience=ROUNDS)),
    Arm("mined, unweighted", MiningOptions(rounds=ROUNDS, patience=ROUNDS, weighting="none")),
)


@dataclass(frozen=True)
class Outcome:
    """One arm with one seed, on the test windows and mosaics."""

    arm: str
    seed: int
    windows: Influence
    mosaics: Influence
    window_precision: float
    mosaic_precision: float
    claim_above: float
    claim_below: float
    rows: int
    trainings: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    arm: str
    windows: tuple[float, float, float]
    mosaics: tuple[float, float, float]
    window_precision: tuple[float, float, float]
    mosaic_precision: tuple[float, float, float]
    rows: float
    trainings: float
    claim_above: float
    claim_below: float
    seconds: float


class Network:
    """A trained network as a scorer."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            return self.network(torch.from_numpy(x)).numpy()


def train(task: MiningTask, *, loss: str, steps: int) -> Network:
    """Train a small network for so many steps, whatever the number of rows."""
    torch.manual_seed(task.seed % 2**63)
    draw = torch.Generator().manual_seed(task.seed % 2**63)
    x, y = torch.from_numpy(task.x), torch.from_numpy(task.y).float()[:, None]
    weights = torch.from_numpy(task.weights).float()[:, None]
    network = MLP(64, 1, hidden=(128,))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    each = BCELoss(reduction="none")
    hardest = OHEMLoss(each, ratio=0.25)
    order = torch.randperm(len(x), generator=draw)
    at = 0
    for _ in range(steps):
        if at + BATCH > len(order):
            order, at = torch.randperm(len(x), generator=draw), 0
        rows, at = order[at : at + BATCH], at + BATCH
        optimizer.zero_grad()
        outputs = network(x[rows])
        if loss == "ohem":
            value = hardest(outputs, y[rows])
        else:
            value = (each(outputs, y[rows]) * weights[rows]).mean()
        value.backward()
        optimizer.step()
        rate.step()
    return Network(network)


def run_arm(arm: Arm, seed: int, n_train: int, n_test: int, steps: int) -> tuple[Outcome, Mined]:
    """Train one arm with one seed and judge it on the test mosaics."""
    torch.set_num_threads(1)
    pool = digit_windows("train", n_train, seed=seed).pool()
    val = digit_windows("val", max(2, n_train // 2), seed=seed).pool()
    test = digit_windows("test", n_test)
    start = time.perf_counter()
    trainer = partial(train, loss=arm.loss, steps=steps * arm.longer)
    mined = mine_hard_negatives(trainer, pool, val, options=arm.options, seed=seed)
    seconds = time.perf_counter() - start
    return judge(arm, seed, mined, test, seconds), mined


def judge(arm: Arm, seed: int, mined: Mined, test: DigitWindows, seconds: float) -> Outcome:
    scores = mined.probabilities(test.pixels)
    truth = test.labels.values[:, 0]
    best = np.zeros(len(test.images))
    np.maximum.at(best, test.proposals.images, scores)
    high = scores >= np.quantile(scores, 0.99)
    return Outcome(
        arm.name,
        seed,
        average_precision_influence(truth, scores),
        average_precision_influence(test.has_digit.astype(int), best),
        precision_at(truth, scores),
        precision_at(test.has_digit.astype(int), best),
        claim(scores[high], truth[high]),
        claim(scores[~high], truth[~high]),
        len(mined.training),
        len(mined.rounds),
        seconds,
    )


def claim(scores: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the mean probability over the share of positives; NaN without positives."""
    return float(scores.mean() / truth.mean()) if truth.any() else math.nan


def precision_at(truth: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the best precision at a recall of 0.8 or more."""
    found = sweep(truth, scores)
    assert not isinstance(found, list)
    recalled = found.tp >= RECALL * found.n_positive
    return float(np.max((found.tp / (found.tp + found.fp))[recalled]))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 95 % t interval."""
    array = np.asarray(values)
    if array.size < 2:
        return float(array[0]), math.nan, math.nan
    reach = float(student.ppf(0.975, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size))
    return float(array.mean()), float(array.mean()) - reach, float(array.mean()) + reach


def to_row(found: list[Outcome]) -> Row:
    def over(pick: Callable[[Outcome], float]) -> tuple[float, float, float]:
        return mean_interval([pick(one) for one in found])

    return Row(
        found[0].arm,
        over(lambda o: o.windows.value),
        over(lambda o: o.mosaics.value),
        over(lambda o: o.window_precision),
        over(lambda o: o.mosaic_precision),
        float(np.mean([o.rows for o in found])),
        float(np.mean([o.trainings for o in found])),
        float(np.mean([o.claim_above for o in found])),
        float(np.mean([o.claim_below for o in found])),
        float(np.mean([o.seconds for o in found])),
    )


COLUMNS = (
    Column("negatives", 17),
    Column("AP of windows", 21, right=True),
    Column("AP of mosaics", 21, right=True),
    Column("precision, windows", 21, right=True),
    Column("precision, mosaics", 21, right=True),
    Column("rows", 6, right=True),
    Column("trainings", 9, right=True),
    Column("claim above", 11, right=True),
    Column("below", 5, right=True),
    Column("s", 5, right=True),
)


def cells(row: Row) -> list[str]:
    shown = [
        "{:.3f} ({:.3f}-{:.3f})".format(*v)
        for v in (row.windows, row.mosaics, row.window_precision, row.mosaic_precision)
    ]
    claims = [f"{row.claim_above:.2f}", f"{row.claim_below:.2f}"]
    rest = [f"{row.rows:,.0f}", f"{row.trainings:.0f}", *claims, f"{row.seconds:.1f}"]
    return [row.arm, *shown, *rest]


def differences(every: dict[str, list[Outcome]], images: NDArray[np.int64]) -> list[str]:
    """Return the paired differences of the mined arms and OHEM from two baselines."""
    lines = []
    for arm in ("mined, weighted", "mined, unweighted", "OHEM on all", "all, 5 x steps"):
        for baseline in ("random 1:3", "random 1:8", "all, 5 x steps", "OHEM on all"):
            if arm == baseline or arm not in every:
                continue
            shown = []
            for level, groups in (("windows", images), ("mosaics", None)):
                a, b = ([getattr(o, level) for o in every[n]] for n in (arm, baseline))
                # Validation holds half as many mosaics as training.
                found = pair_over_seeds(a, b, groups=groups)
                e = found.interval(0.95)
                shown.append(f"{level} {e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}]")
            lines.append(f"{arm} - {baseline}: {'; '.join(shown)}")
    return lines


def _one(job: tuple[Arm, int, int, int, int]) -> tuple[Outcome, str]:
    outcome, mined = run_arm(*job)
    title = "Mining windows of digits: the training set and validation"
    return outcome, growth_picture(mined.history, title)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mining_digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train", type=int, default=150, help="mosaics to train on")
    parser.add_argument("--test", type=int, default=150, help="mosaics to test on")
    parser.add_argument("--steps", type=int, default=STEPS, help="per training")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--picture", type=Path, help="write how the training set grew, as SVG")
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    given = parser.parse_args(arguments)
    start = time.perf_counter()
    jobs = [(a, s, given.train, given.test, given.steps) for s in range(given.seeds) for a in ARMS]
    # Children of a process that has used torch must not be forks of it.
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as workers:
        done = list(workers.map(_one, jobs)) if given.processes > 1 else [_one(j) for j in jobs]
    every: dict[str, list[Outcome]] = {}
    for outcome, _ in done:
        every.setdefault(outcome.arm, []).append(outcome)
    print_head(COLUMNS)
    rows = [to_row(every[arm.name]) for arm in ARMS]
    for row in rows:
        print_row(COLUMNS, cells(row))
    test = digit_windows("test", given.test)
    print(f"\n{len(test.pixels):,} test windows, {test.labels.counts[0]} positive; {given.test} "
          f"mosaics, {int(test.has_digit.sum())} with the digit. Differences in average precision, "
          "95 %, paired over seeds and mosaics:")  # fmt: skip
    print("\n".join(differences(every, test.proposals.images)))
    print(f"\n{time.perf_counter() - start:.0f} s on {given.processes} processes", file=sys.stderr)
    if given.picture is not None:
        at = next(i for i, job in enumerate(jobs) if job[0].name == "mined, weighted")
        write_text(given.picture, done[at][1])
    write_results(given.out, {**facts(), "seeds": given.seeds}, rows)


if __name__ == "__main__":
    main()
