"""Import Pillow where an image is asked for, and name the formats that are opened."""

from __future__ import annotations

from functools import cache
from typing import Any

from equipoise.errors import MissingExtraError

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
