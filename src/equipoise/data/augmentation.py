"""Augmentation of image batches through kornia, every row by a draw of its own, by a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.messages import one_of, say
from equipoise.errors import DataError, MissingExtraError, UsageError

try:
    import torch
    from torch import Tensor, nn
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.data") from error

from equipoise.data._augment_steps import Step, make_steps

Preset = Literal["none", "cifar", "randaugment", "xray"]
Border = Literal["constant", "reflect", "edge"]
AUGMENTATIONS: tuple[Preset, ...] = ("none", "cifar", "randaugment", "xray")
"""Names of presets."""
_SLACK = 1e-3
"""How far rounding may carry a value beyond 0 or 1."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How images are changed at random in training; everything is off by default.

    Use with oversampling above all: a row that comes twenty times is then seen in twenty ways.
    Prefer what keeps the class: no flips where left and right mean something (the heart, digits),
    no strong colours where colour is the finding.

    Args:
        crop_padding: Pixels added to each side before the old size is cut out at random, >= 0.
        horizontal_flip: Probability of left for right, in [0, 1].
        vertical_flip: Probability of top for bottom, in [0, 1].
        rotation: Up to so many degrees either way, in [0, 180].
        translation: Up to this share of height and width either way, in [0, 1].
        brightness: Values times 1 - b to 1 + b, b in [0, 1].
        contrast: Distance from the mean grey times 1 - c to 1 + c, c in [0, 1].
        saturation: Distance from each pixel's grey times 1 - s to 1 + s, s in [0, 1].
        hue: Turns of the colour circle up to this, in [0, 0.5].
        operations: RandAugment's N, >= 0: so many operations one after the other, each row's own.
        magnitude: RandAugment's M, in (0, 30]. Unlike the paper's, strengths are drawn between
            none and this, so that copies of a row differ.
        erasing: Probability of filling a box of 2 to 33 % of the pixels, in [0, 1].
        border: What comes in from outside: "constant", "reflect" or "edge".
        fill: Value of "constant" and of erased boxes, in [0, 1]; 0, black, is what published
            CIFAR protocols and the edge of a radiograph have.
        mean: Per channel, what was subtracted from the images; None where they are in [0, 1].
        std: Per channel, what they were divided by; with ``mean``.

    Steps are done in this order, colours in an order drawn once per batch.

    Raises:
        UsageError: a setting out of range.

    Note:
        Changes inputs alone, so it does not shift the prior; outputs may be less sure.

    Example:
        >>> augment = Augmentation(horizontal_flip=0.5).build()
        >>> image = torch.tensor([[[[0.25, 0.75]]]])
        >>> augment(image.expand(6, 1, 1, 2), seed=0)[:, 0, 0, 0].unique()
        tensor([0.2500, 0.7500])

    References:
        Cubuk et al., RandAugment, NeurIPS 2020 (operations); Zhong et al., Random Erasing Data
        Augmentation, AAAI 2020 (erasing).
    """

    crop_padding: int = 0
    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    rotation: float = 0.0
    translation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    operations: int = 0
    magnitude: float = 9.0
    erasing: float = 0.0
    border: Border = "constant"
    fill: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("crop_padding", "operations"):
            value = getattr(self, name)
            if int(value) != value or value < 0:
                raise UsageError(say(name, "be a whole number >= 0", value))
        shares = ("horizontal_flip", "vertical_flip", "translation", "brightness", "contrast")
        for name in (*shares, "saturation", "erasing", "fill"):
            to_fraction(name, getattr(self, name), inclusive=True)
        for name, most in (("rotation", 180.0), ("hue", 0.5), ("magnitude", 30.0)):
            if to_positive(name, getattr(self, name), zero=name != "magnitude") > most:
                raise UsageError(say(name, f"be at most {most:g}", getattr(self, name)))
        one_of("border", self.border, ("constant", "reflect", "edge"))
        mean, std = self.mean, self.std
        if (mean is None) != (std is None):
            raise UsageError(say("mean and std", "be given together", f"{mean} and {std}"))
        if mean is not None and std is not None:
            if len(mean) != len(std) or not std:
                found = f"{len(mean)} and {len(std)}"
                raise UsageError(say("mean and std", "have one value per channel", found))
            for value in std:
                to_positive("std", value)

    @classmethod
    def preset(cls, name: Preset) -> Augmentation:
        """Return settings by name; change them with :func:`dataclasses.replace`.

        Args:
            name: "none"; "cifar": crops with 4 pixels of padding, flips; "randaugment": the same
                and 2 operations up to magnitude 9; "xray": rotations up to 10 degrees, moves up to
                5 %, brightness and contrast up to 20 %, and no flips, since the heart has a side.

        Raises:
            UsageError: an unknown name.

        Example:
            >>> Augmentation.preset("cifar").crop_padding
            4
        """
        return {
            "none": cls(),
            "cifar": cls(crop_padding=4, horizontal_flip=0.5),
            "randaugment": cls(crop_padding=4, horizontal_flip=0.5, operations=2, magnitude=9.0),
            "xray": cls(rotation=10.0, translation=0.05, brightness=0.2, contrast=0.2),
        }[one_of("preset", name, AUGMENTATIONS)]

    @property
    def colors(self) -> bool:
        """Whether it does something that needs grey values or colours: 1 or 3 channels."""
        return any((self.contrast, self.saturation, self.hue, self.operations))

    def build(self) -> Augmenter:
        """Return the module that does it.

        Raises:
            MissingExtraError: kornia is not installed, and something is on.
        """
        return Augmenter(self)


class Augmenter(nn.Module):
    """Augments batches as :class:`Augmentation` says; called as ``augment(x, seed)``.

    Args:
        settings: What to do.

    ``x`` is a batch (N, C, H, W) or one image (C, H, W): uint8, or floating in [0, 1] as the data
    sets of this package give it, or normalised by the ``mean`` and ``std`` of the settings, which
    is undone before and redone after. Shape, dtype, device and range come out as they went in, so
    that the model sees validation images on the same scale: normalise behind this, in the model.
    Mix rows behind it too.

    ``seed`` is an int; take a new one for each step, from seed, epoch and step, and a resumed run
    repeats what it would have done. Same seed and batch, same result, on every device; every row
    has its own draw. The global random state is as before. Nothing is done in evaluation mode, and
    nothing is differentiated through.

    Raises:
        MissingExtraError: kornia is not installed, and something is on.
        DataError: inputs that are no images, values outside [0, 1], or channels that the settings
            cannot be for.

    Example:
        >>> augment = Augmentation.preset("xray").build()
        >>> scan = torch.linspace(0, 1, 64).reshape(1, 8, 8)
        >>> seen = augment(scan.expand(2, 1, 8, 8), seed=7)
        >>> seen.shape, torch.equal(seen[0], seen[1])
        (torch.Size([2, 1, 8, 8]), False)
        >>> torch.equal(augment(scan, 7), augment(scan, 7))
        True
        >>> torch.equal(augment.eval()(scan, 7), scan)
        True

    With :class:`CopiesDataset` it serves as ``augment``, one image at a time.
    """

    def __init__(self, settings: Augmentation) -> None:
        super().__init__()
        self.settings = settings
        # A plain list: `.to(device)` must not move kornia's draws away from the CPU.
        self._steps: list[Step] = []
        if settings != _without_effect(settings):
            try:
                kornia = import_module("kornia.augmentation")
            except (ImportError, RuntimeError) as error:
                raise MissingExtraError("kornia", "train", "Augmentation") from error
            self._steps = make_steps(kornia, settings)

    @torch.no_grad()
    def forward(self, x: Tensor, seed: int) -> Tensor:
        """Return augmented images; shapes as in the class."""
        if not (self.training and self._steps):
            return x
        batch, back = self._to_unit(x)
        if not len(batch):
            return x
        # The CPU's state alone: kornia draws there, and torch.manual_seed would seed GPUs as well.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(seed))
            for step in self._steps:
                batch = step(batch)
        return back(batch)

    def _to_unit(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return a batch of floats in [0, 1], and the way back to what ``x`` was."""
        self._check_images(x)
        shape, dtype = x.shape, x.dtype
        batch = x if x.ndim == 4 else x.unsqueeze(0)
        batch = batch if dtype in (torch.float32, torch.float64) else batch.float()
        if dtype == torch.uint8:
            whole = batch / 255.0
            return whole, lambda out: out.mul(255.0).round_().to(dtype).reshape(shape)
        mean, std = self.settings.mean, self.settings.std
        if mean is not None and std is not None:
            middle, width = (batch.new_tensor(v)[:, None, None] for v in (mean, std))
            batch = batch * width + middle
            self._check_range(batch)
            return batch, lambda out: ((out - middle) / width).to(dtype).reshape(shape)
        self._check_range(batch)
        return batch, lambda out: out.to(dtype).reshape(shape)

    def _check_images(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or x.ndim not in (3, 4):
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise DataError(say("x", "be images (N, C, H, W) or (C, H, W)", got))
        if not (x.is_floating_point() or x.dtype == torch.uint8):
            raise DataError(say("x", "be floating or uint8", x.dtype))
        channels, mean = x.shape[-3], self.settings.mean
        if mean is not None and (len(mean) != channels or x.dtype == torch.uint8):
            got = f"{channels} channels of {x.dtype}"
            do = "`mean` and `std` are for images that are normalised."
            raise DataError(say("x", f"be floating with {len(mean)} channels", got, do))
        colored = self.settings.saturation or self.settings.hue
        if channels != 3 and (colored or (self.settings.colors and channels != 1)):
            fitting = "3 channels" if colored else "1 or 3 channels"
            do = "Turn saturation and hue, or all colours and operations, off."
            raise DataError(say("x", f"have {fitting}", channels, do))

    def _check_range(self, batch: Tensor) -> None:
        if not batch.numel():
            return
        low, high = (float(v) for v in batch.aminmax())
        if not (low >= -_SLACK and high <= 1.0 + _SLACK):
            got = f"{low:.3g} to {high:.3g}"
            do = "Divide by 255, or say how it is normalised: Augmentation(mean=..., std=...)."
            raise DataError(say("x", "lie in [0, 1]", got, do))

    def __reduce__(self) -> tuple[object, ...]:
        # Steps hold functions, which no worker process could be sent.
        return _rebuilt, (self.settings, self.training)

    def extra_repr(self) -> str:
        """Name the settings."""
        return repr(self.settings)


def _without_effect(settings: Augmentation) -> Augmentation:
    """Return settings with nothing on, equal in what has no effect by itself."""
    return Augmentation(
        magnitude=settings.magnitude,
        border=settings.border,
        fill=settings.fill,
        mean=settings.mean,
        std=settings.std,
    )


def _rebuilt(settings: Augmentation, training: bool) -> Augmenter:
    return Augmenter(settings).train(training)
