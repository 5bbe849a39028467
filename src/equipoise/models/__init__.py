"""Small reference networks; needs the extra "torch"."""

from equipoise.models.bias import initialise_prior_bias, prior_bias
from equipoise.models.cosine import CosineHead
from equipoise.models.mlp import MLP

__all__ = ["MLP", "CosineHead", "initialise_prior_bias", "prior_bias"]
