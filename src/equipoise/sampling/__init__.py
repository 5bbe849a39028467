"""Sampling: row weights (NumPy) and the samplers that draw by them (torch, imported on demand)."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.sampling.rows import ClassBalancedSampler, WeightedSampler
    from equipoise.sampling.weights import (
        class_balanced_weights,
        effective_sample_size,
        implied_pos_weight,
        instance_weights,
        sampler_correction,
    )

__all__ = [
    "ClassBalancedSampler",
    "WeightedSampler",
    "class_balanced_weights",
    "effective_sample_size",
    "implied_pos_weight",
    "instance_weights",
    "sampler_correction",
]

_NEEDS_TORCH = {"ClassBalancedSampler": "rows", "WeightedSampler": "rows"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _NEEDS_TORCH.get(name, "weights")
    try:
        found = import_module(f"equipoise.sampling.{module}")
    except (ImportError, RuntimeError) as error:
        if module == "weights":
            raise
        from equipoise.errors import MissingExtraError

        raise MissingExtraError("torch", "torch", f"equipoise.sampling.{name}") from error
    return getattr(found, name)


def __dir__() -> list[str]:
    return sorted(__all__)
