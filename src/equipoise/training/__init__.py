"""Training with a remedy that is handed in; needs the extra "torch", and "train" for fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.training.fit import fit
    from equipoise.training.heads import HeadJob, HeadSettings, train_heads
    from equipoise.training.remedy import Remedy

__all__ = ["HeadJob", "HeadSettings", "Remedy", "fit", "train_heads"]

_HOME = {
    "HeadJob": "heads",
    "HeadSettings": "heads",
    "Remedy": "remedy",
    "fit": "fit",
    "train_heads": "heads",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
