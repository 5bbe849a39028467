"""Perceptual hashes of images: alike for images that look alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import say
from equipoise.data.decoding import ImageSettings, decode_image, formats, pillow
from equipoise.errors import DataError

_SIDE = 8


def image_hashes(
    images: Sequence[str | Path | bytes], *, num_threads: int | None = None
) -> NDArray[np.uint64]:
    """Return a 64-bit difference hash of each image.

    The image is shrunk to 9 x 8 grey pixels; each bit says whether a pixel is darker than its
    right neighbour. Resizing, recompression and brightness change few bits; a flat image has 0.

    Args:
        images: Files, or encoded bytes.
        num_threads: Images read at once; None takes one per core, 16 at most.

    Returns:
        (N,) uint64; see :func:`equipoise.splits.near_pairs`.

    Raises:
        DataError: a file that is missing or no image; it is named.

    Example:
        >>> import io, PIL.Image
        >>> ramp = PIL.Image.linear_gradient("L").rotate(90)
        >>> files = []
        >>> for size in (64, 200):
        ...     ramp.resize((size, size)).save(file := io.BytesIO(), "PNG")
        ...     files.append(file.getvalue())
        >>> image_hashes(files).tolist()[0] == image_hashes(files).tolist()[1] > 0
        True

    References:
        Krawetz, Kind of like that (2013), the difference hash.
    """
    if len(images) == 0:
        raise DataError(say("images", "hold at least one image", "none"))
    formats()  # once, before threads race to register the formats
    pillow()
    settings = ImageSettings(size=(_SIDE, _SIDE + 1), resize="stretch", mode="grey", dtype="uint8")

    def one(place: int) -> int:
        given = images[place]
        source = given if isinstance(given, bytes) else Path(given)
        name = f"image {place}" if isinstance(given, bytes) else str(given)
        pixels = decode_image(source, name, settings).numpy()[0]
        bits = (pixels[:, :-1] < pixels[:, 1:]).ravel()
        return int(np.packbits(bits).view(">u8")[0])

    with ThreadPoolExecutor(num_threads or min(16, os.cpu_count() or 1)) as pool:
        found = list(pool.map(one, range(len(images))))
    return np.asarray(found, dtype=np.uint64)
