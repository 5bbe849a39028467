"""What a head is trained on and how: the jobs of one call and the settings they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import one_of, require_finite, require_shape, say, to_positive
from equipoise.artifacts import Labels
from equipoise.errors import DataError, LeakageError, UsageError
from equipoise.training.remedy import Remedy

__all__ = ["HeadJob", "HeadSettings", "Progress", "Rows", "check_jobs"]

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]
DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """What all heads of one call share.

    Args:
        hidden: Width of one hidden layer, or 0 for a linear head.
        epochs: Passes over the training rows.
        batch_size: Rows per mini-batch.
        lr: AdamW learning rate at the start; it falls to 0 along a half cosine.
        weight_decay: Decoupled weight decay.
        dtype: "float32" or "float64".

    Raises:
        UsageError: a setting out of range.
    """

    hidden: int = 0
    epochs: int = 30
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 1e-4
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (("hidden", 0), ("epochs", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if int(value) != value or value < least:
                raise UsageError(say(name, f"be a whole number >= {least}", value))
        to_positive("lr", self.lr)
        to_positive("weight_decay", self.weight_decay, zero=True)
        one_of("dtype", self.dtype, DTYPES)


@dataclass(frozen=True, slots=True, eq=False)
class HeadJob:
    """One head to train: a remedy, a seed and that seed's rows.

    Args:
        remedy: Its loss and sampler refer to the rows of ``train`` in this order.
        seed: Decides initialisation and order; heads of one seed share both.
        train: Positions to train on.
        val: Positions that choose the epoch.
        config: All that decides the outcome, as it names the trial; empty for the facts known here.
    """

    remedy: Remedy
    seed: int
    train: Rows
    val: Rows
    config: Mapping[str, Any] = field(default_factory=dict)


def check_jobs(
    features: NDArray[np.floating], labels: Labels, test: Rows, jobs: Sequence[HeadJob]
) -> None:
    """Raise unless features, labels and the rows of all jobs belong together."""
    require_shape("features", features, (len(labels), None), "One row per label, flat features.")
    if features.dtype.kind not in "fiub":
        raise DataError(say("features", "be numbers", f"dtype {features.dtype}"))
    require_finite("features", features, "Fill or drop missing values first.")
    used = np.zeros(len(labels), dtype=np.int8)
    for job in jobs:
        job.remedy.require_supported("train_heads", ("sampler",))
        used[:] = 0
        for name, rows in (("train", job.train), ("val", job.val), ("test", test)):
            if rows.size == 0 and name != "test":
                raise DataError(say(f"{name} of seed {job.seed}", "hold at least one row", "none"))
            if rows.size and (rows.min() < 0 or rows.max() >= len(labels)):
                got = f"{rows.min()}..{rows.max()}"
                wanted = f"hold positions in [0, {len(labels)})"
                raise DataError(say(f"{name} of seed {job.seed}", wanted, got))
            if used[rows].any():
                raise LeakageError(
                    say(
                        f"{name} of seed {job.seed}",
                        "share no row with the parts before it",
                        f"{int(used[rows].sum())} shared rows",
                        "Take the rows from one Split.",
                    )
                )
            used[rows] = 1
