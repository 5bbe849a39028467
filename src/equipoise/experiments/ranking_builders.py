"""From training labels to remedies whose outputs rank and carry no probability."""

from __future__ import annotations

from typing import Any

from equipoise import losses
from equipoise.artifacts import Correction, Labels
from equipoise.training.remedy import Remedy

__all__ = [
    "pairwise_auc",
    "ranking_remedy",
    "smooth_ap",
    "soft_f_beta",
    "splc",
    "two_way",
    "zlpr",
]


def ranking_remedy(name: str, loss: losses.Loss, labels: Labels, **settings: Any) -> Remedy:
    """Return a remedy without a way back: a fitted calibrator is compulsory."""
    return Remedy(name, loss, Correction(labels.kind, exactness="none"), settings=settings)


def splc(labels: Labels, *, cut: float, gamma: float, shift: float, first_epoch: int) -> Remedy:
    """Self-paced correction of missing positives."""
    loss = losses.SPLCLoss(cut, gamma, shift, first_epoch=first_epoch)
    return ranking_remedy(
        "splc", loss, labels, cut=cut, gamma=gamma, shift=shift, first_epoch=first_epoch
    )


def zlpr(labels: Labels) -> Remedy:
    """Zero-bounded log-sum-exp and pairwise rank loss."""
    return ranking_remedy("zlpr", losses.ZLPRLoss(), labels)


def two_way(labels: Labels, *, temperature_positive: float, temperature_negative: float) -> Remedy:
    """Two-way multi-label loss."""
    settings = {
        "temperature_positive": temperature_positive,
        "temperature_negative": temperature_negative,
    }
    loss = losses.TwoWayLoss(temperature_positive, temperature_negative)
    return ranking_remedy("two_way", loss, labels, **settings)


def soft_f_beta(labels: Labels, *, beta: float) -> Remedy:
    """One minus soft F-beta."""
    return ranking_remedy("soft_f_beta", losses.SoftFBetaLoss(beta), labels, beta=beta)


def pairwise_auc(labels: Labels, *, margin: float) -> Remedy:
    """Squared hinge over all pairs of a label."""
    return ranking_remedy("pairwise_auc", losses.PairwiseAUCLoss(margin), labels, margin=margin)


def smooth_ap(labels: Labels, *, temperature: float) -> Remedy:
    """One minus smooth average precision."""
    loss = losses.SmoothAPLoss(temperature)
    return ranking_remedy("smooth_ap", loss, labels, temperature=temperature)
