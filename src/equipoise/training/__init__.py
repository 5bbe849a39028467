"""Training with a remedy that is handed in; needs the extra "torch", and "train" for fit."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face
from equipoise.errors import MissingExtraError

if TYPE_CHECKING:
    from equipoise.training.combination import (
        add_sampler as add_sampler,
    )
    from equipoise.training.copies import (
        AugmentCopies as AugmentCopies,
    )
    from equipoise.training.fitting import (
        fit as fit,
    )
    from equipoise.training.heads import (
        HeadResult as HeadResult,
        train_heads as train_heads,
    )
    from equipoise.training.heads.jobs import (
        HeadJob as HeadJob,
        HeadSettings as HeadSettings,
    )
    from equipoise.training.late import (
        Deferred as Deferred,
        SecondStage as SecondStage,
    )
    from equipoise.training.mixing import (
        CutMix as CutMix,
        Mixup as Mixup,
        Remix as Remix,
    )
    from equipoise.training.options import (
        TrainingOptions as TrainingOptions,
    )
    from equipoise.training.remedy import (
        Mixing as Mixing,
        Remedy as Remedy,
    )
    from equipoise.training.selection import (
        Monitor as Monitor,
    )

_FREE = ("remedy", "selection", "options", "combination")
"""Modules that need no torch: tables are compared without."""


def _load(module: str) -> ModuleType:
    """Import a module; say which extra brings torch where it is missing or broken."""
    if module.rpartition(".")[2] not in _FREE:
        try:
            import torch  # noqa: F401
        except (ImportError, RuntimeError) as error:
            raise MissingExtraError("torch", "torch", "equipoise.training") from error
    return import_module(module)


_HOME = {
    "combination": "add_sampler",
    "copies": "AugmentCopies",
    "fitting": "fit",
    "heads": "HeadResult train_heads",
    "heads.jobs": "HeadJob HeadSettings",
    "late": "Deferred SecondStage",
    "mixing": "CutMix Mixup Remix",
    "options": "TrainingOptions",
    "remedy": "Mixing Remedy",
    "selection": "Monitor",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME, _load)
