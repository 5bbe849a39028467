"""Training with a remedy that is handed in; needs the extra "torch", and "train" for fit."""

from equipoise.errors import MissingExtraError

try:
    import torch  # noqa: F401
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.training") from error

# Not lazy: a lazy function `fit` would be shadowed by the module of the same name.
from equipoise.training.combination import add_sampler
from equipoise.training.copies import AugmentCopies
from equipoise.training.fit import fit
from equipoise.training.heads import HeadResult, train_heads
from equipoise.training.heads.jobs import HeadJob, HeadSettings
from equipoise.training.late import Deferred, SecondStage
from equipoise.training.mixing import CutMix, Mixup, Remix
from equipoise.training.options import TrainingOptions
from equipoise.training.remedy import Mixing, Remedy
from equipoise.training.selection import Monitor

__all__ = [
    "AugmentCopies",
    "CutMix",
    "Deferred",
    "HeadJob",
    "HeadResult",
    "HeadSettings",
    "Mixing",
    "Mixup",
    "Monitor",
    "Remedy",
    "Remix",
    "SecondStage",
    "TrainingOptions",
    "add_sampler",
    "fit",
    "train_heads",
]
