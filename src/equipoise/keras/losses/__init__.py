"""Losses for imbalanced data in ``keras.ops``, each with its inverse; equal to those for torch."""

from equipoise.keras.losses.asymmetric import AsymmetricLoss
from equipoise.keras.losses.base import ClassLoss, LabelLoss, Loss
from equipoise.keras.losses.binary import BCELoss, PosWeightBCELoss
from equipoise.keras.losses.class_balanced import ClassBalancedBCELoss, ClassBalancedFocalLoss
from equipoise.keras.losses.deferred import DeferredLoss
from equipoise.keras.losses.distribution_balanced import DistributionBalancedLoss
from equipoise.keras.losses.focal import SigmoidFocalLoss, SoftmaxFocalLoss
from equipoise.keras.losses.ldam import LDAMLoss
from equipoise.keras.losses.logit_adjusted import BalancedSoftmaxLoss, LogitAdjustedLoss
from equipoise.keras.losses.vector_scaling import CDTLoss, VectorScalingLoss

__all__ = [
    "AsymmetricLoss",
    "BCELoss",
    "BalancedSoftmaxLoss",
    "CDTLoss",
    "ClassBalancedBCELoss",
    "ClassBalancedFocalLoss",
    "ClassLoss",
    "DeferredLoss",
    "DistributionBalancedLoss",
    "LDAMLoss",
    "LabelLoss",
    "LogitAdjustedLoss",
    "Loss",
    "PosWeightBCELoss",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
    "VectorScalingLoss",
]
