"""A head that returns cosines: normalised features against normalised class weights."""

from __future__ import annotations

import math

from equipoise._core.words import say
from equipoise.errors import MissingExtraError, UsageError

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
