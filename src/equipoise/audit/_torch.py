"""Import torch, or say which extra brings it."""

from __future__ import annotations

from equipoise.errors import MissingExtraError

try:
    import torch
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.audit") from error

__all__ = ["torch"]
