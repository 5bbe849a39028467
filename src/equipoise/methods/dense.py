"""Remedies for dense targets: their losses take classes from another axis."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from equipoise._core.messages import say
from equipoise._core.targets import to_class_dim
from equipoise.errors import UsageError
from equipoise.training.late import Deferred
from equipoise.training.remedy import Remedy

_ROWS = ("sampler", "resampling", "model", "mixing", "second_stage")


def make_dense(remedy: Remedy, class_dim: int, ignore_index: int | None = None) -> Remedy:
    """Return a remedy of pixel labels whose losses take dense outputs.

    Args:
        remedy: Made of the labels of pixels.
        class_dim: 1 for (N, C, H, W) and (N, C, T), 2 for (N, T, C).
        ignore_index: Class index of pixels that are left out; None keeps that of the loss.

    Raises:
        UsageError: the remedy draws or mixes rows, which are images here and pixels in its
            correction, or its loss takes no dense outputs.
    """
    dense = to_class_dim(class_dim) != -1
    for slot in _ROWS if dense else ():
        if getattr(remedy, slot) is not None:
            do = "Take a remedy that changes the loss alone, such as weighted_ce or pos_weight."
            got = f"'{remedy.name}', which fills the slot `{slot}`: it is about rows, not pixels"
            raise UsageError(say("remedy", "be of losses for dense targets", got, do))
    schedule: Any = remedy.schedule
    if dense and isinstance(schedule, Deferred) and schedule.sampler is not None:
        got = f"'{remedy.name}', which draws other rows late"
        raise UsageError(say("remedy", "be of losses for dense targets", got))
    if isinstance(schedule, Deferred) and schedule.loss is not None:
        schedule = replace(schedule, loss=_along(schedule.loss, class_dim, ignore_index))
    return replace(remedy, loss=_along(remedy.loss, class_dim, ignore_index), schedule=schedule)


def _along(loss: Any, class_dim: int, ignore_index: int | None) -> Any:
    if not hasattr(loss, "along"):
        do = "Take one of equipoise.losses."
        raise UsageError(say("loss", "take a class_dim", type(loss).__name__, do))
    made = copy.deepcopy(loss)
    made.along(class_dim, ignore_index)
    return made
