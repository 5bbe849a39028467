"""Overlap of boxes: intersection over union, in blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_finite, to_array, to_floats
from equipoise._core.messages import say
from equipoise.errors import DataError, ShapeError

Floats = NDArray[np.float32] | NDArray[np.float64]
_BLOCK = 32_768  # pairs: 256 KiB per array of float64, a few of which fit in the second cache


def to_boxes(name: str, boxes: ArrayLike) -> Floats:
    """Return boxes as (N, 4), checked: float32 (and half) as float32, all others as float64.

    Args:
        name: What to call them in messages.
        boxes: (N, 4) x1, y1, x2, y2 in pixels; an empty list is (0, 4).

    Raises:
        ShapeError: not four columns.
        DataError: no numbers, NaN, infinite or above 1e9, or a box whose x2 < x1 or y2 < y1.

    Example:
        >>> to_boxes("boxes", [[0, 0, 2, 3]]).tolist()
        [[0.0, 0.0, 2.0, 3.0]]
    """
    array = to_array(name, boxes, ndim=(1, 2))
    narrow = array.dtype in (np.float16, np.float32)
    if array.size == 0:
        array = np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        do = "Each row is x1, y1, x2, y2."
        raise ShapeError(say(name, "have shape (N, 4)", array.shape, do))
    values = to_floats(name, array)
    require_finite(name, values, "Leave such boxes out.")
    if np.abs(values).max(initial=0.0) > 1e9:
        got = f"{np.abs(values).max():g}"
        raise DataError(say(name, "be pixels below 1e9", got, "Slides have 2e5 a side."))
    turned = np.flatnonzero((values[:, 2] < values[:, 0]) | (values[:, 3] < values[:, 1]))
    if turned.size:
        at = int(turned[0])
        got = f"{turned.size} that do not (first: row {at}, {values[at].tolist()})"
        do = "Boxes of corner, width and height are turned by x2 = x1 + width."
        raise DataError(say(name, "have x2 >= x1 and y2 >= y1", got, do))
    return values.astype(np.float32) if narrow else values.astype(np.float64)


def box_areas(boxes: ArrayLike) -> Floats:
    """Return the area of each box.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels.

    Returns:
        (N,) square pixels, float32 for boxes of float32, else float64.

    Raises:
        DataError: as :func:`box_iou`.

    Example:
        >>> box_areas([[0, 0, 2, 3]]).tolist()
        [6.0]
    """
    checked = to_boxes("boxes", boxes)
    return (checked[:, 2] - checked[:, 0]) * (checked[:, 3] - checked[:, 1])


def box_iou(boxes: ArrayLike, others: ArrayLike) -> Floats:
    r"""Return the intersection over union of every pair of boxes.

    Use when the whole matrix is needed. Prefer :func:`best_iou` for the best partner of each box,
    which holds one number per box instead of one per pair.

    .. math:: \operatorname{IoU}(a, b) = \frac{|a \cap b|}{|a \cup b|}

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels, floats or integers; a pixel has width 1, so the
            box of one pixel at the origin is 0, 0, 1, 1.
        others: (M, 4).

    Returns:
        (N, M) in [0, 1], right to a few units in the last place of its dtype, wherever the boxes
        lie: float32 where all boxes are (4 N M bytes), else float64. Boxes that were rounded to
        float32 before are off by more: at coordinates of 100,000 a box of ten pixels by 1e-3. A box
        without area overlaps nothing, itself included: 0. Boxes may lie outside an image: it plays
        no part.

    Raises:
        ShapeError: not four columns.
        DataError: NaN or infinite values, or a box whose x2 < x1 or y2 < y1.

    Example:
        >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 5, 5]]).round(3).tolist()
        [[0.333, 1.0, 0.0]]
    """
    a, b = to_boxes("boxes", boxes), to_boxes("others", others)
    found = np.empty((len(a), len(b)), dtype=np.result_type(a, b))
    for part, block in _blocks(a, b, union=True):
        found[part] = block
    return found


def best_iou(boxes: ArrayLike, others: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Return for each box its greatest intersection over union, and with which box.

    Use when there are many boxes: memory is that of the result. Prefer :func:`box_iou` where every
    pair counts.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels, as in :func:`box_iou`.
        others: (M, 4).

    Returns:
        (N,) in [0, 1] in the dtype of :func:`box_iou`, and (N,) int64 positions in ``others``: the
        first of the best, -1 where none overlaps.

    Raises:
        ShapeError: not four columns.
        DataError: as :func:`box_iou`.

    Example:
        >>> value, at = best_iou([[0, 0, 2, 2], [9, 9, 10, 10]], [[1, 0, 3, 2], [0, 0, 2, 2]])
        >>> value.tolist(), at.tolist()
        ([1.0, 0.0], [1, -1])
    """
    return _best(to_boxes("boxes", boxes), to_boxes("others", others), union=True)


def best_cover(boxes: ArrayLike, regions: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Return for each box the greatest share of its own area that lies in one region.

    Use for regions to ignore, such as crowds, which are larger than what they hold: COCO counts
    overlap with them over the area of the box, not of the union.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        regions: (M, 4).

    Returns:
        As :func:`best_iou`; a box without area is covered by nothing: 0, -1.

    Raises:
        ShapeError: not four columns.
        DataError: as :func:`box_iou`.

    Example:
        >>> best_cover([[0, 0, 2, 2]], [[1, 0, 9, 9]])[0].tolist()
        [0.5]
    """
    return _best(to_boxes("boxes", boxes), to_boxes("regions", regions), union=False)


def _best(a: Floats, b: Floats, *, union: bool) -> tuple[Floats, NDArray[np.int64]]:
    value = np.zeros(len(a), dtype=np.result_type(a, b))
    at = np.full(len(a), -1, dtype=np.int64)
    for part, block in _blocks(a, b, union=union):
        first = block.argmax(axis=1)
        value[part] = block[np.arange(len(block)), first]
        at[part] = np.where(value[part] > 0, first, -1)
    return value, at


def _blocks(a: Floats, b: Floats, *, union: bool) -> Iterator[tuple[slice, Floats]]:
    """Yield rows of the matrix, a block at a time in one buffer: read it before the next."""
    if not len(a) or not len(b):
        return
    dtype = np.result_type(a, b)
    a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    step, tiny = max(1, _BLOCK // len(b)), np.finfo(dtype).tiny
    width, height, spare = (np.empty((step, len(b)), dtype=dtype) for _ in range(3))
    ours, theirs = box_areas(a), box_areas(b)
    right, left, low, high = (np.ascontiguousarray(b[:, i]) for i in (2, 0, 3, 1))
    for start in range(0, len(a), step):
        part = slice(start, min(start + step, len(a)))
        rows = a[part]
        w, h, s = (buffer[: len(rows)] for buffer in (width, height, spare))
        np.minimum(rows[:, 2:3], right, out=w)
        np.maximum(rows[:, 0:1], left, out=s)
        np.subtract(w, s, out=w)
        np.maximum(w, 0, out=w)
        np.minimum(rows[:, 3:4], low, out=h)
        np.maximum(rows[:, 1:2], high, out=s)
        np.subtract(h, s, out=h)
        np.maximum(h, 0, out=h)
        np.multiply(w, h, out=w)
        own = ours[part, None]
        if union:
            np.add(own, theirs, out=h)
            np.subtract(h, w, out=h)
        else:
            h[...] = own
        np.maximum(h, tiny, out=h)  # no area at all: 0 / tiny = 0
        np.divide(w, h, out=w)
        np.minimum(w, 1, out=w)  # a union rounded down would give 1.0000001
        yield part, w
