"""Small reference networks; needs the extra "torch"."""

from equipoise.models.mlp import MLP

__all__ = ["MLP"]
