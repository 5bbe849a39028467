"""Losses over picked entries as slow loops that sort Python lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from equipoise import losses

Entry = tuple[float, float, int, int]
"""Loss, target, row, and label or class."""


def log_sigmoid(z: float) -> float:
    return -math.log(1.0 + math.exp(-z))


def label_entries(z: list[list[float]], y: list[list[float]]) -> list[Entry]:
    found = []
    for i, (scores, marks) in enumerate(zip(z, y, strict=True)):
        for label, (v, t) in enumerate(zip(scores, marks, strict=True)):
            if t == t:
                loss = -t * log_sigmoid(v) - (1 - t) * log_sigmoid(-v)
                found.append((loss, t, i, label))
    return found


def class_entries(z: list[list[float]], y: list[int]) -> list[Entry]:
    return [
        (math.log(sum(math.exp(v - row[c]) for v in row)), c, i, c)
        for i, (row, c) in enumerate(zip(z, y, strict=True))
    ]


def grouped(entries: list[Entry], per: str) -> list[list[Entry]]:
    keys: dict[str, Callable[[Entry], int]] = {
        "batch": lambda _: 0,
        "image": lambda e: e[2],
        "label": lambda e: e[3],
        "class": lambda e: e[3],
    }
    groups: dict[int, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(keys[per](entry), []).append(entry)
    return list(groups.values())


def mean_of(kept: list[Entry]) -> float:
    return sum(entry[0] for entry in kept) / len(kept)


def entries_of(z: Any, y: Any, loss: losses.Loss) -> list[Entry]:
    return (label_entries if loss.kind == "multilabel" else class_entries)(z, y)


def slow_ohem(
    z: Any, y: Any, loss: losses.Loss, ratio: float, min_kept: int = 1, per: str = "batch"
) -> float:
    kept: list[Entry] = []
    for group in grouped(entries_of(z, y, loss), per):
        size = max(math.ceil(ratio * len(group)), min_kept)
        kept += sorted(group, reverse=True)[:size]
    return mean_of(kept)


def slow_negative_ratio(
    z: Any,
    y: Any,
    loss: losses.Loss,
    ratio: float = 3.0,
    min_negatives: int = 1,
    per: str = "batch",
) -> float:
    kept: list[Entry] = []
    for group in grouped(entries_of(z, y, loss), per):
        positives = [e for e in group if e[1] >= 0.5]
        negatives = sorted((e for e in group if e[1] < 0.5), reverse=True)
        size = max(math.ceil(ratio * len(positives)), min_negatives)
        kept += positives + negatives[:size]
    return mean_of(kept)


def slow_semi_hard(
    z: Any,
    y: Any,
    loss: losses.Loss,
    low: float = 0.5,
    high: float = 0.95,
    per: str = "batch",
) -> float:
    kept: list[Entry] = []
    for group in grouped(entries_of(z, y, loss), per):
        kept += [e for e in group if e[1] >= 0.5]
        negatives = [e for e in group if e[1] < 0.5]
        if negatives:
            values = [e[0] for e in negatives]
            bottom, top = np.quantile(values, low), np.quantile(values, high)
            inside = [e for e in negatives if bottom - 1e-12 <= e[0] <= top + 1e-12]
            below = sorted(e for e in negatives if e[0] <= top)
            kept += inside or below[-1:]
    return mean_of(kept)
