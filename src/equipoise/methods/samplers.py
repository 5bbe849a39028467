"""Methods that treat imbalance by which rows are drawn.

All draw as many rows per epoch as there are, so that arms take equally many steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import one_of
from equipoise.artifacts import Correction, Labels, Split
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.errors import NoEffectWarning
from equipoise.methods.losses import plain
from equipoise.methods.method import CLASSES, LABELS, OnDemand, method
from equipoise.sampling import draws
from equipoise.sampling.resample.tables import RepeatedRows

if TYPE_CHECKING:
    from equipoise import data, sampling, training
    from equipoise.training import AugmentCopies, Remedy
else:
    data, training = OnDemand("equipoise.data"), OnDemand("equipoise.training")
    # Without torch, models of tables draw the same rows by the draws that its samplers are made of.
    without = ("ClassBalanced", "ListedRows", "Progressive", "RepeatFactor", "Weighted")
    sampling = OnDemand(
        "equipoise.sampling",
        {f"{n}Sampler": getattr(draws, f"{n.removesuffix('Rows')}Rows") for n in without},
    )

_FOLK = "folk recipe"
_EXACT_FOR_CLASSES = {CLASSES: "exact", LABELS: "approximate"}


class Draws(NamedTuple):
    """Which rows a method draws, how that is undone, and what is done to their copies."""

    sampler: Callable[..., Any]
    undo: Correction
    copies: AugmentCopies | None = None


def _drawn(name: str, draws: Draws, labels: Labels) -> Remedy:
    """Return the plain loss on the rows that are drawn."""
    made = training.add_sampler(plain(labels), draws.sampler, draws.undo, labels, name=name)
    return replace(made, augmentation=draws.copies)


def _draws(labels: Labels, sampler: Any, weights: NDArray[np.floating]) -> Draws:
    """Return draws in proportion to ``weights``."""
    undo = sampling.sampler_correction(weights, labels)
    return Draws(partial(sampler, num_samples=len(labels)), undo)


def _weighted(labels: Labels, weights: NDArray[np.floating]) -> Draws:
    return _draws(labels, partial(sampling.WeightedSampler, weights), weights)


by_draws = partial(method, "sampler", finish=_drawn)
for_classes = partial(by_draws, CLASSES)
for_labels = partial(by_draws, LABELS, exactness="approximate")
for_both = partial(by_draws, CLASSES, LABELS, exactness=_EXACT_FOR_CLASSES)


@for_classes(reference="Kang et al., ICLR 2020, section 3", first_choice=True)
def class_balanced_sampling(labels: Labels) -> Draws:
    """Draw a class, then a row of it: every class equally often."""
    sampler = partial(sampling.ClassBalancedSampler, labels)
    return _draws(labels, sampler, sampling.class_balanced_weights(labels))


@for_labels(
    reference="folk recipe; implied weights as in Wu et al., ECCV 2020, section 3.1",
    first_choice=True,
)
def weighted_sampling(labels: Labels, *, rule: Any = "max", empty_weight: float = 1.0) -> Draws:
    """Draw each row by the largest inverse frequency among its labels."""
    weights = sampling.class_balanced_weights(labels, rule=rule, empty_weight=empty_weight)
    return _weighted(labels, weights)


def balanced(labels: Labels) -> Remedy:
    """Return the plain loss on classes drawn equally often, or rows by their rarest label."""
    return (weighted_sampling if labels.kind == LABELS else class_balanced_sampling).make(labels)


@for_both(reference="Kang et al., ICLR 2020, section 3")
def square_root_sampling(labels: Labels, *, q: float = 0.5) -> Draws:
    """Draw classes by the root (power q) of their counts, rows by their rarest label."""
    return _weighted(labels, sampling.power_weights(labels, q=q))


@for_both(reference="Cui et al., CVPR 2019, eq. 2")
def effective_number_sampling(labels: Labels, *, beta: Any = "(N-1)/N") -> Draws:
    """Draw rows by the inverse effective number of their class or rarest label."""
    return _weighted(labels, sampling.effective_number_weights(labels, beta=beta))


@for_both(reference="Zhou et al., CVPR 2020")
def reversed_sampling(labels: Labels) -> Draws:
    """Draw classes by their inverse counts: the rarest most often."""
    return _weighted(labels, sampling.power_weights(labels, q=-1.0))


@by_draws(CLASSES, LABELS, reference="Kang et al., ICLR 2020, section 3", exactness="approximate")
def progressive_sampling(labels: Labels, *, num_epochs: int | None = None) -> Draws:
    """Go from rows alike to classes alike over num_epochs, or the whole training."""
    sampler = partial(
        sampling.ProgressiveSampler, labels, num_epochs=num_epochs, num_samples=len(labels)
    )
    return Draws(sampler, sampler().correction())


@for_both(reference="Gupta et al., CVPR 2019, appendix")
def repeat_factor(labels: Labels, *, threshold: float = 0.5) -> Draws:
    """Repeat rows of classes or labels below a share by the root of what they lack."""
    sampler = partial(sampling.RepeatFactorSampler, labels, threshold=threshold)
    return _draws(labels, sampler, sampling.repeat_factors(labels, threshold=threshold))


@for_both(reference="Deming and Stephan, 1940")
def raking(labels: Labels, *, target: Any = "sqrt", min_ess: float | None = 0.1) -> Draws:
    """Draw rows by the weights closest to uniform that reach target rates."""
    return _weighted(labels, sampling.rake(labels, target, min_ess=min_ess).weights)


@for_labels(reference=_FOLK)
def inverse_labelset(labels: Labels, *, empty_weight: float = 1.0) -> Draws:
    """Draw every set of labels equally often; rests on few rows."""
    weights = sampling.inverse_labelset_weights(labels, empty_weight=empty_weight)
    return _weighted(labels, weights)


@for_labels(reference=_FOLK)
def single_label_rows(
    labels: Labels, *, several_weight: float = 1.0, empty_weight: float = 1.0
) -> Draws:
    """Repeat rows with one label until labels are alike; rests on few rows."""
    weights = sampling.single_label_weights(
        labels, several_weight=several_weight, empty_weight=empty_weight
    )
    return _weighted(labels, weights)


def _all_rows(labels: Labels) -> TrainingRows:
    split = Split.from_parts(
        np.arange(len(labels)), [], [], n_rows=len(labels), seed=0, method="all rows"
    )
    return TrainingRows.of(labels, split)


def _listed(labels: Labels, made: Resampled) -> Draws:
    """Return draws of the rows of one list, in a new order per epoch."""
    times = np.bincount(made.rows, minlength=len(labels)).astype(np.float64)
    if labels.kind == CLASSES or labels.num_classes == 1:
        # Which rows of a class come more often is drawn blindly, so all stand for it alike.
        y = np.asarray(labels.values).ravel().astype(np.int64) + (labels.kind == LABELS)
        times = (np.bincount(y, times) / np.maximum(np.bincount(y), 1))[y]
    return _draws(labels, partial(sampling.ListedRowsSampler, made.rows), times)


def _per_label(name: str, made: Draws | RepeatedRows, labels: Labels) -> Remedy:
    """Return draws of rows; of several labels copies for the model of each, as tables have them."""
    if isinstance(made, Draws):
        return _drawn(name, made, labels)
    sides = zip(labels.known - labels.counts, labels.counts, strict=True)
    weight = [made.weight(int(negatives), int(positives)) for negatives, positives in sides]
    undo = Correction.from_sampling_rates(weight, kind="multilabel")
    if np.allclose(weight, 1.0, rtol=0.01):
        told = f"'{name}' changes nothing here: both sides of every label have the size they get."
        warnings.warn(told, NoEffectWarning, stacklevel=2)
    return replace(plain(labels), name=name, correction=undo, resampling=made)


by_copies = partial(
    method, "sampler", CLASSES, LABELS, reference=_FOLK, exactness=_EXACT_FOR_CLASSES,
    finish=_per_label,
)  # fmt: skip


@by_copies()
def random_oversample(
    labels: Labels, *, ratio: float = 1.0, max_repeat: int | None = None, seed: int = 0
) -> Draws | RepeatedRows:
    """Repeat rows of rarer classes, up to ratio times the largest; of several labels per model."""
    how: dict[str, Any] = {"ratio": ratio, "max_repeat": max_repeat, "seed": seed}
    if labels.kind == LABELS and labels.num_classes > 1:
        return RepeatedRows("random_oversample", **how)
    return _listed(labels, sampling.random_oversample(_all_rows(labels), **how))


@by_copies()
def random_undersample(
    labels: Labels, *, ratio: float = 1.0, seed: int = 0
) -> Draws | RepeatedRows:
    """Leave out rows of larger classes for good; of several labels for the model of each."""
    how: dict[str, Any] = {"ratio": ratio, "seed": seed}
    if labels.kind == LABELS and labels.num_classes > 1:
        return RepeatedRows("random_undersample", **how)
    return _listed(labels, sampling.random_undersample(_all_rows(labels), **how))


_charte = partial(for_labels, reference="Charte et al., Neurocomputing 163, 2015")


@_charte()
def ml_ros(labels: Labels, *, fraction: float = 0.25, seed: int = 0) -> Draws:
    """Clone rows of minority labels, a fraction of the data in all."""
    return _listed(labels, sampling.ml_ros(_all_rows(labels), fraction=fraction, seed=seed))


@_charte()
def ml_rus(
    labels: Labels, *, fraction: float = 0.25, keep_empty: bool = False, seed: int = 0
) -> Draws:
    """Leave out rows without a minority label, a fraction of the data."""
    rows = _all_rows(labels)
    return _listed(
        labels, sampling.ml_rus(rows, fraction=fraction, keep_empty=keep_empty, seed=seed)
    )


@_charte()
def lp_ros(labels: Labels, *, fraction: float = 0.25, seed: int = 0) -> Draws:
    """Clone rows of rare label sets, up to their mean size."""
    return _listed(labels, sampling.lp_ros(_all_rows(labels), fraction=fraction, seed=seed))


@_charte()
def lp_rus(labels: Labels, *, fraction: float = 0.25, seed: int = 0) -> Draws:
    """Leave out rows of frequent label sets, down to their mean size."""
    return _listed(labels, sampling.lp_rus(_all_rows(labels), fraction=fraction, seed=seed))


@for_both(
    reference="folk recipe; oversampling as in Buda et al., Neural Networks 2018, section 3.1",
    needs_images=True,
)
def augment_balance(labels: Labels, *, augmentation: Any = "cifar") -> Draws:
    """Draw classes equally often, rows of several labels by the rarest, and augment the copies."""
    weights = sampling.class_balanced_weights(labels)
    if isinstance(augmentation, str):
        known = one_of("augmentation", augmentation, data.AUGMENTATIONS)
        chosen = data.Augmentation.preset(known)
    else:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in augmentation.items()
        }
        chosen = data.Augmentation(**values)
    hot = labels.one_hot() == 1
    # Weights have mean 1 and as many rows are drawn as there are: a weight is a number of sights.
    # A row takes the largest weight of its labels, so each label's own is the smallest it is in.
    repeats = tuple(float(weights[rows].min()) if rows.any() else 1.0 for rows in hot.T)
    bare = ~hot.any(1)
    copies = training.AugmentCopies(
        repeats, chosen, float(weights[bare].min()) if bare.any() else 1.0
    )
    return _weighted(labels, weights)._replace(copies=copies)
