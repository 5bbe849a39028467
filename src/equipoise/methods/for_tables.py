"""Methods for tables alone: synthetic rows of rare classes, and bags of balanced samples.

Both work on columns, one model at a time: of several labels each has rows of its own.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from equipoise.artifacts import Correction, Labels
from equipoise.errors import NoEffectWarning
from equipoise.methods.losses import plain
from equipoise.methods.method import CLASSES, LABELS, method
from equipoise.sampling.resample.tables import SyntheticRows

if TYPE_CHECKING:
    from equipoise.training import Remedy


def _lost(labels: Labels) -> Correction:
    """Return that there is no way back; the prior is that of the rows as they are."""
    return replace(plain(labels).correction, ops=(), exactness="none")


def _synthetic(name: str, rows: SyntheticRows, labels: Labels) -> Remedy:
    sides = [labels.counts]
    if labels.kind == LABELS:
        sides = list(np.stack([labels.known - labels.counts, labels.counts], axis=1))
    if not any(rows.adds(counts) for counts in sides):
        told = f"'{name}' adds no row here: no class is rare enough, or has two rows to join."
        warnings.warn(told, NoEffectWarning, stacklevel=2)
    return replace(plain(labels), name=name, correction=_lost(labels), resampling=rows)


by_synthesis = partial(
    method, "resampling", CLASSES, LABELS, exactness="none", finish=_synthetic
)  # fmt: skip


@by_synthesis(reference="Chawla et al., JAIR 2002, through imbalanced-learn")
def smote(
    labels: Labels, *, ratio: float = 1.0, k_neighbors: int = 5, seed: int = 0
) -> SyntheticRows:
    """Add rows between those of rare classes; SMOTENC where a table has categories."""
    return SyntheticRows("smote", ratio, k_neighbors, seed=seed)


@by_synthesis(reference="Han et al., ICIC 2005, through imbalanced-learn")
def borderline_smote(
    labels: Labels,
    *,
    ratio: float = 1.0,
    k_neighbors: int = 5,
    m_neighbors: int = 10,
    seed: int = 0,
) -> SyntheticRows:
    """Add rows between those of rare classes that lie among others."""
    return SyntheticRows("borderline_smote", ratio, k_neighbors, m_neighbors, seed)


def _bagged(name: str, correction: Correction, labels: Labels) -> Remedy:
    return replace(plain(labels), name=name, correction=correction, model=name)


by_bags = partial(method, "bagging", CLASSES, LABELS, finish=_bagged)


@by_bags(reference="Chen, Liaw, Breiman, 2004, through imbalanced-learn", exactness="approximate")
def balanced_random_forest(
    labels: Labels, *, n_estimators: int = 300, min_samples_leaf: int = 1
) -> Correction:
    """Grow each tree of a forest on as many rows of every class as the rarest has."""
    if labels.kind == LABELS:
        sides = np.maximum(labels.known - labels.counts, 1) / np.maximum(labels.counts, 1)
        rates = np.where((labels.counts > 0) & (labels.counts < labels.known), sides, 1.0)
        undo = Correction.from_sampling_rates(rates, kind="multilabel")
    else:
        # Of a class without rows nothing is known, in the bags or out of them.
        rates = np.where(labels.counts > 0, 1.0 / np.maximum(labels.counts, 1), 1.0)
        undo = Correction.from_sampling_rates(rates / rates.mean())
    # Trees are grown to the end on few rows: the shift of the prior is not all they do.
    return replace(undo, exactness="approximate", prior=plain(labels).correction.prior)


@by_bags(reference="Liu, Wu, Zhou, TSMC-B 2009, through imbalanced-learn", exactness="none")
def easy_ensemble(labels: Labels, *, n_estimators: int = 10) -> Correction:
    """Boost stumps on each of several balanced samples, and take their mean."""
    return _lost(labels)


@by_bags(reference="Seiffert et al., TSMC-A 2010, through imbalanced-learn", exactness="none")
def rusboost(
    labels: Labels, *, n_estimators: int = 50, learning_rate: float = 1.0, max_depth: int = 3
) -> Correction:
    """Boost small trees, each on a new balanced sample."""
    return _lost(labels)
