"""Which remedies train as another one does: settings without effect, said and not trained twice."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise.artifacts import Labels
from equipoise.errors import NoEffectWarning
from equipoise.losses import BCELoss, CrossEntropyLoss
from equipoise.training.remedy import SLOTS, Remedy

_ROWS, _CLASSES = 64, 10
_SAME = 1e-6
_HARDLY = 0.01
_LEVEL = np.log(1.01)

Gradient = NDArray[np.float64]


def loss_gradient(remedy: Remedy, labels: Labels) -> Gradient | None:
    """Return what a remedy's loss does to outputs of a few random batches, (rows, C).

    Two remedies of equal gradients take equal steps: their losses are functions of outputs and
    targets alone. None where the remedy does more than change the loss, or its loss cannot be
    asked.

    Args:
        remedy: Made for ``labels``.
        labels: Their kind and number of classes is what counts.
    """
    if remedy.head != "linear" or any(getattr(remedy, slot) is not None for slot in SLOTS):
        return None
    return _gradient(remedy.loss, labels)


def _gradient(loss: torch.nn.Module, labels: Labels) -> Gradient | None:
    """Ask on even batches and on skewed ones: what picks hard negatives keeps all of a few."""
    source = torch.Generator().manual_seed(0)
    # A copy: some losses keep what they have seen.
    asked, found = copy.deepcopy(loss).eval(), []
    for target in _targets(labels, source):
        leaf = (3.0 * torch.randn(_ROWS, labels.num_classes, generator=source)).requires_grad_()
        try:
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(asked(leaf, target).sum(), leaf)
        except (RuntimeError, ValueError, TypeError):
            return None
        found.append(slope.double().numpy())
    return np.concatenate(found)


def _targets(labels: Labels, source: torch.Generator) -> Iterator[Tensor]:
    width = labels.num_classes
    if labels.kind == "multilabel":
        for share in (0.5, 0.05):
            yield (torch.rand(_ROWS, width, generator=source) < share).float()
        return
    yield torch.randint(0, width, (_ROWS,), generator=source)
    for often in range(min(width, _CLASSES)):
        drawn = torch.randint(0, width, (_ROWS,), generator=source)
        yield torch.where(torch.rand(_ROWS, generator=source) < 0.9, often, drawn)


def same_gradient(one: Gradient, other: Gradient) -> bool:
    """Return whether two losses take the same steps, up to rounding."""
    return bool(np.abs(one - other).max() <= _SAME * np.abs(other).max())


def say_if_idle(remedy: Remedy, labels: Labels) -> None:
    """Warn where a remedy trains as the untreated model does, or next to it."""
    found = loss_gradient(remedy, labels)
    if found is not None:
        plain = _gradient(BCELoss() if labels.kind == "multilabel" else CrossEntropyLoss(), labels)
        moved = np.inf if plain is None else np.abs(found - plain).max() / np.abs(plain).max()
        if moved < _HARDLY:
            much = "is `none`" if moved <= _SAME else "is `none` to within 1 %"
            _warn(f"'{remedy.name}' {much} on these rows: its settings weigh nothing here.")
        return
    if remedy.sampler is not None and remedy.correction.exactness == "exact":
        shift = remedy.correction.apply(np.zeros((1, labels.num_classes)))[0]
        others = [getattr(remedy, slot) for slot in SLOTS if slot != "sampler"]
        # Of classes only differences count; of labels each shift counts by itself.
        moved = shift - shift.mean() if labels.kind == "multiclass" else shift
        if np.abs(moved).max() < _LEVEL and all(part is None for part in others):
            _warn(
                f"'{remedy.name}' draws all classes as often as they are: these rows are balanced "
                "already."
            )


def _warn(message: str) -> None:
    warnings.warn(message, NoEffectWarning, stacklevel=4)
