"""What a head is trained on and how: the jobs of one call and the settings they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._core.checks import require_finite, require_shape, to_positive
from equipoise._core.messages import one_of, say
from equipoise.artifacts import Labels
from equipoise.errors import DataError, LeakageError, UsageError
from equipoise.training.devices import choose_device
from equipoise.training.late import Deferred
from equipoise.training.remedy import Remedy

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]
DTYPES = ("float32", "float64")
DEVICES = ("auto", "cpu", "cuda")
# Rows that are read, checked or scored at once.
ROWS_AT_ONCE = 4096


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
        device: "cpu", "cuda", or "auto" for CUDA where there is one.
        memory_gb: How much one stack of heads may take beside the features, in 10^9 bytes; more
            heads are trained one stack after the other. Decides speed and rounding.

    Raises:
        UsageError: a setting out of range, or a device that is not there.
    """

    hidden: int = 0
    epochs: int = 30
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 1e-4
    dtype: str = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_gb: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("hidden", 0), ("epochs", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if int(value) != value or value < least:
                raise UsageError(say(name, f"be a whole number >= {least}", value))
        to_positive("lr", self.lr)
        to_positive("weight_decay", self.weight_decay, zero=True)
        to_positive("memory_gb", self.memory_gb)
        one_of("dtype", self.dtype, DTYPES)
        one_of("device", self.device, DEVICES)
        choose_device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of weights and logits."""
        return torch.float64 if self.dtype == "float64" else torch.float32

    @property
    def torch_device(self) -> torch.device:
        """Where weights and mini-batches are."""
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(wanted if self.device == "auto" else self.device)


@dataclass(frozen=True, slots=True, eq=False)
class HeadJob:
    """One head to train: a remedy, a seed and that seed's rows.

    Args:
        remedy: Its losses and samplers refer to the rows of ``train`` in this order.
        seed: Decides initialisation and order; heads of one seed share both.
        train: Positions to train on.
        val: Positions that choose the epoch.
        config: All that decides the outcome, as it names the trial; empty for the facts known here.
        lr: Learning rate of this head; None for that of the settings.
        weight_decay: Weight decay of this head; None for that of the settings.
        test: Positions that it is tested on; None for those of the call.

    Raises:
        UsageError: a learning rate or weight decay out of range.
    """

    remedy: Remedy
    seed: int
    train: Rows
    val: Rows
    config: Mapping[str, Any] = field(default_factory=dict)
    lr: float | None = None
    weight_decay: float | None = None
    test: Rows | None = None

    def tested(self, test: Rows) -> Rows:
        """Return its test rows: its own, else those of the call."""
        return test if self.test is None else self.test

    def __post_init__(self) -> None:
        if self.lr is not None:
            to_positive("lr", self.lr)
        if self.weight_decay is not None:
            to_positive("weight_decay", self.weight_decay, zero=True)


def deferred(remedy: Remedy) -> Deferred | None:
    """Return the schedule of a remedy; one of another kind is an error."""
    schedule = remedy.schedule
    if schedule is not None and not isinstance(schedule, Deferred):
        do = "Take equipoise.training.Deferred."
        got = type(schedule).__name__
        raise UsageError(say("schedule", "be one that `train_heads` knows", got, do))
    return schedule


def check_jobs(
    features: NDArray[np.floating], labels: Labels, test: Rows, jobs: Sequence[HeadJob]
) -> None:
    """Raise unless features, labels and the rows of all jobs belong together."""
    require_shape("features", features, (len(labels), None), "One row per label, flat features.")
    if features.dtype.kind not in "fiub":
        raise DataError(say("features", "be numbers", f"dtype {features.dtype}"))
    _require_finite(features)
    used = np.zeros(len(labels), dtype=np.int8)
    seen: set[tuple[int, int, int]] = set()
    for job in jobs:
        job.remedy.require_supported("train_heads", ("sampler", "mixing", "schedule"))
        deferred(job.remedy)
        # Jobs of one seed hold the same arrays, as a rule.
        key = (job.seed, id(job.train), id(job.val))
        if key not in seen:
            seen.add(key)
            _check_rows(job, job.tested(test), used)


def _require_finite(features: NDArray[np.floating]) -> None:
    """Look at some rows at a time: a memory map may be larger than memory."""
    if features.dtype.kind != "f":
        return
    for first in range(0, len(features), ROWS_AT_ONCE):
        if not np.isfinite(features[first : first + ROWS_AT_ONCE]).all():
            require_finite("features", features, "Fill or drop missing values first.")


def _check_rows(job: HeadJob, test: Rows, used: NDArray[np.int8]) -> None:
    used[:] = 0
    for name, rows in (("train", job.train), ("val", job.val), ("test", test)):
        if rows.size == 0 and name != "test":
            raise DataError(say(f"{name} of seed {job.seed}", "hold at least one row", "none"))
        if rows.size and (rows.min() < 0 or rows.max() >= len(used)):
            got = f"{rows.min()}..{rows.max()}"
            wanted = f"hold positions in [0, {len(used)})"
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
