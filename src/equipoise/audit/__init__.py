"""Black-box checks of any loss: what it expects, what its outputs mean, where it breaks."""

import equipoise.audit._torch  # noqa: F401  # comes first: says which extra brings torch
from equipoise.audit.entry import load_loss, read_settings
from equipoise.audit.loss import audit_loss

__all__ = ["audit_loss", "load_loss", "read_settings"]
