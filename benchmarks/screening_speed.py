"""240 heads at once against one by one: 12 methods x 5 seeds x 4 settings on 20,000 x 1,024.

The peers train the same heads for the same epochs in a plain PyTorch loop, one after the other,
extrapolated from five, and neither choose epochs nor score test rows, as ours does.
Run: python -m benchmarks.screening_speed [--rows 20000] [--epochs 20] [--seeds 5] [--out FILE]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.machine import (
    Column,
    facts,
    print_head,
    print_row,
    print_setup,
    write_results,
)
from equipoise.artifacts import Labels
from equipoise.methods import methods_for, remedy
from equipoise.training import HeadJob, HeadSettings, train_heads

RATES = ((3e-4, 1e-4), (1e-3, 1e-4), (1e-3, 1e-2), (3e-3, 1e-2))
PREVALENCE = (0.085, 0.29, 0.17, 0.469)
FEATURES, METHODS, SAMPLE = 1024, 12, 5


@dataclass(frozen=True)
class Row:
    """What one way to train all heads took."""

    way: str
    heads: int
    seconds: float
    ratio: float
    peak_gb: float


def make_jobs(rows: int, seeds: int) -> tuple[np.ndarray, Labels, np.ndarray, list[HeadJob]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows + rows // 5, FEATURES), dtype=np.float32)
    noisy = x @ rng.normal(size=(FEATURES, 4)).astype(np.float32) / 32 + rng.normal(
        size=(len(x), 4)
    )
    hot = noisy > np.quantile(noisy, 1 - np.asarray(PREVALENCE), axis=0).diagonal()
    labels = Labels.from_array(hot.astype(np.int8), kind="multilabel")
    names = [m.name for m in methods_for("multilabel") if m.family in ("baseline", "loss")]
    jobs = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(rows)
        train, val = order[: rows * 4 // 5], order[rows * 4 // 5 :]
        for name in names[:METHODS]:
            made = remedy(name, labels[train])
            jobs += [HeadJob(made, seed, train, val, lr=lr, weight_decay=w) for lr, w in RATES]
    return x, labels, np.arange(rows, len(x)), jobs


def alone(x: np.ndarray, labels: Labels, job: HeadJob, settings: HeadSettings, way: str) -> float:
    """Train one head in a plain loop for one epoch and return the seconds that all would take."""
    part = torch.from_numpy(x[job.train])
    part = (part - part.mean(0)) / part.std(0)
    target = torch.from_numpy(labels.values[job.train].astype(np.float32))
    net = nn.Linear(FEATURES, target.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=job.lr or 0, weight_decay=0.01)
    started = time.perf_counter()
    for inputs, truth in _batches(part, target, settings.batch_size, way):
        optimizer.zero_grad()
        job.remedy.loss(net(inputs), truth).backward()
        optimizer.step()
    return (time.perf_counter() - started) * settings.epochs


def _batches(x: Tensor, target: Tensor, size: int, way: str) -> Iterator[tuple[Tensor, ...]]:
    if way == "DataLoader":
        yield from DataLoader(TensorDataset(x, target), batch_size=size, shuffle=True)
        return
    for rows in torch.split(torch.randperm(len(x)), size):
        yield x[rows], target[rows]


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(rows: int, epochs: int, seeds: int, full_epochs: int) -> Iterator[Row]:
    x, labels, test, jobs = make_jobs(rows, seeds)
    settings = HeadSettings(epochs=epochs, batch_size=128)
    started = time.perf_counter()
    done = sum(1 for _ in train_heads(x, labels, test, jobs, settings=settings))
    ours = (time.perf_counter() - started) * full_epochs / epochs
    yield Row("train_heads", done, ours, 1.0, peak_gb())
    full = HeadSettings(epochs=full_epochs, batch_size=128)
    picked = jobs[:: max(1, len(jobs) // SAMPLE)][:SAMPLE]
    for way in ("DataLoader", "tensor indexing"):
        each = [alone(x, labels, job, full, way) for job in picked]
        seconds = float(np.median(each)) * len(jobs)
        yield Row(f"PyTorch loop, {way}", len(jobs), seconds, seconds / ours, peak_gb())


COLUMNS = (
    Column("way", 30),
    Column("heads", 6, right=True),
    Column("seconds", 10, right=True),
    Column("times ours", 11, right=True),
    Column("peak GB", 8, right=True),
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screening_speed")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--run-epochs", type=int, help="train ours so long, and extrapolate")
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    chosen = parser.parse_args(arguments)
    conditions = facts()
    print_setup(conditions, threads=True)
    ours = chosen.run_epochs or chosen.epochs
    remark = "" if ours == chosen.epochs else f", ours extrapolated from {ours}"
    print(
        f"\n{chosen.rows:,} x {FEATURES}, {chosen.epochs} epochs{remark}; others from one epoch\n"
    )
    print_head(COLUMNS)
    rows = []
    for row in measure(chosen.rows, ours, chosen.seeds, chosen.epochs):
        cells = [row.way, str(row.heads), f"{row.seconds:.0f}", f"{row.ratio:.1f}"]
        print_row(COLUMNS, [*cells, f"{row.peak_gb:.2f}"])
        rows.append(row)
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
