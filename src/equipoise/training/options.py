"""How a model is trained, whatever the remedy: steps, optimizer, learning rate, hardware."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from equipoise._core.checks import require_within, to_positive
from equipoise._core.messages import closest, one_of, say
from equipoise.errors import NoEffectWarning, UsageError

Optimizer = Literal["adamw", "sgd"]
RateSchedule = Literal["cosine", "constant", "multistep", "exponential", "plateau"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed"]
Keep = Literal["best", "last"]
_ONLY_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
    "milestones": ("schedule", ("multistep",)),
    "plateau_patience": ("schedule", ("plateau",)),
    "factor": ("schedule", ("multistep", "exponential", "plateau")),
}
"""Option -> the option, and its values, without which it does nothing."""
Tracker = Literal["tensorboard", "mlflow", "wandb"]

_MACHINE = frozenset(
    {
        "accelerator",
        "accumulation",
        "checkpoint_minutes",
        "compile",
        "devices",
        "num_nodes",
        "num_workers",
        "trackers",
    }
)
"""Options that say where training runs; they are no part of what is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """Everything about training that does not depend on the remedy.

    Args:
        epochs: Passes over the training rows, or over what the sampler draws.
        batch_size: Rows per optimizer step, over all devices and accumulation parts together: so
            the machine does not decide what is trained.
        accumulation: Parts in which a batch is computed, for memory. The loss divides by what it
            would divide by for the whole batch, unknown entries and weights included.
        optimizer: "adamw" or "sgd".
        lr: Learning rate at its height.
        momentum: Of SGD.
        nesterov: Nesterov's form of SGD.
        weight_decay: Decoupled for AdamW; L2 for SGD.
        schedule: Of the learning rate. "cosine" falls to 0 over all steps, "multistep" is
            multiplied by ``factor`` at each of ``milestones``, "exponential" by ``factor`` at
            every epoch, "plateau" by ``factor`` when the validation metric has not risen for
            ``plateau_patience`` epochs.
        milestones: Shares of training, between 0 and 1, rising.
        factor: In (0, 1].
        plateau_patience: Epochs.
        warmup: Epochs, fractions allowed, over which the rate rises in a line from 0.
        clip: Largest norm of the gradient, or None.
        precision: "32-true", "64-true", "bf16-mixed" or "16-mixed" (GPU). The scores that are kept
            are computed in float32 where it is mixed.
        ema: Decay per step of the moving average of the weights that is validated and kept; None
            keeps the weights themselves.
        patience: Stop when the validation metric has not risen for so many epochs; None never.
        keep: "best" keeps the epoch that validates best, "last" the last. Both are reported.
        compile: Use ``torch.compile``.
        num_workers: Processes per device that load data.
        accelerator: As Lightning takes it: "auto", "cpu", "cuda", "mps".
        devices: Processes on this machine, or "auto". More than one trains by DDP.
        num_nodes: Machines.
        checkpoint_minutes: A run that was killed goes on from the last checkpoint; there is one
            after every epoch, and within an epoch after so many minutes.
        trackers: "tensorboard", "mlflow" (a sqlite file) or "wandb" (offline unless
            ``WANDB_MODE`` says otherwise), beside history.csv and history.jsonl.

    Raises:
        UsageError: a value outside its range.

    Example:
        >>> TrainingOptions(epochs=30, schedule="multistep", milestones=(0.8, 0.9)).factor
        0.1
    """

    epochs: int = 10
    batch_size: int = 64
    accumulation: int = 1
    optimizer: Optimizer = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    schedule: RateSchedule = "cosine"
    milestones: tuple[float, ...] = (0.8, 0.9)
    factor: float = 0.1
    plateau_patience: int = 5
    warmup: float = 0.0
    clip: float | None = None
    precision: Precision = "32-true"
    ema: float | None = None
    patience: int | None = None
    keep: Keep = "best"
    compile: bool = False
    num_workers: int = 0
    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int = 1
    checkpoint_minutes: float = 10.0
    trackers: tuple[Tracker, ...] = ()

    def __post_init__(self) -> None:
        self._check_counts()
        for name, choices in (
            ("optimizer", get_args(Optimizer)),
            ("schedule", get_args(RateSchedule)),
            ("precision", get_args(Precision)),
            ("keep", get_args(Keep)),
        ):
            one_of(name, getattr(self, name), choices)
        for tracker in self.trackers:
            one_of("trackers", tracker, get_args(Tracker))
        to_positive("lr", self.lr)
        to_positive("checkpoint_minutes", self.checkpoint_minutes)
        for name in ("weight_decay", "warmup"):
            to_positive(name, getattr(self, name), zero=True)
        if self.clip is not None:
            to_positive("clip", self.clip)
        self._check_shares()
        self._say_idle()

    def _say_idle(self) -> None:
        """Warn of settings of another optimizer or schedule than the one that is taken."""
        for name, (of, needed) in _ONLY_WITH.items():
            default = next(f.default for f in dataclasses.fields(self) if f.name == name)
            if getattr(self, name) != default and getattr(self, of) not in needed:
                warnings.warn(
                    f"`{name}` = {getattr(self, name)} has no effect: it belongs to {of} "
                    f"{' or '.join(map(repr, needed))}, and this is {getattr(self, of)!r}.",
                    NoEffectWarning,
                    stacklevel=4,
                )

    def _check_counts(self) -> None:
        counts = ["epochs", "batch_size", "accumulation", "plateau_patience", "num_nodes"]
        counts += [name for name in ("patience",) if self.patience is not None]
        counts += [name for name in ("devices",) if self.devices != "auto"]
        for name, least in [*((name, 1) for name in counts), ("num_workers", 0)]:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(say(name, f"be a whole number >= {least}", repr(value)))

    def _check_shares(self) -> None:
        require_within("momentum", self.momentum, "[0, 1)")
        require_within("factor", self.factor, "(0, 1]")
        if self.ema is not None:
            require_within("ema", self.ema, "(0, 1)", "A usual value is 0.999.")
        rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        if not rising or not all(0 < m < 1 for m in self.milestones):
            do = "Give shares of training: (0.8, 0.9) of 200 epochs is 160 and 180."
            raise UsageError(say("milestones", "rise between 0 and 1", self.milestones, do))
        if self.warmup >= self.epochs:
            raise UsageError(say("warmup", f"end before the {self.epochs} epochs do", self.warmup))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], name: str = "training") -> TrainingOptions:
        """Return options from plain values, as a YAML file holds them.

        Raises:
            UsageError: an unknown key, with the closest known one, or a value outside its range.

        Example:
            >>> given = {"epochs": 3, "schedule": "multistep", "milestones": [0.5]}
            >>> TrainingOptions.from_mapping(given).milestones
            (0.5,)
        """
        known = {f.name: f for f in dataclasses.fields(cls)}
        checked: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise UsageError(f"`{name}.{key}` is not an option. {closest(key, known)}")
            checked[key] = _converted(f"{name}.{key}", value, known[key].default)
        return cls(**checked)

    @property
    def decisive(self) -> dict[str, Any]:
        """What enters a trial's config: all but what only says where training runs.

        Batch norm sees the parts of a batch, not the batch: with it, ``accumulation`` and
        ``devices`` still move the result a little.
        """
        values = dataclasses.asdict(self)
        return {k: v for k, v in values.items() if k not in _MACHINE}

    def rows_per_pass(self, world: int) -> int:
        """Return the rows that one process computes at once.

        Raises:
            UsageError: the batch does not divide by ``accumulation`` times ``world``.
        """
        parts = self.accumulation * world
        if self.batch_size % parts:
            expected = f"divide by accumulation x processes = {self.accumulation} x {world}"
            do = f"Take {max(1, math.ceil(self.batch_size / parts)) * parts}."
            raise UsageError(say("batch_size", expected, self.batch_size, do))
        return self.batch_size // parts


def _converted(name: str, value: Any, default: Any) -> Any:
    """Return a plain value as the option takes it, checked against the type of its default."""
    if value == "auto" or (value is None and default is None):
        return value
    if isinstance(default, float) or default is None:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value if isinstance(value, float) or default is None else float(value)
        do = "Write it without quotes." if _numeric(value) else ""
        raise UsageError(say(name, "be a number", repr(value), do))
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if type(value) is not type(default):
        raise UsageError(say(name, f"be of type {type(default).__name__}", repr(value)))
    return value


def _numeric(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)
