"""Slopes of a loss, sampled on a grid of logits: what boosters fit, from where it is written.

A booster asks a loss for the slope at each row's output and for a curvature. Both come from the
gradient that training uses, so a booster and a network that are given a loss are given the same.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.errors import NotRecoverableError, ShapeError, UsageError
from equipoise.losses.posterior import gradient, require_elementwise, unreduced

Floats = NDArray[np.float64]


def label_slopes(loss: torch.nn.Module, num_labels: int, logits: Floats) -> tuple[Floats, Floats]:
    """Return d loss / d z at target 0 and at target 1, each (K, L) float64.

    Args:
        loss: Of labels; called as ``loss(logits, target)``.
        num_labels: L.
        logits: (K,) logits to sample at.

    Raises:
        UsageError: the loss of an entry depends on other entries.

    Example:
        >>> from equipoise.losses import PosWeightBCELoss
        >>> zero, one = label_slopes(PosWeightBCELoss(np.array([4.0])), 1, np.array([0.0]))
        >>> zero.item(), one.item()
        (0.5, -2.0)
    """
    z = torch.from_numpy(np.asarray(logits, dtype=np.float64))[:, None].repeat(1, num_labels)
    twin = unreduced(loss)
    with torch.inference_mode(False):
        z = z.clone()
        try:
            one = gradient(twin, z, torch.ones_like(z), z.shape)
            zero = gradient(twin, z, torch.zeros_like(z), z.shape)
            # A stretch in the middle: at the ends slopes are 0 whatever they depend on.
            middle = slice(max(0, len(z) // 2 - 16), len(z) // 2 + 16)
            require_elementwise(twin, z[middle], one[middle], zero[middle])
        except (NotRecoverableError, ShapeError):
            name = type(loss).__name__
            raise UsageError(
                f"{name} joins labels or rows, so no booster can fit it: one booster is made for "
                "each label. Train a network with it, or take another method."
            ) from None
    return zero.numpy(), one.numpy()


def class_factors(loss: torch.nn.Module, num_classes: int, logits: Floats) -> Floats:
    """Return A of a loss of the true class's probability alone, (K, C) float64.

    Such a loss has the gradient A_y(p_y) (p - e_y) with p the softmax: cross-entropy with weights,
    focal and poly losses are of that form.

    Args:
        loss: Of classes; called as ``loss(logits, target)``.
        num_classes: C.
        logits: (K,) log-odds of p_y to sample at.

    Raises:
        UsageError: a loss of another form.

    Example:
        >>> from equipoise.losses import WeightedCrossEntropyLoss
        >>> class_factors(WeightedCrossEntropyLoss(np.array([1.0, 3.0])), 2, np.zeros(1)).tolist()
        [[1.0, 3.0]]
    """
    twin = unreduced(loss)
    odds = torch.from_numpy(np.asarray(logits, dtype=np.float64))
    found = []
    with torch.inference_mode(False):
        for c in range(num_classes):
            z = torch.zeros(len(odds), num_classes, dtype=torch.float64)
            z[:, c] = odds + np.log(num_classes - 1)
            target = torch.full((len(odds),), c, dtype=torch.int64)
            try:
                slope = gradient(twin, z, target, target.shape)
            except ShapeError:
                raise _no_form(loss) from None
            # The others' slopes sum to A (1 - p), and keep their digits where p is almost 1.
            others = [k for k in range(num_classes) if k != c]
            found.append(slope[:, others].sum(1) / torch.sigmoid(-odds))
        _require_form(loss, twin, num_classes, torch.stack(found, 1), odds)
    return torch.stack(found, 1).numpy()


def _require_form(
    loss: torch.nn.Module,
    twin: object,
    num_classes: int,
    factors: torch.Tensor,
    odds: torch.Tensor,
) -> None:
    """Raise unless gradients at logits without symmetry have the form."""
    count = 8
    pattern = torch.arange(count * num_classes, dtype=torch.float64).reshape(count, num_classes)
    z = 2.0 * torch.sin(12.9898 * pattern)
    for c in range(min(num_classes, 3)):
        target = torch.full((count,), c, dtype=torch.int64)
        got = gradient(twin, z, target, target.shape)  # type: ignore[arg-type]
        p = torch.softmax(z, 1)
        at = torch.logit(p[:, c])
        factor = torch.from_numpy(np.interp(at.numpy(), odds.numpy(), factors[:, c].numpy()))
        e = torch.zeros_like(p)
        e[:, c] = 1.0
        if not torch.allclose(got, factor[:, None] * (p - e), rtol=1e-3, atol=1e-6):
            raise _no_form(loss)


def _no_form(loss: torch.nn.Module) -> UsageError:
    return UsageError(
        f"{type(loss).__name__} is no function of the true class's probability alone, so "
        "its curvature for boosters is not known. Train a network with it, or take "
        "weights, a focal term or margins."
    )
