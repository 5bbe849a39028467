"""Many losses on stacked logits: equal ones are called once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from equipoise._core.checks import say
from equipoise.errors import UsageError

__all__ = ["SharedLosses", "same_loss"]

# What torch keeps on every module and no loss depends on.
_BOOKKEEPING = frozenset(vars(nn.Module()))


class SharedLosses:
    """One loss per head, (H,); heads whose losses are equal share a call.

    Args:
        losses: One module per head. Each maps logits (h, B, C) to one value per slice, (h,).
    """

    def __init__(self, losses: Sequence[nn.Module]) -> None:
        groups: list[tuple[nn.Module, list[int]]] = []
        for head, loss in enumerate(losses):
            for other, heads in groups:
                if same_loss(loss, other):
                    heads.append(head)
                    break
            else:
                groups.append((loss, [head]))
        self.losses = [loss for loss, _ in groups]
        self.sizes = [len(heads) for _, heads in groups]
        self.order = torch.tensor([head for _, heads in groups for head in heads])
        self.back = torch.argsort(self.order)

    def __call__(self, logits: Tensor, targets: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (H,) and their gradients with respect to the logits, (H, B, C).

        Args:
            logits: (H, B, C).
            targets: The distinct mini-batches of targets, (O, B) or (O, B, C).
            which: The mini-batch of each head, (H,).
        """
        grouped = torch.split(logits.index_select(0, self.order), self.sizes)
        wanted = torch.split(targets.index_select(0, which[self.order]), self.sizes)
        leaves = [part.detach().requires_grad_() for part in grouped]
        with torch.enable_grad():
            values = [
                self._value(loss, leaf, target)
                for loss, leaf, target in zip(self.losses, leaves, wanted, strict=True)
            ]
            gradients = torch.autograd.grad([value.sum() for value in values], leaves)
        value = torch.cat([v.detach() for v in values])
        return value[self.back], torch.cat(gradients).index_select(0, self.back)

    @staticmethod
    def _value(loss: nn.Module, logits: Tensor, target: Tensor) -> Tensor:
        value: Tensor = loss(logits, target)
        if value.shape != logits.shape[:1]:
            raise UsageError(
                say(
                    type(loss).__name__,
                    f"return one value per slice of stacked logits, {tuple(logits.shape[:1])}",
                    f"shape {tuple(value.shape)}",
                    "Keep leading axes in the reduction, or train with `fit`.",
                )
            )
        return value


def same_loss(left: nn.Module, right: nn.Module) -> bool:
    """Whether two losses give the same value for the same input: same class, same settings.

    Settings that cannot be compared make them differ; this costs time, never correctness.
    """
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    a, b = left.state_dict(), right.state_dict()
    if a.keys() != b.keys() or not all(torch.equal(a[key], b[key]) for key in a):
        return False
    inner = list(zip(left.children(), right.children(), strict=False))
    if len(inner) != len(list(left.children())) or len(inner) != len(list(right.children())):
        return False
    return _plain(left) == _plain(right) and all(same_loss(x, y) for x, y in inner)


def _plain(loss: nn.Module) -> dict[str, Any]:
    """Return the settings of a module that are neither tensors nor modules."""
    own = {key: value for key, value in vars(loss).items() if key not in _BOOKKEEPING}
    # A setting of another kind is compared by identity, which no two modules share by chance.
    simple = (bool, int, float, str, bytes, tuple, type(None))
    return {k: v if isinstance(v, simple) else (type(v).__name__, id(v)) for k, v in own.items()}
