"""Candidate boxes without a model: windows that slide over an image, and boxes drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.rng import generator
from equipoise._core.words import say
from equipoise.errors import DataError, UsageError

Pair = int | tuple[int, int]


def _pair(name: str, value: Pair) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(pair) != 2 or min(pair) < 1 or any(int(v) != v for v in pair):
        do = "Heights come first, as in an array."
        raise UsageError(say(name, "be one or two whole numbers of at least 1", value, do))
    return int(pair[0]), int(pair[1])


def _starts(length: int, window: int, stride: int, clip: bool) -> NDArray[np.int64]:
    """Return where windows begin along one side, so that they reach its end."""
    steps = max(0, math.ceil((length - window) / stride))
    found = np.arange(steps + 1) * stride
    return found if clip else np.minimum(found, length - window)


def sliding_windows(
    image_size: tuple[int, int],
    window: Pair,
    stride: Pair,
    *,
    scales: Sequence[float] = (1.0,),
    clip: bool = False,
) -> Floats:
    """Return windows that cover a whole image, row by row.

    Use for negatives from everywhere, and for small images. Prefer :func:`random_boxes` for
    negatives of many sizes at a given number.

    Args:
        image_size: (height, width) in pixels.
        window: (height, width) of a window, or one number for a square.
        stride: Steps (down, right) between windows, or one number for both.
        scales: Factors of window and stride, rounded to whole pixels; each gives a grid.
        clip: What happens at the lower and right edge where strides do not fit: False shifts the
            last windows inwards, so that all keep their size, and leaves out scales that are larger
            than the image; True cuts them at the edge.

    Returns:
        (N, 4) float64 x1, y1, x2, y2 inside the image, no box twice.

    Raises:
        UsageError: sizes, strides or scales that are not above 0.
        DataError: no scale fits into the image.

    Example:
        >>> sliding_windows((4, 6), 4, 3).tolist()
        [[0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 6.0, 4.0]]
        >>> sliding_windows((4, 6), 4, 3, clip=True).tolist()
        [[0.0, 0.0, 4.0, 4.0], [3.0, 0.0, 6.0, 4.0]]
    """
    height, width = _pair("image_size", image_size)
    size, step = _pair("window", window), _pair("stride", stride)
    if not len(scales) or not all(0 < s < math.inf for s in scales):
        raise UsageError(say("scales", "be numbers above 0", list(scales)))
    grids = []
    for scale in scales:
        h, w = (max(1, round(v * scale)) for v in size)
        down, right = (max(1, round(v * scale)) for v in step)
        if not clip and (h > height or w > width):
            continue
        tops = _starts(height, h, down, clip)
        lefts = _starts(width, w, right, clip)
        corner = np.array(list(product(tops, lefts)))
        y, x = corner[:, 0], corner[:, 1]
        ends = np.minimum(x + w, width), np.minimum(y + h, height)
        grids.append(np.stack([x, y, *ends], axis=1))
    if not grids:
        do = "Take smaller windows, or clip=True."
        raise DataError(say("window", f"fit into the image of {height} x {width}", window, do))
    every = np.concatenate(grids)
    _, first = np.unique(every, axis=0, return_index=True)
    return every[np.sort(first)].astype(np.float64)


def random_boxes(
    image_size: tuple[int, int],
    n: int,
    *,
    size_range: tuple[float, float] = (16.0, 256.0),
    aspect_range: tuple[float, float] = (0.5, 2.0),
    seed: int,
) -> Floats:
    """Draw boxes inside an image.

    Use for negatives of all sizes and places. Prefer :func:`sliding_windows` where the image is to
    be covered.

    Args:
        image_size: (height, width) in pixels.
        n: Boxes to draw.
        size_range: Smallest and largest square root of the area, in pixels, drawn evenly on a
            logarithmic scale; sides longer than the image's are cut to it.
        aspect_range: Smallest and largest width / height, drawn likewise.
        seed: Same seed, same boxes.

    Returns:
        (n, 4) float64 x1, y1, x2, y2 inside the image; each place that a box of its size can take
        is equally likely.

    Raises:
        UsageError: ``n`` below 0, or a range that is not above 0 or runs backwards.

    Example:
        >>> random_boxes((100, 200), 2, size_range=(10, 50), seed=0).astype(int).tolist()
        [[126, 27, 177, 54], [69, 4, 86, 16]]
    """
    height, width = _pair("image_size", image_size)
    if n < 0:
        raise UsageError(say("n", "be at least 0", n))
    for name, pair in (("size_range", size_range), ("aspect_range", aspect_range)):
        if not 0 < pair[0] <= pair[1] < math.inf:
            raise UsageError(say(name, "be (smallest, largest), above 0", pair))
    rng = generator(seed, "random_boxes")
    size, aspect = (
        np.exp(rng.uniform(math.log(low), math.log(high), n))
        for low, high in (size_range, aspect_range)
    )
    w = np.minimum(size * np.sqrt(aspect), width)
    h = np.minimum(size / np.sqrt(aspect), height)
    x, y = rng.random(n) * (width - w), rng.random(n) * (height - h)
    boxes = np.stack([x, y, x + w, y + h], axis=1)
    return np.asarray(np.minimum(boxes, np.array([width, height] * 2, dtype=np.float64)))
