"""The one place that calls a foreign loss: value and gradient, or what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise._core.codes import CODES
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Kind

Scale = Literal["logits", "probabilities"]
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a loss said: its value, the gradient with respect to the logits, or an error."""

    value: Tensor | None = None
    gradient: Tensor | None = None
    error: str = ""

    @property
    def finite(self) -> bool:
        """Whether there are a value and a gradient, both finite."""
        if self.value is None or self.gradient is None:
            return False
        return bool(self.value.isfinite().all() and self.gradient.isfinite().all())


@dataclass(frozen=True, slots=True)
class Probe:
    """A loss, what its inputs are, and how to ask it.

    Args:
        loss: A function of (outputs, targets).
        kind: "multiclass" or "multilabel".
        names: One per class or label.
        scale: What it is handed: logits, or their sigmoid (softmax for classes).
    """

    loss: LossFunction
    kind: Kind
    names: tuple[str, ...]
    scale: Scale = "logits"

    @property
    def width(self) -> int:
        """The number of classes or labels."""
        return len(self.names)

    def on(self, scale: Scale) -> Probe:
        """Return the probe that hands over ``scale``."""
        return replace(self, scale=scale)

    def squash(self, logits: Tensor) -> Tensor:
        """Return what the loss is handed for these logits."""
        if self.scale == "logits":
            return logits
        return logits.sigmoid() if self.kind == "multilabel" else logits.softmax(-1)

    def ask(self, logits: Tensor, target: Tensor) -> Answer:
        """Return value and gradient with respect to the logits, through the squashing."""
        leaf = logits.detach().clone().requires_grad_()
        try:
            with torch.enable_grad():
                value = self.loss(self.squash(leaf), target.clone())
                if not isinstance(value, Tensor):
                    return Answer(error=f"it returns {type(value).__name__}, not a tensor")
                if not value.requires_grad:
                    return Answer(error="its value carries no gradient")
                (gradient,) = torch.autograd.grad(value.sum(), leaf)
        except Exception as error:
            return Answer(error=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
        return Answer(value.detach(), gradient)

    def draw(self, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return logits in -6 to 6 and targets that do not depend on them."""
        g = torch.Generator().manual_seed(seed)
        logits = 12.0 * torch.rand(rows, self.width, generator=g) - 6.0
        if self.kind == "multiclass":
            return logits, torch.arange(rows) % self.width
        target = (torch.arange(rows)[:, None] + torch.arange(self.width)) % 2
        return logits, target.float()


def finding(
    code: str, message: str, evidence: dict[str, Any], suggests: Sequence[str] = ()
) -> Finding:
    """Make a finding with the severity and title of its code."""
    return Finding(code, *CODES[code], message, evidence, tuple(suggests))
