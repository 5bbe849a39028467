"""How evenly folds hold rare labels, beside iterative-stratification and random folds.

    python -m benchmarks.split_quality ../shared/data/mulan [--folds 5,10] [--seeds 10]

The folder holds npz files with multi-hot labels `Y`. Deviation is |positives in a fold - its share
of all|, in rows, averaged over labels, folds and seeds; "worst" is the largest of any label and
fold, averaged over seeds. A label is missing from a fold if it has as many positives as there are
folds and none in this one; the table counts such pairs per seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

from equipoise import Labels, stratified_kfold

Folds = list[np.ndarray]


@dataclass(frozen=True)
class Quality:
    """Means over seeds."""

    deviation: float
    worst: float
    rows: float
    missing: float
    seconds: float


def ours(hot: np.ndarray, n: int, seed: int) -> Folds:
    labels = Labels.from_array(hot, kind="multilabel")
    return [f.val for f in stratified_kfold(labels, folds=n, seed=seed)]


def peer(hot: np.ndarray, n: int, seed: int) -> Folds:
    made = MultilabelStratifiedKFold(n, shuffle=True, random_state=seed)
    return [rows for _, rows in made.split(np.zeros(len(hot)), hot)]


def at_random(hot: np.ndarray, n: int, seed: int) -> Folds:
    return np.array_split(np.random.default_rng(seed).permutation(len(hot)), n)


METHODS: dict[str, Callable[[np.ndarray, int, int], Folds]] = {
    "equipoise": ours,
    "iterative-stratification": peer,
    "random": at_random,
}


def quality(
    make: Callable[[np.ndarray, int, int], Folds], hot: np.ndarray, n: int, seeds: int
) -> Quality:
    enough = hot.sum(axis=0) >= n
    found = []
    for seed in range(seeds):
        start = time.perf_counter()
        folds = make(hot, n, seed)
        seconds = time.perf_counter() - start
        counts = np.stack([hot[rows].sum(axis=0) for rows in folds])
        gap = np.abs(counts - hot.sum(axis=0) / n)
        size = np.abs(np.array([len(rows) for rows in folds]) - len(hot) / n).max()
        missing = int((counts[:, enough] == 0).sum())
        found.append((gap.mean(), gap.max(), size, missing, seconds))
    return Quality(*(float(v) for v in np.mean(found, axis=0)))


def table(folder: Path, folds: list[int], seeds: int) -> list[str]:
    head = ("data", "rows x labels", "folds", "method", "deviation", "worst", "fold size off by")
    lines = [" | ".join(["", *head, "missing", "seconds", ""]).strip(), "|---" * 9 + "|"]
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            hot = stored["Y"].astype(np.int64)
        for n in folds:
            for name, make in METHODS.items():
                q = quality(make, hot, n, seeds)
                lines.append(
                    f"| {path.stem} | {hot.shape[0]:,} x {hot.shape[1]} | {n} | {name} | "
                    f"{q.deviation:.3f} | {q.worst:.2f} | {q.rows:.1f} | {q.missing:.1f} | "
                    f"{q.seconds:.2f} |"
                )
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", default="5,10")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args(arguments)
    if not list(given.folder.glob("*.npz")):
        print(f"{given.folder} must hold npz files with `Y`, got none.", file=sys.stderr)
        return 3
    print("\n".join(table(given.folder, [int(n) for n in given.folds.split(",")], given.seeds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
