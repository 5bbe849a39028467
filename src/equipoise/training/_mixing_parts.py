"""What mixup, CutMix and Remix share: one draw per batch, soft targets, and blended rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.targets import IGNORE_INDEX, require_classes
from equipoise._core.words import say
from equipoise.data.sequences import padding_mask
from equipoise.errors import DataError, ShapeError, UsageError

_NAN_DO = "Classes are int64 indices (N,); labels are floating or bool (N, L), unknown NaN."


class Draw(NamedTuple):
    """Partners of the rows of a batch, (N,) int64, their own weights, (N,) or (1,) float64."""

    partner: Tensor
    weight: Tensor
    source: np.random.Generator


def check_settings(alpha: float, probability: float, num_classes: int | None) -> None:
    """Raise where a setting is out of its range."""
    to_positive("alpha", alpha)
    to_fraction("probability", probability, inclusive=True)
    if num_classes is not None and (int(num_classes) != num_classes or num_classes < 2):
        raise UsageError(say("num_classes", "be a whole number >= 2", num_classes))


def draw_pairs(
    rows: int, alpha: float, probability: float, per_sample: bool, generator: torch.Generator
) -> Draw | None:
    """Return partners and weights, on the CPU, or None where the batch is left as it is.

    The generator moves on by one number whatever the settings and the batch are, so that what else
    draws from it does not depend on them.
    """
    if generator.device.type != "cpu":
        do = "Make it with torch.Generator(): the same draw then serves every device."
        raise UsageError(say("generator", "be on the CPU", generator.device, do))
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    # NumPy draws beta variates in log space where alpha is small; gamma ratios would be 0 / 0.
    source = np.random.default_rng(seed)
    if source.random() >= probability:
        return None
    partner = torch.from_numpy(source.permutation(rows))
    # As float32 values, so that inputs, targets and lengths agree on who has no weight at all.
    weight = source.beta(alpha, alpha, rows if per_sample else 1).astype(np.float32)
    return Draw(partner, torch.from_numpy(weight.astype(np.float64)), source)


def to_soft(target: Tensor, num_classes: int | None) -> Tensor:
    """Return targets as floats that can be blended, (N, C) for classes, (N, L) for labels.

    Unknown ones, rows of index -100 and entries below 0, are NaN.
    """
    if target.dtype == torch.int64 and target.ndim == 1:
        if num_classes is None:
            do = "E.g. Mixup(1.0, num_classes=10)."
            raise UsageError(say("num_classes", "be given for class indices", None, do))
        # Elsewhere than on the CPU the answer would make the host wait; torch asserts there.
        if target.device.type == "cpu":
            require_classes("target", target.numpy(), num_classes)
        unknown = (target == IGNORE_INDEX).unsqueeze(1)
        hot = torch.zeros(len(target), num_classes, device=target.device)
        hot.scatter_(1, target.unsqueeze(1).masked_fill(unknown, 0), 1.0)
        return hot.masked_fill_(unknown, torch.nan)
    if target.ndim != 2 or not (target.is_floating_point() or target.dtype == torch.bool):
        got = f"{target.dtype} of shape {tuple(target.shape)}"
        raise DataError(say("target", "be classes or labels", got, _NAN_DO))
    if num_classes is not None and target.shape[1] != num_classes:
        wanted = f"have shape (N, C) = ({len(target)}, {num_classes})"
        raise ShapeError(say("target", wanted, tuple(target.shape), _NAN_DO))
    if target.dtype == torch.bool:
        return target.float()
    # Blended with a positive, -1 would pass for a share.
    return torch.where(target < 0, torch.nan, target)


def blend_targets(soft: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Return ``weight`` of each row and the rest of its partner; weights (N,) or (1,).

    An entry that one of the two does not know (NaN) stays unknown, unless that one has no weight.
    """
    other = soft[partner.to(soft.device)]
    share = _beside(weight, soft)
    mixed = torch.lerp(other, soft, share)
    return torch.where(share == 1, soft, torch.where(share == 0, other, mixed))


def _beside(weight: Tensor, x: Tensor) -> Tensor:
    """Return weights with the dtype, device and number of axes of ``x``."""
    # Converted first: not every device has float64.
    return weight.to(x.dtype).to(x.device).reshape(-1, *[1] * (x.ndim - 1))


def blend_inputs(x: Any, partner: Tensor, weight: Tensor) -> Any:
    """Return blended rows of a tensor, or of a padded tensor with its lengths or mask."""
    if isinstance(x, Tensor):
        return _blend(x, partner, weight)
    padded, second = _pair(x)
    counts = second if second.dtype == torch.bool else padding_mask(second, padded.shape[1])
    if counts.shape != padded.shape[:2]:
        wanted = f"be for {padded.shape[0]} rows of {padded.shape[1]} steps"
        raise ShapeError(say("lengths or mask", wanted, f"shape {tuple(second.shape)}"))
    steps = counts.reshape(*counts.shape, *[1] * (padded.ndim - 2))
    # Whatever stands in the padding, the longer partner must not be mixed with it.
    mixed = _blend(padded.masked_fill(~steps, 0), partner, weight)
    other = second[partner.to(second.device)]
    joined = second | other if second.dtype == torch.bool else torch.maximum(second, other)
    alone, gone = (
        at.to(second.device).reshape(-1, *[1] * (second.ndim - 1))
        for at in (weight == 1, weight == 0)
    )
    return mixed, torch.where(alone, second, torch.where(gone, other, joined))


def _pair(x: Any) -> tuple[Tensor, Tensor]:
    if not (isinstance(x, tuple | list) and len(x) == 2 and all(isinstance(p, Tensor) for p in x)):
        do = "Other inputs need a mixing of their own: any callable (x, target, generator)."
        raise DataError(say("x", "be a tensor, or a pair with lengths or mask", type(x), do))
    padded, second = x
    axes = 2 if second.dtype == torch.bool else 1
    if padded.ndim < 2 or second.ndim != axes or second.is_floating_point():
        got = f"shapes {tuple(padded.shape)} and {tuple(second.shape)} of {second.dtype}"
        do = "As `equipoise.data.pad_batch` makes them."
        raise ShapeError(say("x", "be (N, T, ...) with lengths (N,) or a mask (N, T)", got, do))
    return padded, second


def _blend(x: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    if x.dtype == torch.uint8:
        return _blend(x.float(), partner, weight).round_().to(torch.uint8)
    if not x.is_floating_point():
        do = "Whole numbers that stand for words or categories have no values between them."
        raise DataError(say("x", "be floating or uint8", x.dtype, do))
    return torch.lerp(x[partner.to(x.device)], x, _beside(weight, x))


def require_rows(x: Any, target: Tensor) -> None:
    """Raise unless inputs and targets have one row each."""
    rows = len(x) if isinstance(x, Tensor) else len(_pair(x)[0])
    if rows != len(target):
        raise ShapeError(say("target", f"have one row per input, {rows}", len(target)))


def require_images(x: Any) -> Tensor:
    """Return ``x`` if it is a batch of images."""
    if not isinstance(x, Tensor) or x.ndim != 4:
        shape = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        do = "Cutting needs two axes of neighbours; take Mixup."
        raise DataError(say("x", "be images (N, C, H, W)", shape, do))
    return x


def cut_boxes(
    source: np.random.Generator, rest: NDArray[np.float64], height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Draw one box per entry of ``rest``, the share that it is meant to have before clipping.

    Returns:
        Where the boxes are, (n, 1, H, W) bool, and the share that they leave, (n,) float64: one
        minus the pixels inside over all pixels, exactly.
    """
    edges = []
    for size in (height, width):
        cut = np.floor(size * np.sqrt(rest)).astype(np.int64)
        first = source.integers(0, size, rest.size) - cut // 2
        edges.append((np.clip(first, 0, size), np.clip(first + cut, 0, size)))
    (top, bottom), (left, right) = edges
    kept = 1.0 - (bottom - top) * (right - left) / (height * width)
    rows, columns = np.arange(height), np.arange(width)
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    across = (columns >= left[:, None]) & (columns < right[:, None])
    inside = torch.from_numpy(down[:, None, :, None] & across[:, None, None, :])
    return inside, torch.from_numpy(kept)
