"""Torch data sets; needs the extra "torch"."""

from equipoise.data.arrays import ArrayDataset
from equipoise.data.copies import CopiesDataset

__all__ = ["ArrayDataset", "CopiesDataset"]
