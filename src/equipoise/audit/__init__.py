"""Black-box checks of any loss, sampler or model: what it does, what it means, where it breaks."""

import equipoise.audit._torch  # noqa: F401  # comes first: says which extra brings torch
from equipoise.audit.draws import BatchSummary
from equipoise.audit.from_text import audit_path, load_loss, read_label_names, read_settings
from equipoise.audit.loss import audit_loss
from equipoise.audit.model import check_model
from equipoise.audit.sampler import SamplerAudit, audit_sampler

__all__ = [
    "BatchSummary",
    "SamplerAudit",
    "audit_loss",
    "audit_path",
    "audit_sampler",
    "check_model",
    "load_loss",
    "read_label_names",
    "read_settings",
]
