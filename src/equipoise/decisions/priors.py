"""Priors: what share of each class or label the decisions are for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_floats
from equipoise._core.words import say
from equipoise.artifacts.labels import Kind
from equipoise.errors import UsageError

_EACH = "Give one share per class or label."
TargetPrior = str | Sequence[float] | NDArray[np.float64]


def smoothed_prior(counts: ArrayLike, known: ArrayLike, kind: Kind) -> Floats:
    """Return shares with half a count added, so that none is 0 (or 1 for labels).

    Args:
        counts: (C,) rows of each class, or positives of each label.
        known: (C,) known rows; not used for classes.
        kind: "multiclass" or "multilabel".

    Example:
        >>> smoothed_prior([0, 9], [9, 9], "multilabel").tolist()
        [0.05, 0.95]
    """
    n, m = np.asarray(counts, dtype=np.float64), np.asarray(known, dtype=np.float64)
    if kind == "multiclass":
        return np.asarray((n + 0.5) / (n.sum() + 0.5 * n.size))
    return np.asarray((n + 0.5) / (m + 1.0))


def to_target_prior(target: TargetPrior, validation: Floats, kind: Kind) -> Floats:
    """Return the declared prior as an array, (C,) float64.

    Args:
        target: "validation", "uniform" (1 / C each; 0.5 for labels) or one share per class or
            label in (0, 1); shares of classes sum to 1.
        validation: (C,) the prior of the validation rows.
        kind: "multiclass" or "multilabel".

    Raises:
        UsageError: another word, shares outside (0, 1), or shares that do not sum to 1.
        ShapeError: not one share per class or label.

    Example:
        >>> to_target_prior("uniform", np.array([0.9, 0.1]), "multiclass").tolist()
        [0.5, 0.5]
    """
    if isinstance(target, str):
        if target == "validation":
            return validation
        if target == "uniform":
            share = 1 / validation.size if kind == "multiclass" else 0.5
            return np.full(validation.size, share)
        expected = "be 'validation', 'uniform' or a list of shares"
        raise UsageError(say("target_prior", expected, repr(target), _EACH))
    prior = to_floats("target_prior", to_array("target_prior", target, ndim=1))
    require_shape("target_prior", prior, validation.shape, _EACH)
    if not ((prior > 0) & (prior < 1)).all():
        do = "A class that never occurs is left out of the model instead."
        raise UsageError(say("target_prior", "hold shares in (0, 1)", prior.tolist(), do))
    if kind == "multiclass" and abs(prior.sum() - 1) > 1e-6:
        do = "Divide the shares by their sum."
        raise UsageError(say("target_prior", "sum to 1", float(prior.sum()), do))
    return prior


def shift_prior(source: Floats, target: Floats, kind: Kind) -> Floats:
    """Return what to add to log-odds (labels) or log-posteriors (classes) to change the prior.

    Exact where only the shares change and not how each class looks (label shift).

    Args:
        source: (C,) shares in (0, 1) that the probabilities refer to.
        target: (C,) shares that they shall refer to.
        kind: "multiclass" or "multilabel".

    Example:
        >>> shift_prior(np.array([0.5]), np.array([0.1]), "multilabel").round(3).tolist()
        [-2.197]

    References:
        Saerens, Latinne and Decaestecker (Neural Computation 2002), eq. 2.4.
    """
    if kind == "multiclass":
        return np.asarray(np.log(target) - np.log(source))
    return np.asarray((np.log(target) - np.log(source)) - (np.log1p(-target) - np.log1p(-source)))
