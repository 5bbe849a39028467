"""Whether batches hold anything that a loss learns from: one that compares rows needs several."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from equipoise._core.words import say
from equipoise.artifacts import Labels
from equipoise.errors import NoEffectWarning, UsageError
from equipoise.training.remedy import Remedy, start_epoch
from equipoise.training.targets import to_target

BATCHES = 20
"""Batches that are looked at."""
_MOST = 0.5


def share_without(loss: nn.Module, batches: Iterable[Labels]) -> float:
    """Return the share of batches whose targets give outputs no gradient, whatever the outputs.

    Args:
        loss: A copy is asked.
        batches: Labels of the rows of each.
    """
    # In training it may ask other ranks, which are not asked here.
    asked = copy.deepcopy(loss).cpu().eval()
    start_epoch(asked, 0)
    source = torch.Generator().manual_seed(0)
    empty = []
    for labels in batches:
        target = to_target(labels, torch.float32)
        logits = torch.randn(len(labels), labels.num_classes, generator=source)
        leaf = logits.requires_grad_()
        with torch.enable_grad():
            value = asked(leaf, target)
            slope = torch.autograd.grad(value.sum(), leaf)[0] if value.requires_grad else None
        empty.append(slope is None or not bool((slope != 0).any()))
    return float(np.mean(empty)) if empty else 0.0


def require_lessons(remedy: Remedy, labels: Labels, size: int) -> None:
    """Raise where the first batches of a training teach its loss nothing; no data are read.

    Args:
        remedy: Whose loss is asked, where it compares rows or entries with each other.
        labels: Of the first rows, in the order in which they come.
        size: Rows of a batch.

    Raises:
        UsageError: none of the batches has a gradient.

    Note:
        Issues a `NoEffectWarning` where most of them have none.
    """
    loss = remedy.loss
    # A loss of single entries or rows learns from any of them; one that mixes rows says so.
    if getattr(loss, "linear_in_target", True) or getattr(loss, "reads_targets", False):
        return
    starts = range(0, min(len(labels), size * BATCHES), size)
    share = share_without(loss, (labels[start : start + size] for start in starts))
    if share == 1.0:
        do = "It compares rows with each other: raise batch_size, or take a loss of single rows."
        expected = f"hold what '{remedy.name}' learns from"
        raise UsageError(say("batch_size", expected, f"none in batches of {size}", do))
    if share > _MOST:
        warnings.warn(
            f"{share:.0%} of the first batches of {size} rows hold nothing that "
            f"'{remedy.name}' learns from: it compares rows with each other. Raise batch_size.",
            NoEffectWarning,
            stacklevel=4,
        )
