"""The steps of an augmentation, made of kornia's; each draws anew for every row of a batch.

kornia draws from torch's global generator on the CPU. :class:`equipoise.data.Augmenter` sets that
to a seed and puts it back, so steps may draw from it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from equipoise._core.messages import say
from equipoise.errors import DataError

Step = Callable[[Tensor], Tensor]
_PAD = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
_WARP = {"constant": "zeros", "reflect": "reflection", "edge": "border"}
_STEEPEST = math.degrees(math.atan(0.3))
_FARTHEST = 10 / 32  # pixels of CIFAR
_ERASED = {"scale": (0.02, 0.33), "ratio": (0.3, 3.3)}

OPERATIONS = (
    "identity",
    "auto_contrast",
    "equalize",
    "rotate",
    "solarize",
    "color",
    "posterize",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""The operations of RandAugment."""


def make_steps(kornia: Any, chosen: Any) -> list[Step]:
    """Return what the settings ask for, in the order in which it is done.

    Args:
        kornia: The module kornia.augmentation.
        chosen: An :class:`equipoise.data.Augmentation`, which this file may not import.
    """
    steps: list[Step] = []
    if chosen.crop_padding:
        steps.append(_crop(kornia, chosen))
    if chosen.horizontal_flip:
        steps.append(kornia.RandomHorizontalFlip(p=chosen.horizontal_flip))
    if chosen.vertical_flip:
        steps.append(kornia.RandomVerticalFlip(p=chosen.vertical_flip))
    if chosen.rotation or chosen.translation:
        both = (chosen.translation, chosen.translation)
        steps.append(_warp(kornia, chosen, degrees=chosen.rotation, translate=both))
    strengths = (chosen.brightness, chosen.contrast, chosen.saturation, chosen.hue)
    if any(strengths):
        steps.append(kornia.ColorJitter(*strengths, p=1.0))
    if chosen.operations:
        one = _one_of(_operations(kornia, chosen))
        steps += [one] * chosen.operations
    if chosen.erasing:
        steps.append(kornia.RandomErasing(**_ERASED, value=chosen.fill, p=chosen.erasing))
    return steps


def _crop(kornia: Any, chosen: Any) -> Step:
    """Pad all sides, then cut the old size out at a place of each row's own."""
    by_size: dict[tuple[int, int], Any] = {}
    width = chosen.crop_padding

    def step(x: Tensor) -> Tensor:
        size = (x.shape[2], x.shape[3])
        if chosen.border == "reflect" and width >= min(size):
            do = "Take a smaller crop_padding, or border='edge'."
            raise DataError(say("x", f"be larger than crop_padding = {width}", size, do))
        if size not in by_size:
            by_size[size] = kornia.RandomCrop(size)
        fill = chosen.fill if chosen.border == "constant" else None
        wider = pad(x, [width] * 4, mode=_PAD[chosen.border], value=fill)
        cut: Tensor = by_size[size](wider)
        return cut

    return step


def _warp(
    kornia: Any,
    chosen: Any,
    *,
    degrees: float = 0.0,
    translate: tuple[float, float] | None = None,
    shear: tuple[float, float, float, float] | None = None,
) -> Step:
    """Rotate, move or shear; what comes in from outside is as the border says."""
    move = kornia.RandomAffine(
        degrees, translate=translate, shear=shear, padding_mode=_WARP[chosen.border], p=1.0
    )
    fill = chosen.fill if chosen.border == "constant" else 0.0

    def step(x: Tensor) -> Tensor:
        # Zeros come in from outside, so around the fill all else is moved by it.
        moved: Tensor = move(x - fill) + fill
        return moved

    return step


def _operations(kornia: Any, chosen: Any) -> list[Step]:
    """Return the operations in the order of ``OPERATIONS``, up to the magnitude that was chosen."""
    m = chosen.magnitude / 30.0
    factor = (1.0 - 0.9 * m, 1.0 + 0.9 * m)
    tilt, way = _STEEPEST * m, _FARTHEST * m
    saturate = kornia.ColorJitter(saturation=factor, p=1.0)

    def color(x: Tensor) -> Tensor:
        saturated: Tensor = x if x.shape[1] == 1 else saturate(x)
        return saturated

    return [
        lambda x: x,
        kornia.RandomAutoContrast(p=1.0),
        kornia.RandomEqualize(p=1.0),
        _warp(kornia, chosen, degrees=30.0 * m),
        kornia.RandomSolarize(thresholds=(1.0 - m, 1.0), additions=(0.0, 0.0), p=1.0),
        color,
        kornia.RandomPosterize(bits=(8.0 - 4.0 * m, 8.0), p=1.0),
        kornia.ColorJitter(contrast=factor, p=1.0),
        kornia.ColorJitter(brightness=factor, p=1.0),
        kornia.RandomSharpness(sharpness=factor, p=1.0),
        _warp(kornia, chosen, shear=(-tilt, tilt, 0.0, 0.0)),
        _warp(kornia, chosen, shear=(0.0, 0.0, -tilt, tilt)),
        _warp(kornia, chosen, translate=(way, 0.0)),
        _warp(kornia, chosen, translate=(0.0, way)),
    ]


def _one_of(operations: Sequence[Step]) -> Step:
    """Apply to every row one operation, drawn for it alone; kornia draws one for the batch."""

    def step(x: Tensor) -> Tensor:
        drawn = torch.randint(len(operations), (len(x),))
        out = x.clone()
        for number in sorted(set(drawn.tolist())):
            rows = (drawn == number).nonzero()[:, 0].to(x.device)
            out[rows] = operations[number](x[rows]).to(x.dtype)
        return out

    return step
