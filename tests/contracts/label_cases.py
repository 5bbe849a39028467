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


def slow_focal_positive(p: float, gamma: float) -> float:
    return -((1 - p) ** gamma) * math.log(p)


def slow_asymmetric_negative(z: float, gamma: float, margin: float) -> float:
    p = max(sigmoid(z) - margin, 0.0)
    rest = sigmoid(-z) if margin == 0 else 1 - p
    return -(p**gamma) * math.log(rest)


def slow_asymmetric(
    z: float,
    y: float,
    label: int,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    detach_focus: bool = False,
) -> float:
    positive = slow_focal_positive(sigmoid(z), gamma_positive)
    return y * positive + (1 - y) * slow_asymmetric_negative(z, gamma_negative, margin)


def frozen_asymmetric(one: float, zero: float, margin: float) -> Any:
    def loss(z: Tensor, y: Tensor, at: Tensor) -> Tensor:
        shifted, fixed = ((v.sigmoid() - margin).clamp_min(0.0) for v in (z, at.detach()))
        positive = (1 - at.detach().sigmoid()) ** one * -z.sigmoid().log()
        return y * positive + (1 - y) * fixed**zero * -(1 - shifted).log()

    return loss


def slow_asymmetric_polynomial(
    z: float,
    y: float,
    label: int,
    first: float = 1.0,
    second: float = -1.25,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    detach_focus: bool = False,
) -> float:
    p = sigmoid(z)
    series = math.log(p) + first * (1 - p) + second * (1 - p) ** 2
    positive = -((1 - p) ** gamma_positive) * series
    return y * positive + (1 - y) * slow_asymmetric_negative(z, gamma_negative, margin)


def slow_poly1(z: float, y: float, label: int, epsilon: float) -> float:
    p = sigmoid(z)
    return slow_bce(z, y, label) + epsilon * (y * (1 - p) + (1 - y) * p)


def slow_hill(
    z: float, y: float, label: int, gamma: float = 2.0, shift: float = 1.0, hill: float = 1.5
) -> float:
    p = sigmoid(z)
    return y * slow_focal_positive(sigmoid(z - shift), gamma) + (1 - y) * (hill - p) * p**2


def slow_splc(
    z: float,
    y: float,
    label: int,
    correcting: bool = True,
    cut: float = 0.6,
    gamma: float = 2.0,
    shift: float = 1.0,
) -> float:
    positive = slow_focal_positive(sigmoid(z - shift), gamma)
    negative = slow_focal_positive(sigmoid(-z), gamma)
    if correcting and sigmoid(z) > cut:
        negative = positive
    return y * positive + (1 - y) * negative


def slow_class_balanced(
    z: float, y: float, label: int, weight: Tensor, weight_on: str, gamma: float = 0.0
) -> float:
    w, p = float(weight[label]), sigmoid(z)
    other = 1.0 if weight_on == "positives" else w
    negative = slow_focal_positive(sigmoid(-z), gamma)
    return w * y * slow_focal_positive(p, gamma) + other * (1 - y) * negative


def slow_distribution_balanced(
    row: list[float],
    truth: list[float],
    n_positive: Tensor,
    n_rows: float,
    alpha: float = 0.1,
    beta: float = 10.0,
    mu: float = 0.2,
    kappa: float = 0.05,
    scale: float = 2.0,
    gamma: float = 2.0,
) -> list[float]:
    counts = [max(n, 1.0) for n in n_positive.tolist()]
    total = sum(1 / n for n, y in zip(counts, truth, strict=True) if y == 1)
    found = []
    for z, y, n in zip(row, truth, counts, strict=True):
        r = 1 / n / total if total > 0 else mu
        moved = z - kappa * math.log((n_rows - n) / n)
        positive = slow_focal_positive(sigmoid(moved), gamma)
        negative = slow_focal_positive(sigmoid(-scale * moved), gamma) / scale
        loss = (alpha + sigmoid(beta * (r - mu))) * (y * positive + (1 - y) * negative)
        found.append(loss if y == y else 0.0)
    return found


DB = (
    losses.DistributionBalancedLoss,
    losses.distribution_balanced_loss,
    slow_distribution_balanced,
)
DB_COUNTS = {"n_positive": torch.tensor([0.0, 3.0, 40.0, 60.0]), "n_rows": 100.0}
DB_NEUTRAL = {"alpha": 0.5, "beta": 0.0, "kappa": 0.0, "scale": 1.0, "gamma": 0.0}
BALANCED = losses.ClassBalancedBCELoss, losses.class_balanced_bce_loss, slow_class_balanced
ASL = losses.AsymmetricLoss, losses.asymmetric_loss, slow_asymmetric
PLAIN_ASL = {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0}

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
    LossCase("asymmetric", *ASL, {}, PLAIN_ASL, reach=(0.0, 0.9637), learns_when_wrong=False),
    LossCase(
        "asymmetric_detached",
        *ASL,
        {"detach_focus": True},
        {**PLAIN_ASL, "detach_focus": True},
        frozen=frozen_asymmetric(0.0, 4.0, 0.05),
        reach=(0.0, 0.942),
        learns_when_wrong=False,
    ),
    LossCase(
        "asymmetric_both_focused",
        *ASL,
        {"gamma_positive": 1.0, "gamma_negative": 2.5},
        PLAIN_ASL,
        learns_when_wrong=False,
    ),
    LossCase(
        "asymmetric_without_margin_detached",
        *ASL,
        {"gamma_positive": 0.5, "gamma_negative": 2.0, "margin": 0.0, "detach_focus": True},
        {**PLAIN_ASL, "detach_focus": True},
        frozen=frozen_asymmetric(0.5, 2.0, 0.0),
    ),
    LossCase(
        "asymmetric_without_margin_below_one",
        *ASL,
        {"gamma_positive": 0.5, "gamma_negative": 0.7, "margin": 0.0},
        PLAIN_ASL,
    ),
    LossCase(
        "asymmetric_polynomial",
        losses.AsymmetricPolynomialLoss,
        losses.asymmetric_polynomial_loss,
        slow_asymmetric_polynomial,
        {},
        {"first": 0.0, "second": 0.0, **PLAIN_ASL},
        learns_when_wrong=False,
    ),
    LossCase(
        "asymmetric_polynomial_focused",
        losses.AsymmetricPolynomialLoss,
        losses.asymmetric_polynomial_loss,
        slow_asymmetric_polynomial,
        {"first": 0.5, "second": -0.3, "gamma_positive": 1.0, "margin": 0.0},
        {"first": 0.0, "second": 0.0, **PLAIN_ASL},
    ),
    LossCase(
        "poly1_bce",
        losses.Poly1BCELoss,
        losses.poly1_bce_loss,
        slow_poly1,
        {"epsilon": 2.0},
        {"epsilon": 0.0},
        same_at_zero=0.5,
    ),
    LossCase(
        "hill",
        losses.HillLoss,
        losses.hill_loss,
        slow_hill,
        neutral=None,
        learns_when_wrong=False,
    ),
    LossCase(
        "splc",
        losses.SPLCLoss,
        losses.splc_loss,
        slow_splc,
        {"correcting": True},
        {"correcting": False, "gamma": 0.0, "shift": 0.0},
        learns_when_wrong=False,
    ),
    LossCase(
        "class_balanced_bce_on_positives",
        *BALANCED,
        {"weight": POS_WEIGHT, "weight_on": "positives"},
        {"weight": torch.ones(NUM_LABELS), "weight_on": "positives"},
        ("weight",),
    ),
    LossCase(
        "class_balanced_bce_on_the_label",
        *BALANCED,
        {"weight": POS_WEIGHT, "weight_on": "label"},
        {"weight": torch.ones(NUM_LABELS), "weight_on": "label"},
        ("weight",),
        same_at_zero=0.5,
    ),
    LossCase(
        "class_balanced_focal",
        losses.ClassBalancedFocalLoss,
        losses.class_balanced_focal_loss,
        slow_class_balanced,
        {"weight": POS_WEIGHT, "weight_on": "positives", "gamma": 2.0},
        {"weight": torch.ones(NUM_LABELS), "weight_on": "positives", "gamma": 0.0},
        ("weight",),
    ),
    LossCase(
        "distribution_balanced",
        *DB,
        DB_COUNTS,
        {**DB_COUNTS, **DB_NEUTRAL},
        ("n_positive",),
        by_row=True,
    ),
]
