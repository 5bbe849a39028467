"""Augment the copies that a balancing sampler makes, and leave first sights as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from equipoise._core.messages import say
from equipoise._core.rng import child_seed
from equipoise.data import Augmentation, Augmenter
from equipoise.errors import DataError


@dataclass(frozen=True, eq=False)
class AugmentCopies:
    """Augment each row with the probability that it is a copy: 1 - 1 / r.

    A row that a sampler draws r times per epoch on average is once itself and r - 1 times a copy;
    one that comes once or less is left as it is. Which of its r sights is augmented is drawn anew
    each time, so no state passes from batch to batch.

    Args:
        repeats: (C,) how often a row of each class, or of each label, is drawn per epoch; a row of
            several labels takes the largest.
        augmentation: What is done to a copy.
        empty: The same for a row without any label.

    Raises:
        DataError: repeats that are negative.

    Note:
        Changes inputs alone: the prior is shifted by the sampler, not by this.

    Example:
        >>> copies = AugmentCopies((0.5, 4.0), Augmentation(horizontal_flip=1.0))
        >>> image = torch.arange(2.0).expand(4000, 1, 1, 2)
        >>> seen = copies(image, torch.arange(4000) % 2, seed=0)[:, 0, 0, 0]
        >>> [round(float(seen[k::2].mean()), 2) for k in (0, 1)]
        [0.0, 0.76]
    """

    repeats: Sequence[float]
    augmentation: Augmentation
    empty: float = 1.0
    _augmenter: Augmenter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if min(self.repeats) < 0 or self.empty < 0:
            raise DataError(say("repeats", "be >= 0", min(*self.repeats, self.empty)))
        object.__setattr__(self, "_augmenter", self.augmentation.build())

    def shares(self, target: Tensor) -> Tensor:
        """Return the probability that each row is a copy, (N,).

        Args:
            target: (N,) int64 classes, or (N, L) with NaN where unknown.
        """
        factors = torch.as_tensor(list(self.repeats), dtype=torch.float64, device=target.device)
        if target.ndim == 1:
            times = factors[target]
        else:
            hot = target == 1
            largest = torch.where(hot, factors, -torch.inf).amax(1)
            times = torch.where(hot.any(1), largest, torch.full_like(largest, self.empty))
        return 1 - 1 / times.clamp_min(1.0)

    def __call__(self, x: Any, target: Tensor, seed: int) -> Any:
        """Return a batch of images with its copies augmented.

        Args:
            x: (N, C, H, W) images as :class:`equipoise.data.Augmenter` takes them.
            target: Their targets.
            seed: Decides what is a copy and how it is augmented.
        """
        drawn = torch.rand(len(target), generator=torch.Generator().manual_seed(seed))
        copies = drawn.to(target.device) < self.shares(target)
        if not bool(copies.any()):
            return x
        out = x.clone()
        out[copies] = self._augmenter(x[copies], seed=child_seed(seed, "copies"))
        return out
