"""Speed beside the peers, as ratios: both sides in one process, repetitions interleaved.

    python -m benchmarks.speed [--only heads,metrics,folds] [--out speed.json]

A ratio is the peer's time divided by ours within one repetition; the table states the median and
the range over repetitions. Above 1 means that Equipoise is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import Column, print_setup, run_parts
from equipoise import Labels, stratified_kfold
from equipoise.methods import remedy
from equipoise.metrics import average_precision, best_f_beta, roc_auc
from equipoise.metrics.sweep import sweep
from equipoise.training import HeadJob, HeadSettings, train_heads

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison."""

    part: str
    case: str
    peer: str
    ratio: float
    low: float
    high: float
    repetitions: int


def measure(part: str, case: str, ours: Call, peers: dict[str, Call], *, times: int) -> list[Row]:
    """Run all sides in turn, ``times`` times after one warm-up, and return a row per peer."""
    sides = {"": ours, **peers}
    for call in sides.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(times):
        # Each side comes first as often as the others.
        names = list(sides)
        for name in names[repetition % len(names) :] + names[: repetition % len(names)]:
            start = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - start)
    rows = []
    for peer in peers:
        ratios = np.array(seconds[peer]) / np.array(seconds[""])
        low, middle, high = (float(np.quantile(ratios, q)) for q in (0.0, 0.5, 1.0))
        rows.append(Row(part, case, peer, middle, low, high, times))
    return rows


def heads() -> Iterator[Row]:
    """Many heads at once against one by one; ours also chooses epochs on validation rows."""
    for seeds, hidden in ((1, 0), (5, 0), (20, 0), (5, 64)):
        yield from _heads(seeds, hidden)


def _heads(seeds: int, hidden: int) -> list[Row]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 64)).astype(np.float32)
    share = 1.0 / np.arange(1, 11)
    labels = Labels.from_array(rng.choice(10, size=4000, p=share / share.sum()), kind="multiclass")
    inputs, target = torch.from_numpy(x), torch.from_numpy(labels.values)
    methods = ("none", "weighted_ce", "class_balanced", "focal", "logit_adjusted")
    jobs = []
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(3500)
        train, val = rows[:3000], rows[3000:]
        jobs += [HeadJob(remedy(m, labels[train]), seed, train, val) for m in methods]
    settings = HeadSettings(hidden=hidden, epochs=2, batch_size=128)

    def ours() -> None:
        list(train_heads(x, labels, np.arange(3500, 4000), jobs, settings=settings))

    def one_by_one(loader: bool) -> None:
        for job in jobs:
            rows = torch.from_numpy(job.train)
            part = inputs[rows]
            part = (part - part.mean(0)) / part.std(0)
            _train_alone(part, target[rows], job.remedy.loss, settings, loader)

    case = f"{len(jobs)} {f'hidden-{hidden}' if hidden else 'linear'} heads, 3,000 x 64"
    peers: dict[str, Call] = {
        "PyTorch loop, tensor indexing": lambda: one_by_one(False),
        "PyTorch loop, DataLoader": lambda: one_by_one(True),
    }
    return measure("heads", case, ours, peers, times=3 if seeds == 20 else 5)


def _train_alone(
    x: Tensor, target: Tensor, loss: nn.Module, settings: HeadSettings, loader: bool
) -> None:
    width = [settings.hidden] if settings.hidden else []
    layers: list[nn.Module] = []
    for inputs, outputs in zip([64, *width], [*width, 10], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr)
    steps = -(-len(x) // settings.batch_size) * settings.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(settings.epochs):
        for rows, truth in _batches(x, target, settings.batch_size, loader):
            optimizer.zero_grad()
            loss(net(rows), truth).backward()
            optimizer.step()
            schedule.step()


def _batches(x: Tensor, target: Tensor, size: int, loader: bool) -> Iterator[tuple[Tensor, ...]]:
    if loader:
        data = torch.utils.data.TensorDataset(x, target)
        yield from torch.utils.data.DataLoader(data, batch_size=size, shuffle=True)
        return
    for rows in torch.split(torch.randperm(len(x)), size):
        yield x[rows], target[rows]


def metrics() -> Iterator[Row]:
    """Ranking metrics of 20,000 rows and 100 labels against scikit-learn, label by label."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    rng = np.random.default_rng(0)
    prevalence = np.geomspace(0.002, 0.3, 100)
    hot = (rng.random((20_000, 100)) < prevalence).astype(np.int8)
    scores = rng.normal(size=hot.shape) + 1.5 * hot

    def per_label(metric: Callable[..., object]) -> list[object]:
        return [metric(hot[:, c], scores[:, c]) for c in range(100)]

    def best_f1(truth: np.ndarray, score: np.ndarray) -> float:
        precision, recall, _ = precision_recall_curve(truth, score)
        return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())

    def all_of_ours() -> list[object]:
        points = sweep(hot, scores)
        return [(p.average_precision, p.roc_auc, p.best_f_beta()) for p in points]

    found = np.asarray(average_precision(hot, scores))
    np.testing.assert_allclose(found, per_label(average_precision_score))
    np.testing.assert_allclose(np.asarray(roc_auc(hot, scores)), per_label(roc_auc_score))
    three = (average_precision_score, roc_auc_score, best_f1)
    cases: dict[str, tuple[Call, Call]] = {
        "average precision": (
            lambda: average_precision(hot, scores),
            lambda: per_label(average_precision_score),
        ),
        "ROC AUC": (lambda: roc_auc(hot, scores), lambda: per_label(roc_auc_score)),
        "best F1 and threshold": (lambda: best_f_beta(hot, scores), lambda: per_label(best_f1)),
        "all three": (all_of_ours, lambda: [per_label(metric) for metric in three]),
    }
    for name, (ours, theirs) in cases.items():
        case = f"{name}, 20,000 x 100"
        yield from measure("metrics", case, ours, {"scikit-learn": theirs}, times=5)


def folds() -> Iterator[Row]:
    """Five stratified folds, ours with and without groups; the peer knows no groups."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    rng = np.random.default_rng(0)
    few = (rng.random((224_000, 4)) < (0.085, 0.29, 0.17, 0.469)).astype(np.int8)
    many = (rng.random((50_000, 80)) < np.geomspace(0.002, 0.3, 80)).astype(np.int8)
    peer = MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    for hot, times in ((few, 5), (many, 3)):
        name = f"5 folds of {hot.shape[0]:,} x {hot.shape[1]}"
        labels = Labels.from_array(hot, kind="multilabel")
        patients = rng.integers(0, len(hot) // 4, len(hot))
        other = {"iterative-stratification": partial(_all_folds, peer, hot)}
        plain = partial(stratified_kfold, labels, folds=5, seed=0)
        yield from measure("folds", name, plain, other, times=times)
        grouped = partial(stratified_kfold, labels, folds=5, seed=0, groups=patients)
        yield from measure("folds", f"{name}, grouped", grouped, other, times=times)


def _all_folds(peer: object, hot: np.ndarray) -> object:
    return list(peer.split(np.zeros((len(hot), 1)), hot))  # type: ignore[attr-defined]


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "heads": heads,
    "metrics": metrics,
    "folds": folds,
}


COLUMNS = (Column("case", 42), Column("peer", 30), Column("ratio", 18, right=True))


def cells(row: Row) -> list[str]:
    return [row.case, row.peer, f"{row.ratio:.2f} ({row.low:.2f}-{row.high:.2f})"]


def introduce(conditions: Mapping[str, Any]) -> None:
    print_setup(conditions, threads=True)
    print("\nTimes faster than the peer: median (range) over interleaved repetitions\n")


def main(arguments: list[str] | None = None) -> None:
    run_parts("speed", PARTS, COLUMNS, cells, introduce, arguments, __doc__)


if __name__ == "__main__":
    main()
