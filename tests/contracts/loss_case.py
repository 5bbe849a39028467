"""The row that brings a loss under the laws, and what oracles share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise.losses import Loss

NUM_CLASSES, NUM_LABELS = 5, 4
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0])
POS_WEIGHT = torch.tensor([1.0, 3.0, 9.0, 0.5])
PRIOR = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
AIM = torch.tensor([0.2, 0.3, 0.2, 0.2, 0.1])
ALPHA = torch.tensor([0.25, 0.5, 0.75, 0.9])


@dataclass(frozen=True)
class LossCase:
    """A loss, its settings, what it is with neutral settings, and a loop that computes it.

    ``unit`` is what "none" returns a value for: an entry (or, for classes, a row), a row of labels,
    a label over the batch, or nothing smaller than the batch, where "none" is refused.
    ``counted`` tells which units a mean is over, ``frozen(logits, target, at)`` is the loss with
    focusing weights taken from ``at``, ``reach`` holds the true probabilities that the outputs
    can express, and ``learns_when_wrong`` is False where the slope vanishes at a saturated
    negative. ``by_row`` marks an oracle that takes whole rows and returns a list.
    ``neutral`` is None where no setting gives a loss of torch.
    """

    name: str
    module: type[Loss]
    function: Callable[..., Tensor]
    oracle: Callable[..., float]
    settings: dict[str, Any] = field(default_factory=dict)
    neutral: dict[str, Any] | None = field(default_factory=dict)
    per_class: tuple[str, ...] = ()
    mean_weight: str | None = None
    same_at_zero: float | None = None
    clips: bool = False
    unit: Literal["entry", "row", "label", "batch"] = "entry"
    counted: Callable[[Tensor], Tensor] | None = None
    frozen: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    reach: tuple[float, float] = (0.0, 1.0)
    learns_when_wrong: bool = True
    by_row: bool = False

    @property
    def kind(self) -> str:
        # A wrapper is of the kind of the loss that it wraps.
        return getattr(self.settings.get("loss"), "kind", self.module.kind)

    @property
    def smallest(self) -> Literal["none", "mean"]:
        """The reduction with the smallest unit."""
        return "mean" if self.unit == "batch" else "none"

    @property
    def width(self) -> int:
        return NUM_CLASSES if self.kind == "multiclass" else NUM_LABELS

    def build(self, **changes: Any) -> Loss:
        settings: Any = {**self.settings, **changes}
        return self.module(**settings)


def softmax(z: list[float]) -> list[float]:
    top = max(z)
    powers = [math.exp(v - top) for v in z]
    return [v / sum(powers) for v in powers]


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))
