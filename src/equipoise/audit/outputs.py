"""What stands at the end of a model: raw outputs, probabilities, or a sigmoid of those."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# The interval of a sigmoid of something that is a probability already.
TWICE = (0.5, 0.7310586)
_SQUASH = ("Sigmoid", "Softmax", "LogSoftmax", "Hardsigmoid")
# Operations that leave every value as it is, or drop some.
_PASS = (
    "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Select", "Slice", "Transpose",
    "T", "Permute", "Clone", "ToCopy", "Alias", "Expand", "Clamp", "ClampMin", "ClampMax", "Index",
)  # fmt: skip
_DRAWS = 4
_SLACK = 1e-2


@dataclass(frozen=True, slots=True)
class Ending:
    """How a model ends.

    Args:
        steps: Squashing operations at its very end, the last one first, e.g. ("sigmoid",).
        low: Least output while the weights of its last layer were drawn anew, NaN if unknown.
        high: Largest output then.
    """

    steps: tuple[str, ...]
    low: float
    high: float

    @property
    def squashed(self) -> bool:
        """Whether outputs cannot leave [0, 1]."""
        if self.steps:
            return self.steps[0] != "logsoftmax"
        return self.low >= 0.0 and self.high <= 1.0

    @property
    def twice(self) -> bool:
        """Whether outputs were squashed, and squashed again."""
        confined = self.low >= TWICE[0] - _SLACK and self.high <= TWICE[1] + _SLACK
        # A second log_softmax changes nothing.
        return confined or (len(self.steps) > 1 and set(self.steps) != {"logsoftmax"})

    @property
    def name(self) -> str:
        """What to call the squashing."""
        return self.steps[0] if self.steps else "sigmoid or the like"


def find_ending(model: nn.Module, ask: Callable[[], Any], outputs: Tensor) -> Ending:
    """Look at the end of a model in two ways: its graph, and outputs under other last layers.

    Random weights in the last layer, drawn with either sign, give raw outputs of either sign; only
    squashed ones stay in [0, 1]. A model at its start, whose outputs are all near 0, or one that
    happens to answer 0.6 everywhere, is not mistaken for one.

    Args:
        model: A copy: the weights of its last layer are changed and put back.
        ask: Runs the model on the batch.
        outputs: What it returned, with a graph.
    """
    low, high = _reach(model, ask)
    return Ending(_steps(outputs), low, high)


def _steps(outputs: Tensor) -> tuple[str, ...]:
    """Walk back through the graph as long as it only squashes and reshapes."""
    found, node = [], outputs.grad_fn
    while node is not None:
        name = re.sub(r"Backward\d*$", "", node.name())
        if name in _SQUASH:
            found.append(name.lower())
        elif name not in _PASS:
            break
        node = node.next_functions[0][0] if node.next_functions else None
    return tuple(found)


def _reach(model: nn.Module, ask: Callable[[], Any]) -> tuple[float, float]:
    """Return the least and largest output under random last layers of either sign."""
    unknown = float("nan"), float("nan")
    called: list[nn.Module] = []
    hooks = [
        m.register_forward_hook(lambda module, *_: called.append(module))
        for m in model.modules()
        if isinstance(weight := getattr(m, "weight", None), Tensor) and weight.ndim > 1
    ]
    try:
        ask()
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        return unknown
    own = list(called[-1].parameters(recurse=False))
    before = [p.detach().clone() for p in own]
    generator = torch.Generator().manual_seed(0)
    seen = []
    with torch.no_grad():
        for _ in range(_DRAWS):
            drawn = [3.0 * torch.randn(p.shape, generator=generator).to(p) for p in own]
            for sign in (1.0, -1.0):
                for p, value in zip(own, drawn, strict=True):
                    p.copy_(sign * value)
                seen.append(ask().detach().float().flatten())
        for p, value in zip(own, before, strict=True):
            p.copy_(value)
    values = torch.cat(seen)
    values = values[values.isfinite()]
    return (float(values.min()), float(values.max())) if values.numel() else unknown
