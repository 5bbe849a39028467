"""Rows of the losses for labels; each oracle is a slow loop with math.log."""

from __future__ import annotations

import math
from typing import Any

import torch
from loss_case import ALPHA, NUM_LABELS, POS_WEIGHT, LossCase, sigmoid
from torch import Tensor

from equipoise import losses


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


LABEL_CASES = [
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
