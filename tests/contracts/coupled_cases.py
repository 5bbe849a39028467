"""Rows of the losses that couple labels or rows; each oracle is a slow loop with math.log."""

from __future__ import annotations

import math

from loss_case import LossCase, sigmoid
from torch import Tensor

from equipoise import losses


def sides(z: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    pairs = list(zip(z, y, strict=True))
    return [v for v, t in pairs if t == 1], [v for v, t in pairs if t == 0]


def slow_zlpr(z: list[float], y: list[float]) -> float:
    positive, negative = sides(z, y)
    below = math.log(1 + sum(math.exp(v) for v in negative))
    return below + math.log(1 + sum(math.exp(-v) for v in positive))


def slow_two_way(z: list[list[float]], y: list[list[float]]) -> float:
    total = 0.0
    for scores, truth in ((z, y), (zip(*z, strict=True), zip(*y, strict=True))):
        found = []
        for row, marks in zip(scores, truth, strict=True):
            positive, negative = sides(list(row), list(marks))
            if positive and negative:
                low = math.log(sum(math.exp(v) for v in negative))
                high = 4 * math.log(sum(math.exp(-v / 4) for v in positive))
                found.append(math.log(1 + math.exp(low + high)))
        total += sum(found) / len(found)
    return total


def slow_soft_f(z: list[float], y: list[float], beta: float = 1.0) -> float:
    positive, negative = sides(z, y)
    hit = sum(sigmoid(v) for v in positive)
    missed, false = len(positive) - hit, sum(sigmoid(v) for v in negative)
    return 1 - (1 + beta**2) * hit / ((1 + beta**2) * hit + beta**2 * missed + false)


def slow_auc(z: list[float], y: list[float], margin: float = 1.0) -> float:
    positive, negative = sides(z, y)
    paid = [max(0.0, margin - a + b) ** 2 for a in positive for b in negative]
    return sum(paid) / len(paid)


def slow_ap(z: list[float], y: list[float], temperature: float = 0.1) -> float:
    positive, negative = sides(z, y)
    total = 0.0
    for i, a in enumerate(positive):
        hits = [sigmoid((b - a) / temperature) for j, b in enumerate(positive) if j != i]
        rest = [sigmoid((b - a) / temperature) for b in negative]
        total += (1 + sum(hits)) / (1 + sum(hits) + sum(rest))
    return 1 - total / len(positive)


def has_positive(target: Tensor) -> Tensor:
    return (target == 1).any(-2)


def has_both(target: Tensor) -> Tensor:
    return has_positive(target) & (target == 0).any(-2)


COUPLED_CASES = [
    LossCase("zlpr", losses.ZLPRLoss, losses.zlpr_loss, slow_zlpr, neutral=None, unit="row"),
    LossCase(
        "two_way",
        losses.TwoWayLoss,
        losses.two_way_loss,
        slow_two_way,
        neutral=None,
        unit="batch",
        learns_when_wrong=False,
    ),
    LossCase(
        "soft_f_beta",
        losses.SoftFBetaLoss,
        losses.soft_f_beta_loss,
        slow_soft_f,
        {"beta": 2.0},
        neutral=None,
        unit="label",
        counted=has_positive,
        learns_when_wrong=False,
    ),
    LossCase(
        "pairwise_auc",
        losses.PairwiseAUCLoss,
        losses.pairwise_auc_loss,
        slow_auc,
        neutral=None,
        unit="label",
        counted=has_both,
        learns_when_wrong=False,
    ),
    LossCase(
        "smooth_ap",
        losses.SmoothAPLoss,
        losses.smooth_ap_loss,
        slow_ap,
        {"temperature": 0.5},
        neutral=None,
        unit="label",
        counted=has_positive,
        learns_when_wrong=False,
    ),
]
