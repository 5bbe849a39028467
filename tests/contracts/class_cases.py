"""Rows of the losses for classes; each oracle is a slow loop with math.log."""

from __future__ import annotations

import math

import torch
from loss_case import AIM, NUM_CLASSES, PRIOR, WEIGHT, LossCase, softmax
from torch import Tensor

from equipoise import losses


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


CLASS_CASES = [
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
]
