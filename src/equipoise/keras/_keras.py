"""Import Keras, or say which extra brings it, or that its backend is missing."""

from __future__ import annotations

from equipoise._core.messages import say
from equipoise.errors import MissingExtraError, UsageError

try:
    import keras
except (ImportError, RuntimeError) as error:
    missing = getattr(error, "name", None) or "keras"
    if missing.split(".")[0] != "keras":
        got = f"a backend without its package `{missing}`"
        do = "Set KERAS_BACKEND to torch or jax before Keras is imported, or install it."
        raise UsageError(
            say("KERAS_BACKEND", "name a backend that is installed", got, do)
        ) from error
    raise MissingExtraError("keras", "keras", "equipoise.keras") from error

__all__ = ["PACKAGE", "keras"]

PACKAGE = "equipoise"
"""Under which classes are registered in saved models: "equipoise>AsymmetricLoss"."""
