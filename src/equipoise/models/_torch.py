"""Import torch, or say which extra brings it."""

from __future__ import annotations

from equipoise.errors import MissingExtraError

try:
    import torch
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.models") from error

__all__ = ["cuda_devices", "torch"]


def cuda_devices() -> range:
    """Return the GPUs whose random state there is to keep: none before CUDA is in use."""
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count() if in_use else 0)
