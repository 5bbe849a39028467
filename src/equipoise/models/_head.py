"""What all networks share: the choice of the last layer and checks of sizes and inputs."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from equipoise._core.words import one_of, say
from equipoise.errors import ShapeError, UsageError
from equipoise.models.cosine import CosineHead

Head = Literal["linear", "cosine"]


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
    if not 0 <= dropout < 1:
        raise UsageError(say("dropout", "lie in [0, 1)", dropout))
    return float(dropout)


def require_images(x: Tensor, in_channels: int, least: int) -> None:
    """Raise unless ``x`` is (N, in_channels, H, W) with sides of at least ``least``."""
    if x.ndim != 4 or x.shape[1] != in_channels or min(x.shape[2:]) < least:
        expected = f"have shape (N, {in_channels}, H, W) with H and W >= {least}"
        do = "Channels come before height and width."
        raise ShapeError(say("x", expected, tuple(x.shape), do))
