"""The last layer of a network: which kind, what it may be built on, and where it begins."""

from __future__ import annotations

import math
from typing import Any, Literal, Self, cast, get_args

import torch
from torch import Tensor, nn

from equipoise._core.checks import require_within
from equipoise._core.messages import one_of, say
from equipoise.artifacts.labels import Labels
from equipoise.errors import MissingExtraError, ShapeError, UsageError
from equipoise.labels.loss_settings import prior_bias

try:
    import torch
    from torch import Tensor, nn
    from torch.nn.functional import linear, normalize
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.models") from error


class CosineHead(nn.Module):
    """A last layer without bias whose outputs are cosines times a constant scale.

    Args:
        in_features: Values per row.
        num_classes: Outputs.
        scale: Factor on the cosines. 1 for losses that scale themselves (``LDAMLoss``); about 16
            to 30 before any other softmax loss, which could not get sure of anything otherwise.

    Raises:
        UsageError: a width below 1, or ``scale`` not above 0.

    Example:
        >>> import torch
        >>> outputs = CosineHead(8, 3)(torch.randn(5, 8))
        >>> outputs.shape, bool(outputs.abs().max() <= 1.0001)
        (torch.Size([5, 3]), True)
    """

    def __init__(self, in_features: int, num_classes: int, *, scale: float = 1.0) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("num_classes", num_classes)):
            if size < 1:
                raise UsageError(say(name, "be >= 1", size))
        if not 0 < scale < math.inf:
            raise UsageError(say("scale", "be finite and > 0", scale))
        self.scale = float(scale)
        self.weight = nn.Parameter(torch.empty(num_classes, in_features))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Return scaled cosines (N, num_classes) of features (N, in_features)."""
        return self.scale * linear(normalize(x, dim=-1), normalize(self.weight, dim=-1))

    def extra_repr(self) -> str:
        """Name the settings."""
        width, inputs = self.weight.shape
        return f"in_features={inputs}, num_classes={width}, scale={self.scale:g}"


class HeadOnFeatures(nn.Module):
    """A head on what a layer of a frozen network reads: standardised, a hidden layer or none.

    Args:
        network: Any; in training, too, it stays in eval mode and gets no gradient.
        layer: Name of the layer whose input are the features, flattened to (N, in_features).
        in_features: Values per row.
        num_classes: Outputs.
        hidden: Units of a hidden layer with ReLU; 0 for none.
        cosine: Whether the outputs are cosines.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> HeadOnFeatures(network, "2", 3, 5)(torch.zeros(6, 4)).shape
        torch.Size([6, 5])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        in_features: int,
        num_classes: int,
        *,
        hidden: int = 0,
        cosine: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.layer = network.eval().requires_grad_(False), layer
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("std", torch.ones(in_features))
        self.hidden = nn.Linear(in_features, hidden) if hidden else None
        kind: Head = "cosine" if cosine else "linear"
        self.head = make_head(hidden or in_features, num_classes, head=kind)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the head alone."""
        super().train(mode)
        self.network.eval()
        return self

    def features(self, x: Any) -> Tensor:
        """Return what the layer reads of a batch, (N, in_features) float32."""
        seen: list[Tensor] = []
        layer = self.network.get_submodule(self.layer)
        hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            self.network(x)
        finally:
            hook.remove()
        return seen[-1].flatten(1).float()

    def forward(self, x: Any) -> Tensor:
        """Return logits, (N, num_classes)."""
        out = (self.features(x) - self.mean) / self.std
        if self.hidden is not None:
            out = torch.relu(self.hidden(out))
        return cast("Tensor", self.head(out))


Head = Literal["linear", "cosine"]
"""Kinds of last layers."""


def make_head(
    in_features: int, num_classes: int, *, head: Head = "linear", scale: float = 1.0
) -> nn.Module:
    """Return the last layer: "linear" with a bias, or "cosine" times ``scale``."""
    if one_of("head", head, get_args(Head)) == "linear":
        if scale != 1.0:
            do = "Only cosines are scaled: head='cosine'."
            raise UsageError(say("scale", "be 1 for a linear head", scale, do))
        return nn.Linear(in_features, num_classes)
    return CosineHead(in_features, num_classes, scale=scale)


def require_sizes(sizes: dict[str, int]) -> None:
    """Raise unless every named size is a whole number of at least 1."""
    for name, size in sizes.items():
        if int(size) != size or size < 1:
            raise UsageError(say(name, "be >= 1", size))


def require_dropout(dropout: float) -> float:
    """Return ``dropout`` if it lies in [0, 1)."""
    require_within("dropout", dropout, "[0, 1)")
    return float(dropout)


def require_images(x: Tensor, in_channels: int, least: int) -> None:
    """Raise unless ``x`` is (N, in_channels, H, W) with sides of at least ``least``."""
    if x.ndim != 4 or x.shape[1] != in_channels or min(x.shape[2:]) < least:
        expected = f"have shape (N, {in_channels}, H, W) with H and W >= {least}"
        do = "Channels come before height and width."
        raise ShapeError(say("x", expected, tuple(x.shape), do))


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
