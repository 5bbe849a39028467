"""Methods that treat imbalance by their loss, those with an inverse first, and the plain one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._core.messages import say
from equipoise.artifacts import Correction, Labels
from equipoise.errors import UsageError
from equipoise.labels import class_weights, pos_weights
from equipoise.methods.method import CLASSES, LABELS, OnDemand, method
from equipoise.methods.on_tables import WITHOUT_TORCH

if TYPE_CHECKING:
    from equipoise import losses, training
    from equipoise.losses import Loss
    from equipoise.training import Remedy
else:
    losses, training = OnDemand("equipoise.losses", WITHOUT_TORCH), OnDemand("equipoise.training")


def _prior(labels: Labels) -> list[float] | None:
    if labels.kind == LABELS:
        return None
    return [float(p) for p in labels.prevalence]


def _undone(name: str, loss: Loss, labels: Labels) -> Remedy:
    """Return the remedy of a loss that knows what it does to probabilities."""
    correction = loss.correction(num_classes=labels.num_classes, prior=_prior(labels))
    return training.Remedy(name, loss, correction)


def _ranking(name: str, loss: Loss, labels: Labels) -> Remedy:
    """Return the remedy of a loss without a way back: a fitted calibrator is compulsory."""
    prior = _prior(labels)
    lost = Correction(labels.kind, exactness="none", prior=None if prior is None else tuple(prior))
    return training.Remedy(name, loss, lost)


def _on_cosines(name: str, loss: Loss, labels: Labels) -> Remedy:
    return replace(_undone(name, loss, labels), head="cosine")


def _hill(name: str, loss: Any, labels: Labels) -> Remedy:
    """Below 1.5 the outputs of a Hill loss only rank."""
    return (_undone if loss.hill >= 1.5 else _ranking)(name, loss, labels)


by_loss = partial(method, "loss", finish=_undone)
by_rank = partial(method, "loss", exactness="none", finish=_ranking)


@method("baseline", LABELS, CLASSES, reference="-", first_choice=True, finish=_undone)
def none(labels: Labels) -> Loss:
    """The untreated model: cross-entropy, every row once per epoch."""
    return losses.BCELoss() if labels.kind == LABELS else losses.CrossEntropyLoss()


def plain(labels: Labels) -> Remedy:
    """Return the untreated remedy, that others start from."""
    return none.make(labels)


@by_loss(LABELS, reference="torch.nn.BCEWithLogitsLoss, pos_weight", first_choice=True)
def pos_weight(
    labels: Labels, *, power: float = 1.0, cap: float | None = None, weight: float | None = None
) -> Loss:
    """Weight the positives of each label by negatives / positives, or by a weight that is given."""
    if weight is not None:
        if power != 1.0 or cap is not None:
            do = "Give the weight, or how it follows from the counts."
            raise UsageError(say("pos_weight.weight", "stand alone", "power or cap beside it", do))
        return losses.PosWeightBCELoss(np.full(labels.num_classes, float(weight)))
    weights = pos_weights(*labels.weighed, power=power, cap=cap, zero_counts="smooth")
    return losses.PosWeightBCELoss(weights)


@by_loss(LABELS, reference="folk recipe", first_choice=True)
def inverse_frequency(labels: Labels, *, cap: float | None = None) -> Loss:
    """Weight the positives of each label by all positives / its positives."""
    counts = np.where(labels.counts > 0, labels.weighed[0], 1.0)
    weight = counts.sum() / counts
    return losses.PosWeightBCELoss(weight if cap is None else np.minimum(weight, cap))


@by_loss(CLASSES, reference="scikit-learn class_weight='balanced'", first_choice=True)
def weighted_ce(labels: Labels, *, power: float = 1.0) -> Loss:
    """Weight each class by inverse frequency to a power."""
    weight = class_weights(labels.weighed[0], method="power", power=power, zero_counts="smooth")
    return losses.WeightedCrossEntropyLoss(weight)


@by_loss(CLASSES, LABELS, reference="Cui et al., CVPR 2019, eq. 2", first_choice=True)
def class_balanced(labels: Labels, *, beta: Any = 0.999) -> Loss:
    """Weight classes, or the positives of labels, by inverse effective numbers."""
    if labels.kind == CLASSES:
        return losses.WeightedCrossEntropyLoss(effective_weights(labels, beta))
    return losses.ClassBalancedBCELoss.from_label_counts(
        labels.counts, labels.known, weight_on="positives", beta=beta, zero_counts="smooth"
    )


def effective_weights(labels: Labels, beta: Any) -> Any:
    """Return one weight per class by effective number."""
    return class_weights(labels.counts, method="effective_number", beta=beta, zero_counts="smooth")


@by_loss(LABELS, CLASSES, reference="Lin et al., ICCV 2017, eq. 5", first_choice=True)
def focal(labels: Labels, *, gamma: float = 2.0, alpha: float | None = None) -> Loss:
    """Down-weight easy examples by (1 - p)^gamma; alpha weighs positives, 1 - alpha negatives."""
    if labels.kind == LABELS:
        return losses.SigmoidFocalLoss(gamma=gamma, alpha=alpha)
    if alpha is not None:
        do = "Weights of classes are methods of their own: weighted_ce, class_balanced."
        raise UsageError(say("focal.alpha", "be left out for classes", alpha, do))
    return losses.SoftmaxFocalLoss(gamma=gamma)


@by_loss(LABELS, reference="Ridnik et al., ICCV 2021, eq. 7")
def asymmetric(
    labels: Labels,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    detach_focus: bool = False,
) -> Loss:
    """Focus on hard negatives and drop those below a margin."""
    return losses.AsymmetricLoss(
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        margin=margin,
        detach_focus=detach_focus,
    )


@by_loss(LABELS, reference="Wu et al., ECCV 2020, eqs. 5 and 9", exactness="approximate")
def distribution_balanced(labels: Labels) -> Loss:
    """Re-balance positives by how rows carry several labels; go easy on negatives."""
    return losses.DistributionBalancedLoss.from_targets(labels)


def _shares(labels: Labels) -> Any:
    """Return the training prior, with half a row in each empty class."""
    smoothed = labels.weighed[0] + 0.5 * (labels.counts == 0)
    return smoothed / smoothed.sum()


@by_loss(CLASSES, reference="Menon et al., ICLR 2021, eq. 10", first_choice=True)
def logit_adjusted(labels: Labels, *, tau: float = 1.0) -> Loss:
    """Add tau times the log prior to the logits in training; tau 1 is balanced softmax."""
    return losses.LogitAdjustedLoss(_shares(labels), tau=tau)


@by_loss(CLASSES, reference="Kini et al., NeurIPS 2021, eq. 2")
def vector_scaling(labels: Labels, *, gamma: float = 0.15, tau: float = 1.0) -> Loss:
    """Scale logits by class shares to a power, and shift them by tau log shares."""
    return losses.VectorScalingLoss(_shares(labels), gamma=gamma, tau=tau)


@by_loss(CLASSES, reference="Ye et al., 2020, eq. 3")
def cdt(labels: Labels, *, gamma: float = 0.2) -> Loss:
    """Divide the logits of rare classes by a temperature in training."""
    return losses.CDTLoss(_shares(labels), gamma=gamma)


@by_loss(CLASSES, reference="Zhong et al., CVPR 2021, eq. 5")
def label_aware_smoothing(labels: Labels, *, head: float = 0.4, tail: float = 0.1) -> Loss:
    """Smooth the targets of frequent classes more than those of rare ones."""
    return losses.LabelAwareSmoothingLoss.from_class_counts(labels.counts, head=head, tail=tail)


@by_loss(CLASSES, LABELS, reference="Leng et al., ICLR 2022, section 3")
def poly1(labels: Labels, *, epsilon: float = 1.0) -> Loss:
    """Add epsilon times the probability missed to cross-entropy."""
    if labels.kind == LABELS:
        return losses.Poly1BCELoss(epsilon=epsilon)
    return losses.Poly1CrossEntropyLoss(epsilon=epsilon)


@method("loss", CLASSES, reference="Cao et al., NeurIPS 2019, eq. 13", finish=_on_cosines)
def ldam(labels: Labels, *, max_margin: float = 0.5, scale: float = 30.0) -> Loss:
    """Ask for a larger margin where a class is rarer, on the cosines of a normalised head."""
    return losses.LDAMLoss.from_class_counts(
        labels.counts, max_margin=max_margin, scale=scale, zero_counts="ignore"
    )


@by_loss(LABELS, reference="Cui et al., CVPR 2019, eq. 12")
def class_balanced_focal(labels: Labels, *, beta: Any = 0.999, gamma: float = 2.0) -> Loss:
    """Weight the positives of the focal loss by inverse effective numbers."""
    return losses.ClassBalancedFocalLoss.from_label_counts(
        labels.counts,
        labels.known,
        weight_on="positives",
        beta=beta,
        gamma=gamma,
        zero_counts="smooth",
    )


@by_loss(LABELS, reference="Huang et al., ICASSP 2023")
def asymmetric_polynomial(
    labels: Labels,
    *,
    first: float = 1.0,
    second: float = -1.25,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    detach_focus: bool = False,
) -> Loss:
    """Re-weight the first terms of the asymmetric loss of positives."""
    return losses.AsymmetricPolynomialLoss(
        first=first,
        second=second,
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        margin=margin,
        detach_focus=detach_focus,
    )


@method("loss", LABELS, reference="Zhang et al., 2021, arXiv 2112.07368", finish=_hill)
def hill(labels: Labels, *, gamma: float = 2.0, shift: float = 1.0, hill: float = 1.5) -> Loss:
    """Trust negatives less the surer the model is; slow, for positives never marked."""
    return losses.HillLoss(gamma=gamma, shift=shift, hill=hill)


@by_rank(LABELS, reference="Zhang et al., 2021, arXiv 2112.07368, eq. 8")
def splc(
    labels: Labels,
    *,
    cut: float = 0.6,
    gamma: float = 2.0,
    shift: float = 1.0,
    first_epoch: int = 1,
) -> Loss:
    """Take sure negatives for positives after the first epoch, for positives never marked."""
    return losses.SPLCLoss(cut=cut, gamma=gamma, shift=shift, first_epoch=first_epoch)


@by_rank(LABELS, reference="Su et al., 2022, arXiv 2208.02955")
def zlpr(labels: Labels) -> Loss:
    """Rank the positives of a row above zero and its negatives below."""
    return losses.ZLPRLoss()


@by_rank(LABELS, reference="Kobayashi, CVPR 2023, eqs. 7 to 9")
def two_way(
    labels: Labels, *, temperature_positive: float = 4.0, temperature_negative: float = 1.0
) -> Loss:
    """Rank positives above negatives in rows and labels; needs tuned thresholds."""
    return losses.TwoWayLoss(
        temperature_positive=temperature_positive, temperature_negative=temperature_negative
    )


@by_rank(LABELS, reference="folk recipe")
def soft_f_beta(labels: Labels, *, beta: float = 1.0) -> Loss:
    """Maximise F-beta with probabilities in the place of decisions."""
    return losses.SoftFBetaLoss(beta=beta)


@by_rank(LABELS, reference="Gao and Zhou, IJCAI 2015")
def pairwise_auc(labels: Labels, *, margin: float = 1.0) -> Loss:
    """Put positives a margin above negatives; needs tuned thresholds."""
    return losses.PairwiseAUCLoss(margin=margin)


@by_rank(LABELS, reference="Brown et al., ECCV 2020, eq. 6")
def smooth_ap(labels: Labels, *, temperature: float = 0.1) -> Loss:
    """Maximise a smooth average precision; needs tuned thresholds."""
    return losses.SmoothAPLoss(temperature=temperature)


def _region(labels: Labels, **settings: Any) -> Any:
    """Return a loss of regions; MONAI is imported where one is asked for."""
    import equipoise.losses  # noqa: F401  # says which extra brings torch
    from equipoise.methods.regions import RegionLoss

    return RegionLoss(labels.kind, **settings)


@by_rank(CLASSES, LABELS, reference="Milletari et al., 3DV 2016; MONAI")
def dice(labels: Labels) -> Any:
    """Maximise the Dice overlap of each class or label over the batch (MONAI)."""
    return _region(labels)


@by_rank(CLASSES, LABELS, reference="Salehi et al., MLMI 2017; MONAI")
def tversky(labels: Labels, *, alpha: float = 0.3, beta: float = 0.7) -> Any:
    """Maximise an overlap that pays false positives alpha and misses beta (MONAI)."""
    return _region(labels, region="tversky", alpha=alpha, beta=beta)


@by_rank(CLASSES, LABELS, reference="Abraham and Khan, ISBI 2019, eq. 4; MONAI")
def focal_tversky(
    labels: Labels, *, alpha: float = 0.3, beta: float = 0.7, gamma: float = 4 / 3
) -> Any:
    """Focus a Tversky overlap on what overlaps well or badly, by a root (MONAI)."""
    return _region(labels, region="tversky", alpha=alpha, beta=beta, gamma=gamma)


def _each(labels: Labels) -> Loss:
    """Return the plain loss of every entry, or row, to choose among."""
    made = losses.BCELoss if labels.kind == LABELS else losses.CrossEntropyLoss
    return made(reduction="none")


@by_rank(CLASSES, LABELS, reference="Shrivastava et al., CVPR 2016, section 3")
def ohem(labels: Labels, *, ratio: float = 0.25, min_kept: int = 1) -> Loss:
    """Learn from the hardest rows of each class, or entries of each label, alone."""
    if labels.kind == LABELS:
        return losses.OHEMLoss(_each(labels), ratio=ratio, min_kept=min_kept, per="label")
    return losses.OHEMLoss(_each(labels), ratio=ratio, min_kept=min_kept, per="class")


@by_rank(LABELS, reference="Liu et al., ECCV 2016, section 2.2")
def negative_ratio(labels: Labels, *, ratio: float = 3.0) -> Loss:
    """Keep each label's positives and the hardest of its negatives, three to one."""
    return losses.NegativeRatioLoss(_each(labels), ratio=ratio, per="label")


@by_rank(LABELS, reference="folk recipe")
def semi_hard(labels: Labels, *, low: float = 0.5, high: float = 0.95) -> Loss:
    """Keep each label's positives and negatives within a band of hardness."""
    return losses.SemiHardLoss(_each(labels), low=low, high=high, per="label")
