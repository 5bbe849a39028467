"""A remedy: what a method does to training, and how to undo it in the probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from equipoise.artifacts import Correction
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Remedy", "RowSampler"]


@runtime_checkable
class RowSampler(Protocol):
    """Yields positions within the training rows; ``set_epoch`` changes the draw."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration draw the given epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Remedy:
    """What a method does to training.

    Args:
        name: The method, as in the catalogue.
        loss: Module called as ``loss(logits, target)`` and returning a scalar, or one value per
            leading slice for stacked logits.
        sampler: Called as ``sampler(seed=...)``; returns a sampler of positions within the
            training rows. None shuffles all rows once per epoch.
        mixing: Changes a batch of inputs and targets.
        schedule: Switches loss and sampler during training.
        second_stage: A remedy for a second stage of training.
        correction: The way back to natural-prior probabilities, loss first, then sampler.
        settings: The method's parameters, as they enter the trial's config.

    An engine that does not support a slot that is filled raises; it never ignores it.
    """

    name: str
    loss: nn.Module
    correction: Correction
    sampler: Callable[..., RowSampler] | None = None
    mixing: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    schedule: object | None = None
    second_stage: Remedy | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def require_supported(self, engine: str, slots: Iterable[str]) -> None:
        """Raise if a slot outside ``slots`` is filled."""
        for slot in ("sampler", "mixing", "schedule", "second_stage"):
            if getattr(self, slot) is not None and slot not in slots:
                raise UsageError(
                    f"`{engine}` does not support the slot `{slot}` that remedy '{self.name}' "
                    "fills. Train it with an engine that does."
                )
