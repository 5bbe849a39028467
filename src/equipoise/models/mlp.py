"""A multi-layer perceptron for tables and small images."""

from __future__ import annotations

from collections.abc import Sequence

from equipoise._core.checks import say
from equipoise.errors import MissingExtraError, UsageError

try:
    from torch import Tensor, nn
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.models") from error

__all__ = ["MLP"]


class MLP(nn.Module):
    """Linear layers with ReLU and dropout between them; inputs are flattened.

    Args:
        in_features: Values per row.
        num_classes: Outputs: classes or labels.
        hidden: Width of each hidden layer; empty for a linear model.
        dropout: Share of hidden units dropped in training, in [0, 1).

    Raises:
        UsageError: a width below 1, or ``dropout`` outside [0, 1).

    Example:
        >>> import torch
        >>> MLP(64, 10, hidden=(32,))(torch.zeros(5, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        hidden: Sequence[int] = (64,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise UsageError(say("dropout", "lie in [0, 1)", dropout))
        if isinstance(hidden, int):
            raise UsageError(say("hidden", "be a sequence of widths", hidden, "Pass (64,) for 64."))
        for name, size in (
            ("in_features", in_features),
            ("num_classes", num_classes),
            *(("hidden", size) for size in hidden),
        ):
            if size < 1:
                raise UsageError(say(name, "be >= 1", size))
        layers: list[nn.Module] = [nn.Flatten()]
        width = in_features
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of inputs (N, ...)."""
        logits: Tensor = self.head(self.body(x))
        return logits
