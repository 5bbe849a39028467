"""Rows of the losses for classes; each oracle is a slow loop with math.log."""

from __future__ import annotations

import math

import torch
from loss_case import AIM, NUM_CLASSES, PRIOR, WEIGHT, LossCase, softmax
from torch import Tensor

from equipoise import losses

MARGIN = torch.tensor([0.2, 0.25, 0.3, 0.4, 0.5])
SMOOTHING = torch.tensor([0.4, 0.3, 0.2, 0.15, 0.1])


def slow_ce(z: list[float], y: int, label_smoothing: float = 0.0) -> float:
    loss = 0.0
    for k, p in enumerate(softmax(z)):
        share = label_smoothing / len(z) + (1 - label_smoothing) * (k == y)
        loss -= share * math.log(p)
    return loss


def slow_weighted_ce(
    z: list[float], y: int, weight: Tensor, normalizer: str = "", label_smoothing: float = 0.0
) -> float:
    return float(weight[y]) * slow_ce(z, y, label_smoothing)


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


def slow_poly1(z: list[float], y: int, epsilon: float) -> float:
    p = softmax(z)[y]
    return -math.log(p) + epsilon * (1 - p)


def slow_ldam(z: list[float], y: int, margin: Tensor, scale: float) -> float:
    lowered = [scale * (v - float(margin[y]) * (k == y)) for k, v in enumerate(z)]
    return -math.log(softmax(lowered)[y])


def slow_vector_scaling(
    z: list[float],
    y: int,
    prior: Tensor,
    gamma: float,
    tau: float = 0.0,
    weight: Tensor | None = None,
) -> float:
    seen = []
    for k, value in enumerate(z):
        factor = (float(prior[k]) / float(prior.max())) ** gamma
        seen.append(factor * value + tau * math.log(float(prior[k])))
    return -(1.0 if weight is None else float(weight[y])) * math.log(softmax(seen)[y])


def slow_label_aware(z: list[float], y: int, smoothing: Tensor) -> float:
    e, loss = float(smoothing[y]), 0.0
    for k, p in enumerate(softmax(z)):
        loss -= (1 - e if k == y else e / (len(z) - 1)) * math.log(p)
    return loss


CLASS_CASES = [
    LossCase("cross_entropy", losses.CrossEntropyLoss, losses.cross_entropy, slow_ce),
    LossCase(
        "cross_entropy_smoothed",
        losses.CrossEntropyLoss,
        losses.cross_entropy,
        slow_ce,
        {"label_smoothing": 0.1},
        {"label_smoothing": 0.0},
        clips=True,
    ),
    LossCase(
        "weighted_cross_entropy_smoothed",
        losses.WeightedCrossEntropyLoss,
        losses.weighted_cross_entropy,
        slow_weighted_ce,
        {"weight": WEIGHT, "label_smoothing": 0.1},
        {"weight": torch.ones(NUM_CLASSES)},
        ("weight",),
        clips=True,
    ),
    LossCase(
        "weighted_cross_entropy_global",
        losses.WeightedCrossEntropyLoss,
        losses.weighted_cross_entropy,
        slow_weighted_ce,
        {"weight": WEIGHT, "normalizer": "global"},
        {"weight": torch.ones(NUM_CLASSES)},
        ("weight",),
        mean_weight="weight",
    ),
    LossCase(
        "poly1",
        losses.Poly1CrossEntropyLoss,
        losses.poly1_cross_entropy_loss,
        slow_poly1,
        {"epsilon": 2.0},
        {"epsilon": 0.0},
    ),
    LossCase(
        "poly1_negative",
        losses.Poly1CrossEntropyLoss,
        losses.poly1_cross_entropy_loss,
        slow_poly1,
        {"epsilon": -0.5},
        {"epsilon": 0.0},
    ),
    LossCase(
        "ldam",
        losses.LDAMLoss,
        losses.ldam_loss,
        slow_ldam,
        {"margin": MARGIN, "scale": 2.0},
        {"margin": torch.zeros(NUM_CLASSES), "scale": 1.0},
        ("margin",),
    ),
    LossCase(
        "vector_scaling",
        losses.VectorScalingLoss,
        losses.vector_scaling_loss,
        slow_vector_scaling,
        {"prior": PRIOR, "gamma": 0.15, "tau": 1.25},
        {"prior": PRIOR, "gamma": 0.0, "tau": 0.0},
        ("prior",),
    ),
    LossCase(
        "vector_scaling_weighted",
        losses.VectorScalingLoss,
        losses.vector_scaling_loss,
        slow_vector_scaling,
        {"prior": PRIOR, "gamma": 0.1, "tau": 0.5, "weight": WEIGHT},
        {"prior": PRIOR, "gamma": 0.0, "tau": 0.0},
        ("prior", "weight"),
    ),
    LossCase(
        "cdt",
        losses.CDTLoss,
        losses.cdt_loss,
        slow_vector_scaling,
        {"prior": PRIOR, "gamma": 0.2},
        {"prior": PRIOR, "gamma": 0.0},
        ("prior",),
    ),
    LossCase(
        "label_aware_smoothing",
        losses.LabelAwareSmoothingLoss,
        losses.label_aware_smoothing_loss,
        slow_label_aware,
        {"smoothing": SMOOTHING},
        {"smoothing": torch.zeros(NUM_CLASSES)},
        ("smoothing",),
        clips=True,
    ),
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
        "balanced_softmax",
        losses.BalancedSoftmaxLoss,
        losses.balanced_softmax_loss,
        slow_logit_adjusted,
        {"prior": PRIOR},
        {"prior": torch.ones(NUM_CLASSES)},
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
