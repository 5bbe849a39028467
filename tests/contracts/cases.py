"""One row per public loss; a public loss without a row fails the suite.

Each row brings a loss under all laws of test_losses.py. Its oracle is a slow loop with math.log.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from equipoise import losses
from equipoise.losses import Loss

NUM_CLASSES, NUM_LABELS = 5, 4
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])
POS_WEIGHT = torch.tensor([1.0, 3.0, 9.0, 0.5])
PRIOR = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
AIM = torch.tensor([0.2, 0.3, 0.2, 0.2, 0.1])
ALPHA = torch.tensor([0.25, 0.5, 0.75, 0.9])

NO_LOSS = {"Loss", "Recovery", "Reduction", "recover_posterior", "solve_posterior"}
"""Public names of equipoise.losses that are not losses."""


@dataclass(frozen=True)
class LossCase:
    """A loss, its settings, what it is with neutral settings, and a loop that computes it."""

    name: str
    module: type[Loss]
    function: Callable[..., Tensor]
    oracle: Callable[..., float]
    settings: dict[str, Any] = field(default_factory=dict)
    neutral: dict[str, Any] | None = field(default_factory=dict)
    per_class: tuple[str, ...] = ()
    mean_weight: str | None = None
    same_at_zero: float | None = None

    @property
    def kind(self) -> str:
        return self.module.kind

    @property
    def width(self) -> int:
        return NUM_CLASSES if self.kind == "multiclass" else NUM_LABELS

    def build(self, **changes: Any) -> Loss:
        settings: Any = {**self.settings, **changes}
        return self.module(**settings)


def softmax(z: list[float]) -> list[float]:
    top = max(z)
    powers = [math.exp(v - top) for v in z]
    return [v / sum(powers) for v in powers]


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


def slow_ce(z: list[float], y: int) -> float:
    return -math.log(softmax(z)[y])


def slow_weighted_ce(z: list[float], y: int, weight: Tensor, normalizer: str = "") -> float:
    return -float(weight[y]) * math.log(softmax(z)[y])


def slow_softmax_focal(
    z: list[float], y: int, gamma: float = 2.0, weight: Tensor | None = None
) -> float:
    p = softmax(z)[y]
    w = 1.0 if weight is None else float(weight[y])
    return -w * (1.0 - p) ** gamma * math.log(p)


def slow_logit_adjusted(
    z: list[float], y: int, prior: Tensor, tau: float = 1.0, target_prior: Tensor | None = None
) -> float:
    shifted = []
    for k, value in enumerate(z):
        aim = 1.0 if target_prior is None else float(target_prior[k])
        shifted.append(value + tau * math.log(float(prior[k]) / aim))
    return -math.log(softmax(shifted)[y])


def slow_bce(z: float, y: float, label: int) -> float:
    return -y * math.log(sigmoid(z)) - (1 - y) * math.log(sigmoid(-z))


def slow_pos_weight_bce(z: float, y: float, label: int, pos_weight: Tensor) -> float:
    w = float(pos_weight[label])
    return -w * y * math.log(sigmoid(z)) - (1 - y) * math.log(sigmoid(-z))


def slow_sigmoid_focal(
    z: float, y: float, label: int, gamma: float = 2.0, alpha: Any = None
) -> float:
    p = sigmoid(z)
    if alpha is None:
        one, zero = 1.0, 1.0
    else:
        one = float(alpha[label]) if isinstance(alpha, Tensor) else alpha
        zero = 1.0 - one
    positive = -one * y * (1 - p) ** gamma * math.log(p)
    return positive - zero * (1 - y) * p**gamma * math.log(1 - p)


CASES = [
    LossCase("cross_entropy", losses.CrossEntropyLoss, losses.cross_entropy, slow_ce),
    LossCase(
        "weighted_cross_entropy",
        losses.WeightedCrossEntropyLoss,
        losses.weighted_cross_entropy,
        slow_weighted_ce,
        {"weight": WEIGHT},
        {"weight": torch.ones(NUM_CLASSES)},
        ("weight",),
    ),
    LossCase(
        "weighted_cross_entropy_by_weights",
        losses.WeightedCrossEntropyLoss,
        losses.weighted_cross_entropy,
        slow_weighted_ce,
        {"weight": WEIGHT, "normalizer": "weights"},
        {"weight": torch.ones(NUM_CLASSES)},
        ("weight",),
        mean_weight="weight",
    ),
    LossCase(
        "softmax_focal",
        losses.SoftmaxFocalLoss,
        losses.softmax_focal_loss,
        slow_softmax_focal,
        {"gamma": 2.0},
        {"gamma": 0.0},
    ),
    LossCase(
        "softmax_focal_weighted_below_one",
        losses.SoftmaxFocalLoss,
        losses.softmax_focal_loss,
        slow_softmax_focal,
        {"gamma": 0.5, "weight": WEIGHT},
        {"gamma": 0.0},
        ("weight",),
    ),
    LossCase(
        "logit_adjusted",
        losses.LogitAdjustedLoss,
        losses.logit_adjusted_loss,
        slow_logit_adjusted,
        {"prior": PRIOR},
        {"prior": PRIOR, "tau": 0.0},
        ("prior",),
    ),
    LossCase(
        "logit_adjusted_to_a_target",
        losses.LogitAdjustedLoss,
        losses.logit_adjusted_loss,
        slow_logit_adjusted,
        {"prior": PRIOR, "tau": 1.5, "target_prior": AIM},
        {"prior": PRIOR, "target_prior": PRIOR},
        ("prior", "target_prior"),
    ),
    LossCase("bce", losses.BCELoss, losses.bce_loss, slow_bce, same_at_zero=0.5),
    LossCase(
        "pos_weight_bce",
        losses.PosWeightBCELoss,
        losses.pos_weight_bce_loss,
        slow_pos_weight_bce,
        {"pos_weight": POS_WEIGHT},
        {"pos_weight": torch.ones(NUM_LABELS)},
        ("pos_weight",),
    ),
    LossCase(
        "sigmoid_focal",
        losses.SigmoidFocalLoss,
        losses.sigmoid_focal_loss,
        slow_sigmoid_focal,
        {"gamma": 2.0},
        {"gamma": 0.0},
        same_at_zero=0.5,
    ),
    LossCase(
        "sigmoid_focal_scalar_alpha",
        losses.SigmoidFocalLoss,
        losses.sigmoid_focal_loss,
        slow_sigmoid_focal,
        {"gamma": 2.0, "alpha": 0.25},
        {"gamma": 0.0},
        same_at_zero=0.75,
    ),
    LossCase(
        "sigmoid_focal_alpha_below_one",
        losses.SigmoidFocalLoss,
        losses.sigmoid_focal_loss,
        slow_sigmoid_focal,
        {"gamma": 0.5, "alpha": ALPHA},
        {"gamma": 0.0},
        ("alpha",),
    ),
]
