"""Windows over mosaics of scikit-learn's digits, labelled by their overlap with one digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_least, require_within
from equipoise._core.messages import one_of
from equipoise._core.rng import generator
from equipoise.artifacts import Labels
from equipoise.mining import ArrayPool, Proposals, label_proposals, sliding_windows
from equipoise.studies.digits import scans

Floats = NDArray[np.float32]
WindowPart = Literal["train", "val", "test"]
SIDE, CELL, CELLS, STRIDE = 8, 10, 4, 2
_SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}


@dataclass(frozen=True, slots=True, eq=False)
class DigitWindows:
    """Windows over K mosaics.

    Args:
        part: "train", "val" or "test".
        images: (K, 40, 40) float32, 4 x 4 digits, each at a random place in its cell of 10 pixels.
        proposals: The windows of 8 x 8 pixels at every second pixel that are positive (overlap 0.5
            and more with the digit that is sought) or background (below 0.3).
        pixels: (N, 8, 8) float32, what the windows show.
        has_digit: (K,) bool, whether the digit occurs.
    """

    part: WindowPart
    images: Floats
    proposals: Proposals
    pixels: Floats
    has_digit: NDArray[np.bool_]

    @property
    def labels(self) -> Labels:
        """One binary label per window; the mosaics are the groups, as "train 0"."""
        hot = (self.proposals.labels > 0).astype(np.int8)
        mosaics = np.array([f"{self.part} {i}" for i in range(len(self.images))])
        groups = mosaics[self.proposals.images]
        return Labels.from_array(hot, kind="multilabel", names=["digit"], groups=groups)

    def pool(self) -> ArrayPool:
        """Return the windows as a pool."""
        return ArrayPool(self.pixels, self.labels)


def digit_windows(
    part: WindowPart,
    images: int,
    *,
    digit: int = 8,
    share: float = 0.05,
    noise: float = 0.1,
    seed: int = 0,
) -> DigitWindows:
    """Return windows over mosaics of scanned digits; no scan stands in two parts.

    Test scans and mosaics are the same for all seeds; a seed deals the other scans to training and
    validation anew, and draws their mosaics.

    Args:
        part: "train", "val" or "test".
        images: Mosaics, at least 1.
        digit: Which digit is sought, 0 to 9.
        share: Chance of a cell to show it, in (0, 1).
        noise: Standard deviation of Gaussian noise on pixels in [0, 1].
        seed: Of deal, mosaics and noise.

    Raises:
        UsageError: an argument out of range.

    Example:
        >>> found = digit_windows("val", 2)
        >>> found.images.shape, found.pixels.shape[1:]
        ((2, 40, 40), (8, 8))
    """
    one_of("part", part, get_args(WindowPart))
    require_least("images", images, 1)
    require_within("digit", digit, "[0, 9]")
    require_within("share", share, "(0, 1)")
    images_of_digits, target = scans()
    own = _deal(target, part, seed)
    rng = generator(0 if part == "test" else seed, "windows", part)
    wanted, others = own[target[own] == digit], own[target[own] != digit]
    windows = sliding_windows((CELL * CELLS, CELL * CELLS), SIDE, STRIDE)
    corner = windows[:, :2].astype(np.int64)
    drawn, found, cut = [], [], []
    for number in range(images):
        image, boxes = _mosaic(images_of_digits, wanted, others, share, rng)
        image += rng.normal(0, noise, image.shape).astype(np.float32)
        labelled = label_proposals(windows, boxes, np.ones(len(boxes), int), image=number)
        kept = labelled.labels >= 0
        every = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))
        drawn.append(image)
        found.append(labelled[kept])
        cut.append(every[corner[kept, 1], corner[kept, 0]])
    proposals = Proposals.join(found)
    has = np.zeros(images, dtype=bool)
    has[proposals.images[proposals.labels > 0]] = True
    return DigitWindows(part, np.stack(drawn), proposals, np.concatenate(cut), has)


def _deal(target: NDArray[np.int64], part: WindowPart, seed: int) -> NDArray[np.int64]:
    """Return the scans of a part: each digit is dealt by shares, the test part first."""
    own = []
    for digit in range(10):
        rows = generator(0, "window scans", digit).permutation(np.flatnonzero(target == digit))
        n_test = round(_SHARES["test"] * rows.size)
        test, rest = rows[:n_test], rows[n_test:]
        rest = generator(seed, "window scans", digit).permutation(rest)
        n_train = round(rest.size * _SHARES["train"] / (_SHARES["train"] + _SHARES["val"]))
        own.append({"test": test, "train": rest[:n_train], "val": rest[n_train:]}[part])
    return np.concatenate(own)


def _mosaic(
    scans: Floats,
    wanted: NDArray[np.int64],
    others: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Return one mosaic without noise, and the boxes of the digit that is sought."""
    image = np.zeros((CELL * CELLS, CELL * CELLS), dtype=np.float32)
    boxes = []
    for cell in range(CELLS * CELLS):
        y, x = (CELL * np.array(divmod(cell, CELLS)) + rng.integers(0, CELL - SIDE + 1, 2)).tolist()
        is_wanted = rng.random() < share
        image[y : y + SIDE, x : x + SIDE] = scans[rng.choice(wanted if is_wanted else others)]
        if is_wanted:
            boxes.append([x, y, x + SIDE, y + SIDE])
    return image, np.array(boxes, dtype=np.float32).reshape(-1, 4)
