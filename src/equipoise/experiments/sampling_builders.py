"""From training labels to remedies that treat imbalance by which rows are drawn.

All draw as many rows per epoch as there are, so that arms take equally many steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise import sampling
from equipoise._core.checks import one_of
from equipoise.artifacts import Labels, Split
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.data import AUGMENTATIONS, Augmentation
from equipoise.experiments.builders import plain_bce, plain_cross_entropy
from equipoise.training.combination import add_sampler
from equipoise.training.copies import AugmentCopies
from equipoise.training.remedy import Remedy

__all__ = [
    "augment_balance",
    "class_balanced_sampling",
    "effective_number_sampling",
    "inverse_labelset",
    "lp_ros",
    "lp_rus",
    "ml_ros",
    "ml_rus",
    "progressive_sampling",
    "raking",
    "random_oversample",
    "random_undersample",
    "repeat_factor",
    "reversed_sampling",
    "single_label_rows",
    "square_root_sampling",
    "weighted_sampling",
]


def _plain(labels: Labels) -> Remedy:
    return plain_bce(labels) if labels.kind == "multilabel" else plain_cross_entropy(labels)


def _sampled(
    name: str, labels: Labels, sampler: Any, weights: NDArray[np.floating], **settings: Any
) -> Remedy:
    """Return the plain loss on rows that come in proportion to ``weights``."""
    make = partial(sampler, num_samples=len(labels))
    undo = sampling.sampler_correction(weights, labels)
    return add_sampler(_plain(labels), make, undo, labels, name=name, settings=settings)


def _weighted(name: str, labels: Labels, weights: NDArray[np.floating], **settings: Any) -> Remedy:
    sampler = partial(sampling.WeightedSampler, weights)
    return _sampled(name, labels, sampler, weights, **settings)


def class_balanced_sampling(labels: Labels) -> Remedy:
    """Classes drawn equally often."""
    sampler = partial(sampling.ClassBalancedSampler, labels)
    weights = sampling.class_balanced_weights(labels)
    return _sampled("class_balanced_sampling", labels, sampler, weights)


def weighted_sampling(labels: Labels, *, rule: Any, empty_weight: float) -> Remedy:
    """Rows drawn by their rarest (or mean, or summed) label."""
    weights = sampling.class_balanced_weights(labels, rule=rule, empty_weight=empty_weight)
    return _weighted("weighted_sampling", labels, weights, rule=rule, empty_weight=empty_weight)


def augment_balance(labels: Labels, *, augmentation: Any) -> Remedy:
    """Classes drawn equally often (rows of several labels by the rarest), copies augmented."""
    weights = sampling.class_balanced_weights(labels)
    base = _weighted("augment_balance", labels, weights, augmentation=augmentation)
    if isinstance(augmentation, str):
        chosen = Augmentation.preset(one_of("augmentation", augmentation, AUGMENTATIONS))
    else:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in augmentation.items()
        }
        chosen = Augmentation(**values)
    hot = labels.one_hot() == 1
    # Weights have mean 1 and as many rows are drawn as there are: a weight is a number of sights.
    # A row takes the largest weight of its labels, so each label's own is the smallest it is in.
    repeats = tuple(float(weights[rows].min()) if rows.any() else 1.0 for rows in hot.T)
    none = ~hot.any(1)
    copies = AugmentCopies(repeats, chosen, float(weights[none].min()) if none.any() else 1.0)
    return replace(base, augmentation=copies)


def square_root_sampling(labels: Labels, *, q: float) -> Remedy:
    """Classes drawn by a power of their counts; rows with several labels by the rarest."""
    return _weighted("square_root_sampling", labels, sampling.power_weights(labels, q=q), q=q)


def effective_number_sampling(labels: Labels, *, beta: Any) -> Remedy:
    """Rows drawn by the inverse effective number of their class, or their rarest label."""
    weights = sampling.effective_number_weights(labels, beta=beta)
    return _weighted("effective_number_sampling", labels, weights, beta=beta)


def reversed_sampling(labels: Labels) -> Remedy:
    """Classes drawn by their inverse counts: the rarest come most often."""
    return _weighted("reversed_sampling", labels, sampling.power_weights(labels, q=-1.0))


def progressive_sampling(labels: Labels, *, num_epochs: int | None) -> Remedy:
    """Rows alike at first, classes (or the rarest labels) alike after ``num_epochs``, or last."""
    sampler = partial(
        sampling.ProgressiveSampler, labels, num_epochs=num_epochs, num_samples=len(labels)
    )
    return add_sampler(
        _plain(labels),
        sampler,
        sampler().correction(),
        labels,
        name="progressive_sampling",
        settings={"num_epochs": num_epochs},
    )


def repeat_factor(labels: Labels, *, threshold: float) -> Remedy:
    """Rows of classes or labels below a share repeated by the root of what they lack."""
    sampler = partial(sampling.RepeatFactorSampler, labels, threshold=threshold)
    weights = sampling.repeat_factors(labels, threshold=threshold)
    return _sampled("repeat_factor", labels, sampler, weights, threshold=threshold)


def raking(labels: Labels, *, target: Any, min_ess: float | None) -> Remedy:
    """Rows drawn as nearly alike as the requested rates allow."""
    weights = sampling.rake(labels, target, min_ess=min_ess).weights
    return _weighted("raking", labels, weights, target=target, min_ess=min_ess)


def inverse_labelset(labels: Labels, *, empty_weight: float) -> Remedy:
    """Every set of labels drawn equally often."""
    weights = sampling.inverse_labelset_weights(labels, empty_weight=empty_weight)
    return _weighted("inverse_labelset", labels, weights, empty_weight=empty_weight)


def single_label_rows(labels: Labels, *, several_weight: float, empty_weight: float) -> Remedy:
    """Rows with one label drawn more often until labels are alike."""
    settings = {"several_weight": several_weight, "empty_weight": empty_weight}
    weights = sampling.single_label_weights(labels, **settings)
    return _weighted("single_label_rows", labels, weights, **settings)


def _all_rows(labels: Labels) -> TrainingRows:
    split = Split.from_parts(
        np.arange(len(labels)), [], [], n_rows=len(labels), seed=0, method="all rows"
    )
    return TrainingRows.of(labels, split)


def _listed(labels: Labels, made: Resampled, settings: Mapping[str, Any]) -> Remedy:
    """Return the plain loss on the rows of one list, in a new order per epoch."""
    times = np.bincount(made.rows, minlength=len(labels)).astype(np.float64)
    if labels.kind == "multiclass":
        # Which rows of a class come more often is drawn blindly, so all stand for it alike.
        of_class = np.bincount(labels.values, times, minlength=labels.num_classes)
        times = (of_class / np.maximum(labels.counts, 1))[labels.values]
    sampler = partial(sampling.ListedRowsSampler, made.rows)
    return _sampled(made.method, labels, sampler, times, **settings)


def random_oversample(labels: Labels, *, ratio: float, max_repeat: int | None, seed: int) -> Remedy:
    """Rows of rarer classes repeated."""
    settings: dict[str, Any] = {"ratio": ratio, "max_repeat": max_repeat, "seed": seed}
    return _listed(labels, sampling.random_oversample(_all_rows(labels), **settings), settings)


def random_undersample(labels: Labels, *, ratio: float, seed: int) -> Remedy:
    """Rows of larger classes left out."""
    settings: dict[str, Any] = {"ratio": ratio, "seed": seed}
    return _listed(labels, sampling.random_undersample(_all_rows(labels), **settings), settings)


def ml_ros(labels: Labels, *, fraction: float, seed: int) -> Remedy:
    """Rows of minority labels cloned."""
    settings: dict[str, Any] = {"fraction": fraction, "seed": seed}
    return _listed(labels, sampling.ml_ros(_all_rows(labels), **settings), settings)


def ml_rus(labels: Labels, *, fraction: float, keep_empty: bool, seed: int) -> Remedy:
    """Rows without a minority label left out."""
    settings: dict[str, Any] = {"fraction": fraction, "keep_empty": keep_empty, "seed": seed}
    return _listed(labels, sampling.ml_rus(_all_rows(labels), **settings), settings)


def lp_ros(labels: Labels, *, fraction: float, seed: int) -> Remedy:
    """Rows of rare label sets cloned."""
    settings: dict[str, Any] = {"fraction": fraction, "seed": seed}
    return _listed(labels, sampling.lp_ros(_all_rows(labels), **settings), settings)


def lp_rus(labels: Labels, *, fraction: float, seed: int) -> Remedy:
    """Rows of frequent label sets left out."""
    settings: dict[str, Any] = {"fraction": fraction, "seed": seed}
    return _listed(labels, sampling.lp_rus(_all_rows(labels), **settings), settings)
