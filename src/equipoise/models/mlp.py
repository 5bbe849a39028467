"""A multi-layer perceptron for tables and small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from equipoise._core.messages import say
from equipoise.errors import UsageError
from equipoise.models.head import Head, make_head, require_dropout, require_sizes


class MLP(nn.Module):
    """Linear layers with ReLU and dropout between them; inputs are flattened.

    Args:
        in_features: Values per row.
        num_classes: Outputs: classes or labels.
        hidden: Width of each hidden layer; empty for a linear model.
        dropout: Share of hidden units dropped in training, in [0, 1).
        head: "linear", or "cosine" for a :class:`CosineHead`.
        scale: Factor on the cosines.

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
        head: Head = "linear",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        require_dropout(dropout)
        if isinstance(hidden, int):
            raise UsageError(say("hidden", "be a sequence of widths", hidden, "Pass (64,) for 64."))
        require_sizes({"in_features": in_features, "num_classes": num_classes})
        layers: list[nn.Module] = [nn.Flatten()]
        width = in_features
        for size in hidden:
            require_sizes({"hidden": size})
            layers += [nn.Linear(width, size), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.body = nn.Sequential(*layers)
        self.head = make_head(width, num_classes, head=head, scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of inputs (N, ...)."""
        logits: Tensor = self.head(self.body(x))
        return logits
