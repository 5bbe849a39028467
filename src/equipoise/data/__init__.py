"""Torch data sets; needs the extra "torch"."""

from equipoise.data.arrays import ArrayDataset

__all__ = ["ArrayDataset"]
