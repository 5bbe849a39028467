"""Losses for imbalanced data, each with its inverse: function first, Module beside it."""

import equipoise.losses._torch  # noqa: F401  # comes first: says which extra brings torch
from equipoise.losses._passes import Reduction
from equipoise.losses.asymmetric import AsymmetricLoss, asymmetric_loss
from equipoise.losses.base import ClassLoss, Loss
from equipoise.losses.binary import BCELoss, PosWeightBCELoss, bce_loss, pos_weight_bce_loss
from equipoise.losses.class_balanced import (
    ClassBalancedBCELoss,
    ClassBalancedFocalLoss,
    class_balanced_bce_loss,
    class_balanced_focal_loss,
)
from equipoise.losses.cross_entropy import (
    CrossEntropyLoss,
    WeightedCrossEntropyLoss,
    cross_entropy,
    weighted_cross_entropy,
)
from equipoise.losses.distribution_balanced import (
    DistributionBalancedLoss,
    distribution_balanced_loss,
)
from equipoise.losses.focal import (
    SigmoidFocalLoss,
    SoftmaxFocalLoss,
    sigmoid_focal_loss,
    softmax_focal_loss,
)
from equipoise.losses.hill import HillLoss, SPLCLoss, hill_loss, splc_loss
from equipoise.losses.label_sets import TwoWayLoss, ZLPRLoss, two_way_loss, zlpr_loss
from equipoise.losses.ldam import LDAMLoss, ldam_loss
from equipoise.losses.logit_adjusted import (
    BalancedSoftmaxLoss,
    LogitAdjustedLoss,
    balanced_softmax_loss,
    logit_adjusted_loss,
)
from equipoise.losses.online import (
    NegativeRatioLoss,
    OHEMLoss,
    OnlineLoss,
    SemiHardLoss,
    negative_ratio_loss,
    ohem_loss,
    semi_hard_loss,
)
from equipoise.losses.poly import (
    AsymmetricPolynomialLoss,
    Poly1BCELoss,
    Poly1CrossEntropyLoss,
    asymmetric_polynomial_loss,
    poly1_bce_loss,
    poly1_cross_entropy_loss,
)
from equipoise.losses.posterior import Recovery, recover_posterior
from equipoise.losses.ranking import (
    PairwiseAUCLoss,
    SmoothAPLoss,
    SoftFBetaLoss,
    pairwise_auc_loss,
    smooth_ap_loss,
    soft_f_beta_loss,
)
from equipoise.losses.smoothing import LabelAwareSmoothingLoss, label_aware_smoothing_loss
from equipoise.losses.vector_scaling import (
    CDTLoss,
    VectorScalingLoss,
    cdt_loss,
    vector_scaling_loss,
)

__all__ = [
    "AsymmetricLoss",
    "AsymmetricPolynomialLoss",
    "BCELoss",
    "BalancedSoftmaxLoss",
    "CDTLoss",
    "ClassBalancedBCELoss",
    "ClassBalancedFocalLoss",
    "ClassLoss",
    "CrossEntropyLoss",
    "DistributionBalancedLoss",
    "HillLoss",
    "LDAMLoss",
    "LabelAwareSmoothingLoss",
    "LogitAdjustedLoss",
    "Loss",
    "NegativeRatioLoss",
    "OHEMLoss",
    "OnlineLoss",
    "PairwiseAUCLoss",
    "Poly1BCELoss",
    "Poly1CrossEntropyLoss",
    "PosWeightBCELoss",
    "Recovery",
    "Reduction",
    "SPLCLoss",
    "SemiHardLoss",
    "SigmoidFocalLoss",
    "SmoothAPLoss",
    "SoftFBetaLoss",
    "SoftmaxFocalLoss",
    "TwoWayLoss",
    "VectorScalingLoss",
    "WeightedCrossEntropyLoss",
    "ZLPRLoss",
    "asymmetric_loss",
    "asymmetric_polynomial_loss",
    "balanced_softmax_loss",
    "bce_loss",
    "cdt_loss",
    "class_balanced_bce_loss",
    "class_balanced_focal_loss",
    "cross_entropy",
    "distribution_balanced_loss",
    "hill_loss",
    "label_aware_smoothing_loss",
    "ldam_loss",
    "logit_adjusted_loss",
    "negative_ratio_loss",
    "ohem_loss",
    "pairwise_auc_loss",
    "poly1_bce_loss",
    "poly1_cross_entropy_loss",
    "pos_weight_bce_loss",
    "recover_posterior",
    "semi_hard_loss",
    "sigmoid_focal_loss",
    "smooth_ap_loss",
    "soft_f_beta_loss",
    "softmax_focal_loss",
    "splc_loss",
    "two_way_loss",
    "vector_scaling_loss",
    "weighted_cross_entropy",
    "zlpr_loss",
]
