"""Names that set-ups use for losses, samplers and metrics, so that a misspelt one is answered."""

from __future__ import annotations

import warnings

from equipoise._core.messages import closest
from equipoise.errors import DataWarning

_KERAS_LOSSES = (
    "binary_crossentropy", "BinaryCrossentropy", "categorical_crossentropy",
    "CategoricalCrossentropy", "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy",
    "binary_focal_crossentropy", "BinaryFocalCrossentropy", "categorical_focal_crossentropy",
    "CategoricalFocalCrossentropy", "hinge", "Hinge", "squared_hinge", "SquaredHinge",
    "categorical_hinge", "CategoricalHinge", "kl_divergence", "KLDivergence", "mean_squared_error",
    "mse", "MeanSquaredError", "Dice", "dice", "Tversky", "tversky",
)  # fmt: skip
_TORCH_LOSSES = (
    "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "NLLLoss", "MSELoss", "KLDivLoss",
    "MultiLabelSoftMarginLoss", "MultiLabelMarginLoss", "MultiMarginLoss", "SoftMarginLoss",
    "HingeEmbeddingLoss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "cross_entropy", "nll_loss", "sigmoid_focal_loss",
)  # fmt: skip
_OURS = (
    "Asymmetric", "AsymmetricPolynomial", "BCE", "BalancedSoftmax", "CDT", "ClassBalancedBCE",
    "ClassBalancedFocal", "CrossEntropy", "DistributionBalanced", "Hill", "LDAM",
    "LabelAwareSmoothing", "LogitAdjusted", "NegativeRatio", "OHEM", "Online", "PairwiseAUC",
    "Poly1BCE", "Poly1CrossEntropy", "PosWeightBCE", "SPLC", "SemiHard", "SigmoidFocal",
    "SmoothAP", "SoftFBeta", "SoftmaxFocal", "TwoWay", "VectorScaling", "WeightedCrossEntropy",
    "ZLPR",
)  # fmt: skip
_SHORT = ("bce", "ce", "asl", "weighted_bce", "plain_bce", "plain_cross_entropy", "logloss",
          "log_loss")  # fmt: skip
# Of the catalogue of methods; a test compares them with it.
LOSS_METHODS = (
    "pos_weight", "inverse_frequency", "weighted_ce", "class_balanced", "focal", "asymmetric",
    "distribution_balanced", "logit_adjusted", "vector_scaling", "cdt", "label_aware_smoothing",
    "poly1", "ldam", "class_balanced_focal", "asymmetric_polynomial", "hill", "splc", "zlpr",
    "two_way", "soft_f_beta", "pairwise_auc", "smooth_ap", "ohem", "negative_ratio", "semi_hard",
    "dice", "tversky", "focal_tversky",
)  # fmt: skip
SAMPLER_METHODS = (
    "class_balanced_sampling", "weighted_sampling", "square_root_sampling",
    "effective_number_sampling", "reversed_sampling", "progressive_sampling", "repeat_factor",
    "raking", "inverse_labelset", "single_label_rows", "random_oversample", "random_undersample",
    "ml_ros", "ml_rus", "lp_ros", "lp_rus", "augment_balance", "smote", "borderline_smote",
)  # fmt: skip
LOSSES = (
    *_SHORT, *LOSS_METHODS, *_KERAS_LOSSES, *_TORCH_LOSSES, *(f"{name}Loss" for name in _OURS)
)  # fmt: skip
SAMPLERS = (
    *SAMPLER_METHODS, "WeightedRandomSampler", "ClassBalancedSampler", "WeightedSampler",
    "RepeatFactorSampler", "ProgressiveSampler", "BalancedBatchSampler", "StratifiedBatchSampler",
    "PKBatchSampler", "ListedRowsSampler", "ImbalancedDatasetSampler", "RandomOverSampler",
    "RandomUnderSampler", "SMOTENC", "mlsmote", "mlsol", "oversampling", "undersampling",
)  # fmt: skip
METRICS = (
    "accuracy", "acc", "Accuracy", "binary_accuracy", "BinaryAccuracy", "categorical_accuracy",
    "CategoricalAccuracy", "sparse_categorical_accuracy", "SparseCategoricalAccuracy",
    "top_k_categorical_accuracy", "TopKCategoricalAccuracy", "precision", "Precision", "recall",
    "Recall", "auc", "AUC", "auroc", "AUROC", "roc_auc", "pr_auc", "auprc", "average_precision",
    "ap", "map", "mAP", "f1", "F1Score", "f1_score", "f2", "fbeta", "FBetaScore", "macro_f1",
    "micro_f1", "balanced_accuracy", "mcc", "matthews_corrcoef", "specificity", "sensitivity",
    "hamming_loss", "log_loss", "loss", "brier", "TruePositives", "FalsePositives",
    "TrueNegatives", "FalseNegatives", "BinaryIoU", "cohen_kappa",
)  # fmt: skip


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


_KNOWN = {
    "loss": {_plain(name) for name in LOSSES},
    "sampler": {_plain(name) for name in SAMPLERS},
    "metrics": {_plain(name) for name in METRICS},
}
_LISTS = {"loss": LOSSES, "sampler": SAMPLERS, "metrics": METRICS}


def ask_about(where: str, key: str, name: str) -> None:
    """Warn where a set-up names a loss, sampler or metric that nobody here has heard of.

    Case and underscores do not matter. Such a name is kept: it may be one's own.
    """
    if _plain(name) in _KNOWN[key]:
        return
    hint = closest(name, _LISTS[key])
    shown = hint if hint.startswith("Did you mean") else ""
    warnings.warn(
        f"`{where}` {name!r} is not known here, so nothing about it is checked. {shown}".strip(),
        DataWarning,
        stacklevel=3,
    )
