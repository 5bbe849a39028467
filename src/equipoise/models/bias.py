"""The bias of the last layer at the start of training: the prior, finite for empty labels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from equipoise._core.checks import say, to_positive
from equipoise.artifacts.labels import Labels
from equipoise.errors import ShapeError

__all__ = ["initialise_prior_bias", "prior_bias"]


def prior_bias(labels: Labels, *, smoothing: float = 1.0) -> NDArray[np.float64]:
    r"""Return the outputs that predict the prior of the training rows.

    .. math:: b_l = \log \frac{n_l + a}{m_l - n_l + a} \text{ (labels)}, \qquad
        b_c = \log \frac{n_c + a}{N + C a} \text{ (classes)}

    Args:
        labels: Of the training rows alone.
        smoothing: a > 0, added to the counts of either side; keeps empty labels finite.

    Returns:
        (L,) or (C,) float64.

    Example:
        >>> labels = Labels.from_array([[1, 0], [0, 0], [0, 0]], kind="multilabel")
        >>> prior_bias(labels).round(3).tolist()
        [-0.405, -1.386]
    """
    add = to_positive("smoothing", smoothing)
    counts = np.asarray(labels.counts, dtype=np.float64) + add
    if labels.kind == "multiclass":
        return np.asarray(np.log(counts / counts.sum()))
    known = np.asarray(labels.known, dtype=np.float64) + 2.0 * add
    return np.asarray(np.log(counts / (known - counts)))


@torch.no_grad()
def initialise_prior_bias(layer: nn.Module, labels: Labels, *, smoothing: float = 1.0) -> None:
    """Set the bias of the last layer so that training starts from the prior.

    Use with rare labels: the first steps then do not go into learning how rare they are. It suits
    losses without a margin or a prior of their own.

    Args:
        layer: With a ``bias`` of one entry per class or label, for example ``nn.Linear``.
        labels: Of the training rows alone.
        smoothing: See :func:`prior_bias`.

    Raises:
        ShapeError: the layer has no bias, or one of another size.

    Example:
        >>> layer = nn.Linear(3, 1)
        >>> initialise_prior_bias(layer, Labels.from_array([[1], [0], [0]], kind="multilabel"))
        >>> round(layer.bias.item(), 3)
        -0.405
    """
    wanted = prior_bias(labels, smoothing=smoothing)
    bias = getattr(layer, "bias", None)
    got = tuple(bias.shape) if isinstance(bias, torch.Tensor) else None
    if not isinstance(bias, torch.Tensor) or got != wanted.shape:
        do = "Pass the last layer, built with bias=True and one output per class or label."
        raise ShapeError(say("layer.bias", f"have shape {wanted.shape}", got, do))
    bias.copy_(torch.from_numpy(wanted))
