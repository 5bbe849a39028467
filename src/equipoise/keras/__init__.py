"""Losses, metrics, data, callbacks and checks for Keras 3; needs the extra "keras"."""

import equipoise.keras._keras  # noqa: F401  # comes first: says which extra brings Keras
from equipoise.keras import losses, metrics
from equipoise.keras.checks import check_model, require_fitting_metrics

__all__ = ["check_model", "losses", "metrics", "require_fitting_metrics"]
