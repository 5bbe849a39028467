"""From training labels to remedies whose outputs rank and carry no probability."""

from __future__ import annotations

from typing import Any

from equipoise import losses
from equipoise.artifacts import Correction, Labels
from equipoise.training.remedy import Remedy

__all__ = [
    "negative_ratio",
    "ohem",
    "pairwise_auc",
    "ranking_remedy",
    "semi_hard",
    "smooth_ap",
    "soft_f_beta",
    "splc",
    "two_way",
    "zlpr",
]


def ranking_remedy(name: str, loss: losses.Loss, labels: Labels, **settings: Any) -> Remedy:
    """Return a remedy without a way back: a fitted calibrator is compulsory."""
    shares = labels.counts / len(labels) if labels.kind == "multiclass" else None
    prior = None if shares is None else tuple(shares.tolist())
    lost = Correction(labels.kind, exactness="none", prior=prior)
    return Remedy(name, loss, lost, settings=settings)


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


def ohem(labels: Labels, *, ratio: float, min_kept: int) -> Remedy:
    """The hardest rows of each class, or entries of each label."""
    if labels.kind == "multiclass":
        loss = losses.OHEMLoss(
            losses.CrossEntropyLoss(reduction="none"), ratio, min_kept=min_kept, per="class"
        )
    else:
        loss = losses.OHEMLoss(
            losses.BCELoss(reduction="none"), ratio, min_kept=min_kept, per="label"
        )
    return ranking_remedy("ohem", loss, labels, ratio=ratio, min_kept=min_kept)


def negative_ratio(labels: Labels, *, ratio: float) -> Remedy:
    """All positives of a label, and its hardest negatives in proportion."""
    plain = losses.BCELoss(reduction="none")
    loss = losses.NegativeRatioLoss(plain, ratio, per="label")
    return ranking_remedy("negative_ratio", loss, labels, ratio=ratio)


def semi_hard(labels: Labels, *, low: float, high: float) -> Remedy:
    """All positives of a label, and its negatives within a band of hardness."""
    plain = losses.BCELoss(reduction="none")
    loss = losses.SemiHardLoss(plain, low=low, high=high, per="label")
    return ranking_remedy("semi_hard", loss, labels, low=low, high=high)
