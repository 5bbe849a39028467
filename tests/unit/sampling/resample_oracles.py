"""Resamplers as slow loops, written from the papers, and small data to run them on."""

from __future__ import annotations

import numpy as np

from equipoise.artifacts import Labels, Split, TrainingRows


def train_of(values, train=None, names=None) -> TrainingRows:
    """Training rows of labels; rows not in ``train`` are test rows."""
    array = np.asarray(values)
    labels = Labels.from_array(
        array, kind="multiclass" if array.ndim == 1 else "multilabel", names=names
    )
    inside = np.arange(len(labels)) if train is None else np.asarray(train)
    rest = np.setdiff1d(np.arange(len(labels)), inside)
    split = Split.from_parts(inside, [], rest, n_rows=len(labels), seed=0, method="by hand")
    return TrainingRows.of(labels, split)


def skewed_labels(n: int = 120, seed: int = 0) -> np.ndarray:
    """Five labels from frequent to rare, the last without a positive; some rows are empty."""
    return (np.random.default_rng(seed).random((n, 5)) < [0.6, 0.3, 0.08, 0.05, 0.0]).astype(int)


def slow_irlbl(rows: list[list[int]]) -> list[float]:
    counts = [sum(row[label] == 1 for row in rows) for label in range(len(rows[0]))]
    return [max(counts) / c if c else float("nan") for c in counts]


def slow_mean_ir(rows: list[list[int]]) -> float:
    ratios = [r for r in slow_irlbl(rows) if r == r]
    return sum(ratios) / len(ratios)


def slow_ml_ros(y: np.ndarray, fraction: float, luck: np.ndarray) -> list[int]:
    """Return the clones in order, drawing from bags with ``luck``."""
    data = [list(map(int, row)) for row in y]
    mean = slow_mean_ir(data)
    bags = {}
    for label, ratio in enumerate(slow_irlbl(data)):
        if ratio > mean + 1e-9:
            bags[label] = [i for i, row in enumerate(data) if row[label] == 1]
    clones: list[int] = []
    to_clone = int(len(y) / 100 * (100 * fraction) + 1e-9)
    grown = list(data)
    while len(clones) < to_clone and bags:
        for label in list(bags):
            if len(clones) == to_clone:
                break
            chosen = bags[label][int(luck[len(clones)] * len(bags[label]))]
            clones.append(chosen)
            grown.append(data[chosen])
            if slow_irlbl(grown)[label] <= mean + 1e-9:
                del bags[label]
    return clones


def slow_shares(room: list[int], budget: int) -> list[int]:
    """Hand out one by one, in turn, to whoever has room."""
    given = [0] * len(room)
    while budget and given != room:
        for i in range(len(room)):
            if budget and given[i] < room[i]:
                given[i] += 1
                budget -= 1
    return given


def slow_neighbours(x: np.ndarray, bag: list[int], i: int, k: int) -> list[int]:
    others = [j for j in bag if j != i]
    return sorted(others, key=lambda j: float(((x[i] - x[j]) ** 2).sum()))[:k]


def slow_vote(rows: list[list[int]], rule: str) -> list[int]:
    """Join label rows without unknown entries."""
    joined = []
    for column in zip(*rows, strict=True):
        ones = sum(column)
        present = {
            "union": ones >= 1,
            "intersection": ones == len(column),
            "ranking": ones > len(column) / 2,
        }[rule]
        joined.append(int(present))
    return joined


def slow_local(x: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, list[list[str]]]:
    """Return MLSOL's weights of all rows and its types, as the paper states them."""
    n, q = y.shape
    near = [slow_neighbours(x, list(range(n)), i, k) for i in range(n)]
    rare = [1 if (y[:, c] == 1).sum() <= (y[:, c] == 0).sum() else 0 for c in range(q)]
    c_ = [[sum(y[m, c] != y[i, c] for m in near[i]) / k for c in range(q)] for i in range(n)]
    weight = np.zeros(n)
    for c in range(q):
        seeds = [i for i in range(n) if y[i, c] == rare[c] and c_[i][c] < 1]
        total = sum(c_[i][c] for i in seeds)
        for i in seeds:
            weight[i] += c_[i][c] / total if total else 0.0
    types = [["MJ"] * q for _ in range(n)]
    for i in range(n):
        for c in range(q):
            if y[i, c] == rare[c]:
                v = c_[i][c]
                types[i][c] = (
                    "SAFE" if v < 0.3 else "BD" if v < 0.7 else "RARE" if v < 1 else "OUTLIER"
                )
    changed = True
    while changed:
        changed = False
        for i in range(n):
            for c in range(q):
                if types[i][c] == "RARE" and any(types[m][c] in ("SAFE", "BD") for m in near[i]):
                    types[i][c] = "BD"
                    changed = True
    return weight, types


def slow_mix(ys: list[int], ts: list[str], yr: list[int], tr: list[str], way: float) -> list[int]:
    """Label one MLSOL point that lies ``way`` from seed to reference."""
    theta = {"SAFE": 0.5, "BD": 0.75, "RARE": 1 + 1e-5, "OUTLIER": -1e-5}
    out = []
    for a, ta, b, tb in zip(ys, ts, yr, tr, strict=True):
        if a == b:
            out.append(a)
        elif ta != "MJ":
            out.append(a if way <= theta[ta] else b)
        else:
            out.append(b if 1 - way <= theta[tb] else a)
    return out
