"""Checks of a Keras set-up before ``fit``: model, loss, metrics and weights against the targets."""

from equipoise.keras.checks.metrics import require_fitting_metrics
from equipoise.keras.checks.model import check_model

__all__ = ["check_model", "require_fitting_metrics"]
