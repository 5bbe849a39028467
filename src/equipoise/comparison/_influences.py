"""Metrics with influence values that evaluations, pairs of scores and records share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Bools, Floats, Ints
from equipoise.metrics import Influence, ratio_influence
from equipoise.metrics.calibration import softplus_losses
from equipoise.metrics.influence import ranking_influences
from equipoise.metrics.ranks import Ranks


def nan_of(part: Influence) -> Influence:
    """Return a metric as undefined, for as many rows."""
    return Influence(float("nan"), part.rows)


def ranked(
    y_true: NDArray[np.int8], ranks: Ranks, cells: Ints, weight: Floats | None = None
) -> tuple[Influence, Influence]:
    """Return average precision and ROC AUC of one label, NaN without positives or negatives.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown).
        ranks: Of the same rows.
        cells: (N,) of :meth:`equipoise.metrics.ranks.Ranks.cells`.
        weight: (N,) by which the ranks count rows, or None.
    """
    ap, auroc = ranking_influences(y_true, ranks, cells, weight)
    # Among positives alone every order has an average precision of 1.
    return (ap if ranks.n_negative else nan_of(ap)), auroc


def f1(y_true: NDArray[np.int8], flag: Bools, weight: Floats | None = None) -> Influence:
    """Return F1 of one label from its truth (-1 unknown) and flags, NaN without positives."""
    yes, known = y_true == 1, y_true >= 0
    found = ratio_influence(2.0 * (yes & flag), 1.0 * yes + (flag & known), weight)
    return found if yes.any() else nan_of(found)


def log_loss(y_true: NDArray[np.int8], log_odds: Floats, weight: Floats | None = None) -> Influence:
    """Return the log loss of one label from its truth (-1 unknown) and log-odds."""
    losses = np.nan_to_num(softplus_losses(y_true, log_odds))
    return ratio_influence(losses, y_true >= 0, weight)


def class_log_loss(
    y_true: NDArray[np.integer], log_posterior: Floats, weight: Floats | None = None
) -> Influence:
    """Return the log loss of classes, (N,) truth and (N, C) log-posteriors."""
    n = y_true.size
    return ratio_influence(-log_posterior[np.arange(n), y_true], np.ones(n), weight)


def squared_errors(y_true: NDArray[np.int8], prob: Floats) -> Floats:
    """Return what each row adds to the Brier score of one label, 0 where the truth is unknown."""
    return np.where(y_true >= 0, (prob - (y_true == 1)) ** 2, 0.0)
