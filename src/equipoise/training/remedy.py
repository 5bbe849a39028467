"""A remedy: what a method does to training, and how to undo it in the probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import one_of, say
from equipoise.artifacts import Correction, Labels, Scores
from equipoise.artifacts.scores import ScoreKind, SplitName
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

Head = Literal["linear", "cosine"]
SLOTS = ("sampler", "resampling", "model", "augmentation", "mixing", "schedule", "second_stage")
"""What a remedy may do beside its loss."""


@runtime_checkable
class RowSampler(Protocol):
    """Yields positions within the training rows; ``set_epoch`` changes the draw."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration draw the given epoch."""


@runtime_checkable
class Mixing(Protocol):
    """Mixes the rows of a training batch with one another; needs a loss linear in the target."""

    def __call__(self, x: Any, target: Tensor, generator: Generator) -> tuple[Any, Tensor]:
        """Return inputs like ``x`` and soft targets, (N, C) or (N, L), drawn by ``generator``."""


@runtime_checkable
class Changing(Protocol):
    """Changes the inputs of a training batch, row by row, and no target."""

    def __call__(self, x: Any, target: Tensor, seed: int) -> Any:
        """Return inputs like ``x``; the same seed changes them alike."""


class Resampling(Protocol):
    """Makes other training rows of a table for one model: synthetic ones, copies, fewer."""

    def __call__(self, x: Any, y: Any, *, blocks: Any = (), seed: int = 0) -> tuple[Any, Any]:
        """Return rows and truths; ``blocks`` are the columns of each category."""


class Schedule(Protocol):
    """Says from which epoch on another loss or sampler is in force."""

    def first_epoch(self, epochs: int) -> int:
        """Return that epoch, counted from 0, of a training so long."""


class Stage(Protocol):
    """What follows a first stage."""

    @property
    def remedy(self) -> Remedy:
        """Loss, sampler and correction of that stage."""


@dataclass(frozen=True, slots=True, eq=False)
class Remedy:
    """What a method does to training.

    Args:
        name: The method, as in the catalogue.
        loss: Module called as ``loss(logits, target)`` and returning a scalar, or one value per
            leading slice for stacked logits. Where it has ``set_epoch``, engines say which epoch
            begins.
        sampler: Called as ``sampler(seed=...)``; returns a sampler of positions within the
            training rows. None shuffles all rows once per epoch.
        resampling: Called as ``resampling(x, y, blocks=, seed=)`` for each model of a table, with
            its training rows alone.
        model: The kind of model of a table that the remedy is, such as a balanced forest.
        augmentation: Called as ``augmentation(x, target, seed=)``; changes inputs alone, such as
            :class:`equipoise.training.AugmentCopies`.
        mixing: Called as ``mixing(x, target, generator)``; changes a batch of inputs and targets.
        schedule: Switches loss and sampler during training; a
            :class:`equipoise.training.Deferred`.
        second_stage: What follows on features that stand still; a
            :class:`equipoise.training.SecondStage`, which holds a remedy of its own.
        correction: The way back to natural-prior probabilities, loss first, then sampler; of
            exactness "none" where outputs only rank.
        settings: The method's parameters, as they enter the trial's config.
        head: What the last layer must return: "linear" for plain outputs, "cosine" for cosines of
            rows and class weights, not scaled.

    An engine that does not support a slot that is filled raises; it never ignores it.
    """

    name: str
    loss: nn.Module
    correction: Correction
    sampler: Callable[..., RowSampler] | None = None
    resampling: Resampling | None = None
    model: str | None = None
    augmentation: Changing | None = None
    mixing: Mixing | None = None
    schedule: Schedule | None = None
    second_stage: Stage | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    head: Head = "linear"

    def __post_init__(self) -> None:
        one_of("head", self.head, get_args(Head))

    @property
    def final(self) -> Remedy:
        """The remedy whose correction undoes the final outputs: that of the last stage."""
        return self if self.second_stage is None else self.second_stage.remedy

    @property
    def score_kind(self) -> ScoreKind:
        """The kind of the scores that a model trained with it gives."""
        return "ranking" if self.correction.exactness == "none" else "logits"

    def to_scores(self, labels: Labels, outputs: NDArray[np.floating], part: SplitName) -> Scores:
        """Return what a model trained with it says about labelled rows, (N, C), as an artifact."""
        given: dict[str, Any] = {self.score_kind: outputs}
        return Scores.from_arrays(
            labels, split=part, correction=self.correction, check_kind=False, **given
        )

    def require_supported(self, engine: str, slots: Iterable[str]) -> None:
        """Raise if a slot outside ``slots`` is filled, or dense outputs are asked for in vain.

        Args:
            engine: Its name.
            slots: What it supports; "class_dim" for losses of dense outputs.
        """
        if "class_dim" not in slots and getattr(self.loss, "class_dim", -1) != -1:
            do = "Make the remedy without class_dim: this engine hands rows to its loss."
            got = getattr(self.loss, "class_dim")  # noqa: B009  # torch types attributes as tensors
            raise UsageError(say(f"class_dim of '{self.name}'", f"be -1 for `{engine}`", got, do))
        for slot in SLOTS:
            if getattr(self, slot) is not None and slot not in slots:
                do = "Train it with an engine that does."
                if slot in ("resampling", "model"):
                    do = "It is for kinds of models of a table: name some under `models`."
                raise UsageError(
                    f"`{engine}` does not support the slot `{slot}` that remedy '{self.name}' "
                    f"fills. {do}"
                )


def start_epoch(loss: nn.Module, epoch: int) -> None:
    """Say which epoch, counted from 0, begins to a loss (or a part of it) that asks for it."""
    for part in loss.modules():
        tell = getattr(part, "set_epoch", None)
        if callable(tell):
            tell(epoch)
