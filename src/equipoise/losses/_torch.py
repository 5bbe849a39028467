"""Import torch, or say which extra brings it; a broken build raises RuntimeError on import."""

from __future__ import annotations

from equipoise.errors import MissingExtraError

try:
    import torch
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.losses") from error

__all__ = ["torch"]
