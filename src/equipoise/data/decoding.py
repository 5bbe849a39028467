"""One image, from a file or bytes, to a tensor of a given size, mode and dtype."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_least
from equipoise._core.messages import one_of, say
from equipoise.errors import (
    DataError,
    EquipoiseError,
    MissingExtraError,
    ShapeError,
    UsageError,
)

# EPS and the like are left out: Pillow hands them to other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "MPO", "JPEG2000")


def pillow() -> Any:
    """Return the module ``PIL.Image``."""
    try:
        from PIL import Image
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("pillow", "train", "Reading images") from error
    return Image


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that are opened, as far as this build of Pillow has them."""
    image = pillow()
    image.init()
    return tuple(name for name in _FORMATS if name in image.OPEN)


try:
    import torch
    from torch import Tensor
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.data") from error

# Pillow's plugins raise these on damaged files, and any warning where warnings are errors.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Warning,
)


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How an image becomes a tensor.

    Args:
        size: (height, width), one number for a square, or None to keep each image as it is (which
            fits in one batch only if all have one size).
        resize: "crop" scales the shorter side and cuts the centre; "stretch" changes the shape.
        mode: "RGB" (3 channels; transparency is dropped) or "grey" (1 channel).
        dtype: "float32" in [0, 1], or "uint8" in 0 to 255, a quarter of the memory.
        use_exif: Turn photographs upright as their EXIF orientation says.
        max_pixels: Larger images are refused before they are decoded (decompression bombs);
            Pillow's own limit, ``PIL.Image.MAX_IMAGE_PIXELS``, holds beside it.

    Raises:
        UsageError: an unknown word, or a size below 1.

    Example:
        >>> ImageSettings(size=32).shape
        (32, 32)
    """

    size: int | tuple[int, int] | None = None
    resize: Literal["crop", "stretch"] = "crop"
    mode: Literal["RGB", "grey"] = "RGB"
    dtype: Literal["float32", "uint8"] = "float32"
    use_exif: bool = True
    max_pixels: int = 89_478_485

    def __post_init__(self) -> None:
        one_of("resize", self.resize, ("crop", "stretch"))
        one_of("mode", self.mode, ("RGB", "grey"))
        one_of("dtype", self.dtype, ("float32", "uint8"))
        require_least("max_pixels", self.max_pixels, 1)
        if self.shape is not None and (len(self.shape) != 2 or min(self.shape) < 1):
            raise UsageError(say("size", "be one or two numbers of at least 1", self.size))

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width), or None."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if type(error).__name__ == "UnidentifiedImageError":
        return "no image in a format that is read"
    return str(error).split("\n")[0] or type(error).__name__


def _open(source: Path | bytes, name: str, settings: ImageSettings) -> Any:
    """Open an image without decoding it; refuse those that are too large."""
    image_module = pillow()
    if isinstance(source, bytes) and not source:
        raise DataError(say(name, "be an image", "an empty entry"))
    what: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = image_module.open(what, formats=formats())
    except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
        raise DataError(_too_large(name, _reason(error))) from error
    except _DAMAGE as error:
        raise DataError(say(name, "be an image", _reason(error))) from error
    width, height = image.size
    if width * height > settings.max_pixels:
        image.close()
        found = f"{width} x {height} pixels, above max_pixels = {settings.max_pixels}"
        raise DataError(_too_large(name, found))
    return image


def _too_large(name: str, found: str) -> str:
    do = "If it is trusted, shrink it or raise the limit."
    return say(name, "be no decompression bomb", found, do)


def probe_image(source: Path | bytes, name: str, settings: ImageSettings) -> None:
    """Read an image's header alone.

    Raises:
        DataError: no image, or one too large; ``name`` stands in the message.

    Example:
        >>> probe_image(b"GIF?", "row 3", ImageSettings())
        Traceback (most recent call last):
        ...
        equipoise.errors.DataError: `row 3` must be an image, got no image in a format that is read.
    """
    _open(source, name, settings).close()


def decode_image(
    source: Path | bytes, name: str, settings: ImageSettings, out: NDArray[Any] | None = None
) -> Tensor:
    """Decode an image.

    Args:
        source: A file, or the bytes of one.
        name: What to call it in messages.
        settings: Size, mode and dtype.
        out: (C, H, W) of the settings' dtype, where to write; None takes new memory.

    Returns:
        (C, H, W) float32 in [0, 1], or uint8.

    Raises:
        DataError: no image, a damaged one, one too large, or one with 32 bits per channel.
        ShapeError: one that does not fit into ``out``.

    Example:
        >>> import io, PIL.Image
        >>> PIL.Image.new("L", (6, 4), 255).save(file := io.BytesIO(), "PNG")
        >>> decode_image(file.getvalue(), "white", ImageSettings(size=2)).shape
        torch.Size([3, 2, 2])
    """
    image = _open(source, name, settings)
    try:
        with image:
            if settings.shape is not None:
                # JPEG is decoded at an eighth to a half where that still leaves twice the size.
                longer = 2 * max(settings.shape)
                image.draft(None, (longer, longer))
            return image_tensor(image, name, settings, out)
    except pillow().DecompressionBombError as error:
        raise DataError(_too_large(name, _reason(error))) from error
    except EquipoiseError:
        raise
    except _DAMAGE as error:
        raise DataError(say(name, "be a whole image", _reason(error))) from error


def _to_mode(image: Any, name: str, mode: str) -> Any:
    """Bring an image to 8 bits and the mode asked for."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip 16 bits at 255 instead of scaling them.
        eight = (np.asarray(image) >> 8).astype(np.uint8)
        image = pillow().fromarray(eight)
    if image.mode in ("I", "F"):
        do = "Convert it to 8 or 16 bits."
        raise DataError(say(name, "have 8 or 16 bits per channel", "32", do))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    wanted = "RGB" if mode == "RGB" else "L"
    return image if image.mode == wanted else image.convert(wanted)


def _box(width: int, height: int, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box with the proportions of ``shape``."""
    scale = min(height / shape[0], width / shape[1])
    left, top = (width - shape[1] * scale) / 2, (height - shape[0] * scale) / 2
    return max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height)


def image_tensor(
    image: Any, name: str, settings: ImageSettings, out: NDArray[Any] | None = None
) -> Tensor:
    """Return a Pillow image as :func:`decode_image` returns it."""
    if settings.use_exif and image.getexif().get(0x0112, 1) != 1:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    image = _to_mode(image, name, settings.mode)
    shape = settings.shape
    if shape is not None and image.size != (shape[1], shape[0]):
        box = _box(image.width, image.height, shape) if settings.resize == "crop" else None
        bilinear = pillow().Resampling.BILINEAR
        image = image.resize((shape[1], shape[0]), bilinear, box=box)
    bands = image.getbands()
    shown = (len(bands), image.height, image.width)
    if out is None:
        out = np.empty(shown, dtype=settings.dtype)
    elif out.shape != shown:
        do = "Images of one batch have one size: set ImageSettings(size=...)."
        raise ShapeError(say(name, f"be {out.shape} as (channels, height, width)", shown, do))
    # Band by band: a third of the time of an array (H, W, C) that is then turned.
    for band, plane in zip(bands, out, strict=True):
        pixels = np.frombuffer(image.tobytes("raw", band), dtype=np.uint8).reshape(plane.shape)
        if settings.dtype == "uint8":
            plane[:] = pixels
        else:
            np.true_divide(pixels, np.float32(255), out=plane)
    return torch.from_numpy(out)
