"""Boxes without a model, and as proposals: a class, background or neither, by their overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.checks import (
    require_finite,
    require_least,
    require_shape,
    require_within,
    to_array,
    to_fraction,
)
from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.artifacts._io import read_column, read_table, reading, write_table
from equipoise.artifacts.labels import Labels, pick_rows
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.mining.boxes import best_cover, best_iou, to_boxes

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
    require_least("n", n, 0)
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


# As precise as the boxes came.
Boxes = NDArray[np.float32] | NDArray[np.float64]
BACKGROUND = 0
"""Class of a proposal that overlaps no true box."""
IGNORED = -1
"""Class of a proposal that is left out: neither overlap enough nor little enough."""
_SCHEMA, _VERSION = "equipoise.Proposals", 1
_COLUMNS = ("image", "label", "iou", "match")
_CORNERS = ("x1", "y1", "x2", "y2")


def _ints(name: str, values: ArrayLike, size: int | None = None) -> Ints:
    array = to_array(name, values, ndim=1)
    if array.size and array.dtype.kind not in "iu":
        raise DataError(say(name, "be whole numbers", f"dtype {array.dtype}"))
    if size is not None and array.size != size:
        raise ShapeError(say(name, f"have shape ({size},)", array.shape, "One entry per box."))
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """N boxes, each a class, background or ignored.

    Args:
        images: (N,) int64 >= 0, the image of each box.
        boxes: (N, 4) x1, y1, x2, y2 in pixels, float32 or float64.
        labels: (N,) int64: 1 to C a class, 0 background, -1 ignored.
        ious: (N,) in [0, 1], float32 or float64, the overlap with the truth it was matched with.
        matches: (N,) int64, which truth of its image that is; -1 for none.

    Raises:
        ShapeError: lengths that differ.
        DataError: turned boxes, images below 0, labels or matches below -1, or overlaps outside
            [0, 1].

    Example:
        >>> found = label_proposals([[0, 0, 2, 2], [8, 8, 9, 9]], [[0, 0, 2, 2]], [3])
        >>> len(found), found.labels.tolist(), found.counts
        (2, [3, 0], {0: 1, 3: 1})
    """

    images: Ints
    boxes: Boxes
    labels: Ints
    ious: Boxes
    matches: Ints

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "boxes", to_boxes("boxes", self.boxes))
        size = len(self.boxes)
        for name, least in (("images", 0), ("labels", IGNORED), ("matches", -1)):
            values = _ints(name, getattr(self, name), size)
            if values.size and values.min() < least:
                raise DataError(say(name, f"be >= {least}", int(values.min())))
            put(self, name, values)
        ious = np.asarray(self.ious)
        if ious.dtype != np.float32:
            ious = ious.astype(np.float64)
        require_shape("ious", ious, (size,), "One overlap per box.")
        require_finite("ious", ious, "Compute them by best_iou.")
        if ious.size and (ious.min() < 0 or ious.max() > 1):
            raise DataError(say("ious", "lie in [0, 1]", f"{ious.min():g} to {ious.max():g}"))
        put(self, "ious", ious)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: ArrayLike | slice) -> Proposals:
        """Return some rows, by positions, mask or slice."""
        index = pick_rows(rows)
        return Proposals(*(getattr(self, f.name)[index] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Proposals]) -> Proposals:
        """Return the rows of several, one after the other; no part gives no rows."""
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return cls(none, np.zeros((0, 4)), none, np.zeros(0), none)
        names = [f.name for f in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def counts(self) -> dict[int, int]:
        """Boxes of each label, -1 and 0 included where there are any."""
        labels, counts = np.unique(self.labels, return_counts=True)
        return dict(zip(labels.tolist(), counts.tolist(), strict=True))

    def without_ignored(self) -> Proposals:
        """Return the rows to train on."""
        return self[self.labels != IGNORED]

    def to_labels(self, names: Sequence[str] | None = None) -> Labels:
        """Return the rows as multi-class labels, background first, for `diagnose` and splits.

        Images are the groups, so that splits keep the boxes of an image together: boxes that
        overlap in train and test would leak.

        Args:
            names: C + 1 names, that of the background first; None numbers them.

        Raises:
            DataError: ignored rows are among them.
        """
        if (self.labels == IGNORED).any():
            got = f"{int((self.labels == IGNORED).sum())} ignored"
            do = "Leave them out by without_ignored()."
            raise DataError(say("proposals", "all have a class or be background", got, do))
        return Labels.from_array(self.labels, kind="multiclass", names=names, groups=self.images)

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file: image, x1, y1, x2, y2, label, iou, match."""
        import polars as pl

        corners = {name: self.boxes[:, i] for i, name in enumerate(_CORNERS)}
        frame = pl.DataFrame(
            {
                "image": self.images,
                **corners,
                "label": self.labels,
                "iou": self.ious,
                "match": self.matches,
            }
        )
        return write_table(path, _SCHEMA, _VERSION, frame, {})

    @classmethod
    def load(cls, path: str | Path) -> Proposals:
        """Read what :meth:`save` wrote."""
        frame, _ = read_table(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            boxes = np.stack([read_column(frame, name) for name in _CORNERS], axis=1)
            image, label, iou, match = (read_column(frame, name) for name in _COLUMNS)
            return cls(image, boxes, label, iou, match)


def _thresholds(positive: float | Mapping[int, float], classes: Ints) -> Boxes:
    """Return the overlap that makes a positive, for each truth."""
    if isinstance(positive, Mapping):
        shares = {c: to_fraction("positive_iou", v, inclusive=True) for c, v in positive.items()}
        missing = sorted(set(classes.tolist()) - set(positive))
        if missing:
            do = "Give one overlap per class that occurs."
            raise UsageError(say("positive_iou", f"name class {missing[0]}", sorted(positive), do))
        return np.array([shares[c] for c in classes.tolist()], dtype=np.float64)
    return np.full(classes.size, to_fraction("positive_iou", positive, inclusive=True))


def _match(boxes: Boxes, truth: Boxes, needed: Boxes) -> tuple[Boxes, Ints, NDArray[np.bool_]]:
    """Return overlap, partner and whether that makes a positive.

    A truth whose threshold is reached goes before a better one whose is not.
    """
    iou, at = best_iou(boxes, truth)
    # Compared in the precision of the overlaps: 0.3 is then reached by 3 / 10.
    needed = needed.astype(np.float32) if iou.dtype == np.float32 else needed
    is_positive = (at >= 0) & (iou >= (needed[at] if needed.size else 1.0))
    levels = np.unique(needed)
    if levels.size > 1:
        best = np.where(is_positive, iou, -1.0)
        for level in levels:
            among = np.flatnonzero(needed == level)
            value, partner = best_iou(boxes, truth[among])
            better = (partner >= 0) & (value >= level) & (value > best)
            best = np.where(better, value, best)
            iou, at = np.where(better, value, iou), np.where(better, among[partner], at)
            is_positive = is_positive | better
    return iou, at, is_positive


def _take_best(
    iou: Boxes, at: Ints, positive: NDArray[np.bool_], boxes: Boxes, truth: Boxes
) -> None:
    """Give each truth the box that overlaps it most, in place; the larger overlap wins."""
    value, box = best_iou(truth, boxes)
    order = np.lexsort((-np.arange(value.size), value))  # the winner is written last
    order = order[box[order] >= 0]
    iou[box[order]], at[box[order]], positive[box[order]] = value[order], order, True


def label_proposals(
    boxes: ArrayLike,
    truth_boxes: ArrayLike,
    truth_classes: ArrayLike,
    *,
    positive_iou: float | Mapping[int, float] = 0.5,
    negative_iou: float = 0.3,
    take_best: bool = False,
    ignore_boxes: ArrayLike = (),
    ignore_cover: float = 0.5,
    image: int = 0,
) -> Proposals:
    """Label the candidate boxes of one image by their overlap with the true boxes.

    Use to turn detection data into classification with background as a class. For several images
    call it for each and :meth:`Proposals.join` the parts.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        truth_boxes: (T, 4).
        truth_classes: (T,) integers from 1; 0 is the background.
        positive_iou: Overlap from which a box takes the class of the true box, in [0, 1]; or one
            per class, {class: overlap}.
        negative_iou: A box below this overlap with every true box is background, in [0, 1], at
            most ``positive_iou``. What lies between is ignored.
        take_best: Each true box makes a positive of the box that overlaps it most, however little
            (above 0). Where two want the same box the larger overlap has it, and the first of
            equals; the other goes without.
        ignore_boxes: (K, 4) regions such as crowds, in which nobody marked single objects.
        ignore_cover: A box of which this share of its own area or more lies in one such region is
            ignored unless it is positive, in (0, 1].
        image: Number of the image, for the result.

    Returns:
        Proposals in the order of ``boxes``. ``ious`` and ``matches`` tell the true box whose class
        it took; for others the one that they overlap most (-1: none).

    Raises:
        ShapeError: not four columns, or not one class per true box.
        DataError: turned boxes, or classes below 1.
        UsageError: overlaps out of range or order, or a class without one.

    Example:
        >>> candidates = [[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 4], [0, 0, 10, 2]]
        >>> found = label_proposals(candidates, [[0, 0, 10, 10]], [2])
        >>> found.labels.tolist(), [f"{iou:.1f}" for iou in found.ious]
        ([2, 2, -1, 0], ['1.0', '0.6', '0.4', '0.2'])

    References:
        Girshick et al., Rich Feature Hierarchies, CVPR 2014 (0.5 and 0.3); Liu et al., SSD, ECCV
        2016, section 2.2 (each true box takes its best); COCO's ``iscrowd`` (area of the box).
    """
    proposed, truth = to_boxes("boxes", boxes), to_boxes("truth_boxes", truth_boxes)
    classes = _ints("truth_classes", truth_classes, len(truth))
    if classes.size and classes.min() < 1:
        do = "Count classes from 1; 0 is the background."
        raise DataError(say("truth_classes", "be at least 1", int(classes.min()), do))
    needed = _thresholds(positive_iou, classes)
    least = to_fraction("negative_iou", negative_iou, inclusive=True)
    lowest = (
        min(positive_iou.values(), default=1.0)
        if isinstance(positive_iou, Mapping)
        else positive_iou
    )
    if least > lowest:
        raise UsageError(say("negative_iou", f"be at most positive_iou = {lowest:g}", negative_iou))
    require_within("ignore_cover", ignore_cover, "(0, 1]")
    iou, at, positive = _match(proposed, truth, needed)
    # With several thresholds the partner is not always the box that it overlaps most.
    most = best_iou(proposed, truth)[0] if np.unique(needed).size > 1 else iou.copy()
    if take_best:
        _take_best(iou, at, positive, proposed, truth)
    labels = np.where(most < most.dtype.type(least), BACKGROUND, IGNORED)
    cover = best_cover(proposed, ignore_boxes)[0]
    covered = cover >= cover.dtype.type(ignore_cover)
    labels[covered] = IGNORED
    labels[positive] = classes[at[positive]]
    return Proposals(np.full(len(proposed), image), proposed, labels, iou, at)
