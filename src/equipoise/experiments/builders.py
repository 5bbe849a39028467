"""From training labels to remedies that treat imbalance by their loss, and the plain ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from equipoise import losses
from equipoise.artifacts import Labels
from equipoise.experiments.ranking_builders import ranking_remedy
from equipoise.labels import class_weights, pos_weights
from equipoise.training.remedy import Remedy

__all__ = [
    "asymmetric",
    "asymmetric_polynomial",
    "cdt",
    "class_balanced",
    "class_balanced_focal",
    "class_balanced_labels",
    "distribution_balanced",
    "hill",
    "inverse_frequency",
    "label_aware_smoothing",
    "ldam",
    "logit_adjusted",
    "plain_bce",
    "plain_cross_entropy",
    "poly1",
    "poly1_labels",
    "pos_weight",
    "sigmoid_focal",
    "softmax_focal",
    "vector_scaling",
    "weighted_ce",
]


def _prior(labels: Labels) -> list[float] | None:
    if labels.kind == "multilabel":
        return None
    return [float(p) for p in labels.counts / len(labels)]


def _from_loss(name: str, loss: losses.Loss, labels: Labels, **settings: Any) -> Remedy:
    correction = loss.correction(num_classes=labels.num_classes, prior=_prior(labels))
    return Remedy(name, loss, correction, settings=settings)


def plain_bce(labels: Labels) -> Remedy:
    """Binary cross-entropy, untreated."""
    return _from_loss("none", losses.BCELoss(), labels)


def plain_cross_entropy(labels: Labels) -> Remedy:
    """Cross-entropy, untreated."""
    return _from_loss("none", losses.CrossEntropyLoss(), labels)


def pos_weight(labels: Labels, *, power: float, cap: float | None) -> Remedy:
    """(Negatives / positives)^power on the positives of each label; empty labels get 1."""
    weight = pos_weights(labels.counts, labels.known, power=power, cap=cap, zero_counts="smooth")
    loss = losses.PosWeightBCELoss(weight)
    return _from_loss("pos_weight", loss, labels, power=power, cap=cap)


def inverse_frequency(labels: Labels, *, cap: float | None) -> Remedy:
    """All positives / own positives on the positives of each label."""
    counts = np.maximum(labels.counts, 1)
    weight = counts.sum() / counts
    if cap is not None:
        weight = np.minimum(weight, cap)
    return _from_loss("inverse_frequency", losses.PosWeightBCELoss(weight), labels, cap=cap)


def sigmoid_focal(labels: Labels, *, gamma: float) -> Remedy:
    """Sigmoid focal loss without alpha."""
    return _from_loss("focal", losses.SigmoidFocalLoss(gamma=gamma), labels, gamma=gamma)


def weighted_ce(labels: Labels, *, power: float) -> Remedy:
    """Class weights by inverse frequency."""
    weight = class_weights(labels.counts, method="power", power=power, zero_counts="smooth")
    return _from_loss("weighted_ce", losses.WeightedCrossEntropyLoss(weight), labels, power=power)


def class_balanced(labels: Labels, *, beta: Any) -> Remedy:
    """Class weights by effective number."""
    weight = class_weights(
        labels.counts, method="effective_number", beta=beta, zero_counts="smooth"
    )
    return _from_loss("class_balanced", losses.WeightedCrossEntropyLoss(weight), labels, beta=beta)


def class_balanced_labels(labels: Labels, *, beta: Any) -> Remedy:
    """Positives of each label weighted by effective number."""
    loss = losses.ClassBalancedBCELoss.from_label_counts(
        labels.counts, labels.known, weight_on="positives", beta=beta, zero_counts="smooth"
    )
    return _from_loss("class_balanced", loss, labels, beta=beta)


def class_balanced_focal(labels: Labels, *, beta: Any, gamma: float) -> Remedy:
    """Sigmoid focal loss with the positives of each label weighted by effective number."""
    loss = losses.ClassBalancedFocalLoss.from_label_counts(
        labels.counts,
        labels.known,
        weight_on="positives",
        beta=beta,
        gamma=gamma,
        zero_counts="smooth",
    )
    return _from_loss("class_balanced_focal", loss, labels, beta=beta, gamma=gamma)


def asymmetric(
    labels: Labels,
    *,
    gamma_positive: float,
    gamma_negative: float,
    margin: float,
    detach_focus: bool,
) -> Remedy:
    """Asymmetric loss."""
    settings = {
        "gamma_positive": gamma_positive,
        "gamma_negative": gamma_negative,
        "margin": margin,
        "detach_focus": detach_focus,
    }
    loss = losses.AsymmetricLoss(gamma_positive, gamma_negative, margin, detach_focus=detach_focus)
    return _from_loss("asymmetric", loss, labels, **settings)


def asymmetric_polynomial(
    labels: Labels,
    *,
    first: float,
    second: float,
    gamma_positive: float,
    gamma_negative: float,
    margin: float,
    detach_focus: bool,
) -> Remedy:
    """Asymmetric loss with the first terms of positives re-weighted."""
    settings: dict[str, Any] = {
        "first": first,
        "second": second,
        "gamma_positive": gamma_positive,
        "gamma_negative": gamma_negative,
        "margin": margin,
        "detach_focus": detach_focus,
    }
    loss = losses.AsymmetricPolynomialLoss(**settings)
    return _from_loss("asymmetric_polynomial", loss, labels, **settings)


def hill(labels: Labels, *, gamma: float, shift: float, hill: float) -> Remedy:
    """Hill loss; with ``hill`` below 1.5 its outputs only rank."""
    make = _from_loss if hill >= 1.5 else ranking_remedy
    loss = losses.HillLoss(gamma, shift, hill)
    return make("hill", loss, labels, gamma=gamma, shift=shift, hill=hill)


def distribution_balanced(labels: Labels) -> Remedy:
    """Distribution-balanced loss, its weight ratio measured on the training rows."""
    target = torch.from_numpy(labels.values.astype(np.float64))
    target[target < 0] = torch.nan
    loss = losses.DistributionBalancedLoss.from_targets(target)
    return _from_loss("distribution_balanced", loss, labels)


def softmax_focal(labels: Labels, *, gamma: float) -> Remedy:
    """Softmax focal loss without class weights."""
    return _from_loss("focal", losses.SoftmaxFocalLoss(gamma=gamma), labels, gamma=gamma)


def _shares(labels: Labels) -> Any:
    """Return the training prior, with half a row in each empty class."""
    smoothed = labels.counts + 0.5 * (labels.counts == 0)
    return smoothed / smoothed.sum()


def logit_adjusted(labels: Labels, *, tau: float) -> Remedy:
    """Logit-adjusted cross-entropy with the training prior, half a row in each empty class."""
    loss = losses.LogitAdjustedLoss(_shares(labels), tau=tau)
    return _from_loss("logit_adjusted", loss, labels, tau=tau)


def vector_scaling(labels: Labels, *, gamma: float, tau: float) -> Remedy:
    """Cross-entropy of logits scaled and shifted by class shares."""
    loss = losses.VectorScalingLoss(_shares(labels), gamma=gamma, tau=tau)
    return _from_loss("vector_scaling", loss, labels, gamma=gamma, tau=tau)


def cdt(labels: Labels, *, gamma: float) -> Remedy:
    """Cross-entropy with a temperature per class."""
    return _from_loss("cdt", losses.CDTLoss(_shares(labels), gamma=gamma), labels, gamma=gamma)


def label_aware_smoothing(labels: Labels, *, head: float, tail: float) -> Remedy:
    """Cross-entropy with targets smoothed by class counts."""
    loss = losses.LabelAwareSmoothingLoss.from_class_counts(labels.counts, head=head, tail=tail)
    return _from_loss("label_aware_smoothing", loss, labels, head=head, tail=tail)


def poly1(labels: Labels, *, epsilon: float) -> Remedy:
    """Cross-entropy plus epsilon (1 - p)."""
    return _from_loss("poly1", losses.Poly1CrossEntropyLoss(epsilon), labels, epsilon=epsilon)


def poly1_labels(labels: Labels, *, epsilon: float) -> Remedy:
    """Binary cross-entropy plus epsilon times the probability missed."""
    return _from_loss("poly1", losses.Poly1BCELoss(epsilon), labels, epsilon=epsilon)


def ldam(labels: Labels, *, max_margin: float, scale: float) -> Remedy:
    """Margins that go with count^(-1/4), on cosines; empty classes get the largest."""
    loss = losses.LDAMLoss.from_class_counts(
        labels.counts, max_margin=max_margin, scale=scale, zero_counts="ignore"
    )
    made = _from_loss("ldam", loss, labels, max_margin=max_margin, scale=scale)
    return replace(made, head="cosine")
