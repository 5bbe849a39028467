"""Losses for imbalanced data, each with its inverse: function first, Module beside it."""

import equipoise.losses._torch  # noqa: F401  # comes first: says which extra brings torch
from equipoise.losses._reduction import Reduction
from equipoise.losses.base import Loss
from equipoise.losses.binary import BCELoss, PosWeightBCELoss, bce_loss, pos_weight_bce_loss
from equipoise.losses.cross_entropy import (
    CrossEntropyLoss,
    WeightedCrossEntropyLoss,
    cross_entropy,
    weighted_cross_entropy,
)
from equipoise.losses.focal import (
    SigmoidFocalLoss,
    SoftmaxFocalLoss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from equipoise.losses.logit_adjusted import LogitAdjustedLoss, logit_adjusted_loss
from equipoise.losses.posterior import Recovery, recover_posterior, solve_posterior

__all__ = [
    "BCELoss",
    "CrossEntropyLoss",
    "LogitAdjustedLoss",
    "Loss",
    "PosWeightBCELoss",
    "Recovery",
    "Reduction",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
    "WeightedCrossEntropyLoss",
    "bce_loss",
    "cross_entropy",
    "logit_adjusted_loss",
    "pos_weight_bce_loss",
    "recover_posterior",
    "sigmoid_focal_loss",
    "softmax_focal_loss",
    "solve_posterior",
    "weighted_cross_entropy",
]
