"""The bias of the last layer at the start of training: the prior, finite for empty labels."""

from __future__ import annotations

import torch
from torch import nn

from equipoise._core.words import say
from equipoise.artifacts.labels import Labels
from equipoise.errors import ShapeError
from equipoise.labels.loss_settings import prior_bias


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
