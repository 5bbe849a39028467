"""Losses, metrics, data, callbacks and checks for Keras 3; needs the extra "keras"."""

import equipoise.keras._keras  # noqa: F401  # comes first: says which extra brings Keras
from equipoise.keras import losses

__all__ = ["losses"]
