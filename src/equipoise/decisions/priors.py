"""Priors: what share of each class or label the decisions are for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_shape, say
from equipoise.artifacts.labels import Kind
from equipoise.errors import UsageError

__all__ = ["shift_prior", "smoothed_prior", "to_target_prior"]

Floats = NDArray[np.float64]
TargetPrior = str | Sequence[float] | NDArray[np.float64]


def smoothed_prior(counts: ArrayLike, known: ArrayLike, kind: Kind) -> Floats:
    """Return shares with half a count added, so that none is 0 (or 1 for labels)."""
    n, m = np.asarray(counts, dtype=np.float64), np.asarray(known, dtype=np.float64)
    if kind == "multiclass":
        return np.asarray((n + 0.5) / (n.sum() + 0.5 * n.size))
    return np.asarray((n + 0.5) / (m + 1.0))


def to_target_prior(target: TargetPrior, validation: Floats, kind: Kind) -> Floats:
    """Return the declared prior as an array: "validation", "uniform" or one share per class.

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
        raise UsageError(
            say("target_prior", "be 'validation', 'uniform' or a list of shares", repr(target))
        )
    prior = np.asarray(target, dtype=np.float64)
    require_shape("target_prior", prior, validation.shape, "Give one share per class or label.")
    if (prior <= 0).any() or (prior >= 1).any():
        raise UsageError(say("target_prior", "hold shares in (0, 1)", prior.tolist()))
    if kind == "multiclass" and abs(prior.sum() - 1) > 1e-6:
        raise UsageError(say("target_prior", "sum to 1", float(prior.sum())))
    return prior


def shift_prior(source: Floats, target: Floats, kind: Kind) -> Floats:
    """Return what to add to log-odds (labels) or log-posteriors (classes) to change the prior.

    Exact where only the shares change and not how each class looks (label shift).

    Example:
        >>> shift_prior(np.array([0.5]), np.array([0.1]), "multilabel").round(3).tolist()
        [-2.197]
    """
    if kind == "multiclass":
        return np.asarray(np.log(target) - np.log(source))
    return np.asarray(np.log(target) - np.log1p(-target) - np.log(source) + np.log1p(-source))
