"""A moving average of the weights (EMA), validated and kept in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of the trainable weights of a network.

    Args:
        network: Its parameters are followed; buffers, such as those of batch norm, are not.
        decay: Weight of the past per step. The n-th update uses min(decay, (1 + n) / (10 + n)),
            so that the start does not linger.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> average = WeightAverage(net, decay=0.9)
        >>> _ = nn.init.zeros_(net.weight)
        >>> average.update()
        >>> with average.in_place():
        ...     print(round(net.weight.item(), 3))
        0.182
        >>> net.weight.item()
        0.0
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._live = [p for p in network.parameters() if p.requires_grad]
        self._mean = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of now into the average."""
        self.updates += 1
        self._mean = [m.to(p) for m, p in zip(self._mean, self._live, strict=True)]
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._mean, [p.detach() for p in self._live], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network while the block runs."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the weights of the network; the next call undoes it."""
        for mean, live in zip(self._mean, self._live, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state_dict(self) -> dict[str, int | list[Tensor]]:
        """Return the average and how many updates it has had."""
        return {"updates": self.updates, "mean": [m.detach().cpu() for m in self._mean]}

    def load_state_dict(self, state: dict[str, int | list[Tensor]]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        updates, mean = state["updates"], state["mean"]
        if isinstance(updates, int) and isinstance(mean, list):
            self.updates, self._mean = updates, [m.clone() for m in mean]
