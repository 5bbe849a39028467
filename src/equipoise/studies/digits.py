"""The demo's data: scikit-learn's scanned digits, as they are and as 2 x 2 mosaics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.studies.label_sets import label_set_shares
from equipoise.studies.rows import StudyData

Floats = NDArray[np.float32]
# Positives of four labels among 224,000 images.
MOSAIC_PREVALENCES = tuple(n / 224_000 for n in (19_000, 65_000, 38_000, 105_000))
MOSAIC_LABELS = ("A", "B", "C", "D")
# The digits that carry labels A to D; the other six only fill cells.
LABEL_DIGITS = (8, 3, 5, 0)


def scans() -> tuple[Floats, NDArray[np.int64]]:
    """Return the scans, (1797, 8, 8) in [0, 1], and the digits."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = (bunch.images / 16.0).astype(np.float32)
    return images, bunch.target.astype(np.int64)


def digits(*, noise: float = 0.0, seed: int = 0) -> StudyData:
    """Return the 1,797 scans of ten digits with pixel noise, one class each.

    Args:
        noise: Standard deviation of Gaussian noise on pixels in [0, 1].
        seed: Of the noise.
    """
    images, target = scans()
    x = images.reshape(len(target), -1)
    x = x + generator(seed, "noise").normal(0, noise, x.shape).astype(np.float32)
    names = [str(d) for d in range(10)]
    labels = Labels.from_array(target, kind="multiclass", names=names)
    return StudyData("scikit-learn's digits", x.astype(np.float32), labels)


def digit_mosaics(
    *,
    rows: int = 6000,
    test_rows: int = 3000,
    noise: float = 0.5,
    blocks: int = 30,
    test_blocks: int = 30,
    together: Mapping[str, float] | None = None,
    seed: int = 0,
) -> StudyData:
    """Return 2 x 2 mosaics of scanned digits; labels A to D say which of four digits occur.

    The scans are partitioned into blocks before any mosaic is made, and a mosaic uses the scans of
    one block only. Blocks are the groups: a split that keeps groups whole has no scan in two parts.

    Args:
        rows: Mosaics to train and validate on.
        test_rows: Mosaics to test on, from blocks of their own.
        noise: Standard deviation of Gaussian noise on pixels in [0, 1].
        blocks: Blocks behind ``rows``.
        test_blocks: Blocks behind ``test_rows``.
        together: "A+C" -> expected share of mosaics that show both; None draws labels
            independently.
        seed: Of partition, mosaics and noise.
    """
    images, target = scans()
    if rows < blocks or test_rows < test_blocks:
        raise UsageError(say("rows", "be at least the number of blocks", (rows, test_rows)))
    joint = label_set_shares(MOSAIC_PREVALENCES, MOSAIC_LABELS, together) if together else None
    member = _deal(target, blocks, test_blocks, generator(seed, "partition"))
    features, values, groups = [], [], []
    sizes = np.concatenate([_even(rows, blocks), _even(test_rows, test_blocks)])
    for block, size in enumerate(sizes):
        own = np.flatnonzero(member == block)
        rng = generator(seed, "mosaic", block)
        x, y = _mosaics(images[own], target[own], int(size), rng, joint)
        features.append(x + rng.normal(0, noise, x.shape).astype(np.float32))
        values.append(y)
        groups.append(np.full(int(size), block))
    labels = Labels.from_array(
        np.concatenate(values),
        kind="multilabel",
        names=MOSAIC_LABELS,
        groups=np.concatenate(groups),
    )
    test = np.arange(rows, rows + test_rows)
    return StudyData("mosaics of scikit-learn's digits", np.concatenate(features), labels, test)


def _even(total: int, parts: int) -> NDArray[np.int64]:
    edges = np.linspace(0, total, parts + 1).astype(np.int64)
    return edges[1:] - edges[:-1]


def _deal(
    target: NDArray[np.int64], blocks: int, test_blocks: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal the scans of each digit over all blocks; two thirds of them go to the first ones."""
    # The development blocks together hold two thirds of the scans.
    share = np.concatenate(
        [np.full(blocks, 2 / blocks), np.full(test_blocks, 1 / test_blocks)]
    )  # fmt: skip
    edges = np.cumsum(share / share.sum())
    member = np.empty(target.size, dtype=np.int64)
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(target == digit))
        place = (np.arange(own.size) + rng.random()) / own.size % 1.0
        member[own] = np.minimum(np.searchsorted(edges, place), edges.size - 1)
    return member


def _mosaics(
    images: Floats,
    target: NDArray[np.int64],
    n: int,
    rng: np.random.Generator,
    joint: tuple[NDArray[np.int8], NDArray[np.float64]] | None,
) -> tuple[Floats, NDArray[np.int8]]:
    """Return n mosaics of 16 x 16 pixels, flattened, and their labels (n, 4)."""
    if joint is None:
        y = (rng.random((n, 4)) < np.asarray(MOSAIC_PREVALENCES)).astype(np.int8)
    else:
        sets, shares = joint
        y = sets[rng.choice(len(sets), size=n, p=shares)]
    others = [d for d in range(10) if d not in LABEL_DIGITS]
    pool = {d: np.flatnonzero(target == d) for d in range(10)}
    fillers = np.concatenate([pool[d] for d in others])
    cells = rng.choice(fillers, size=(n, 4))
    place = np.argsort(rng.random((n, 4)), axis=1)
    for column, digit in enumerate(LABEL_DIGITS):
        rows = np.flatnonzero(y[:, column])
        cells[rows, place[rows, column]] = rng.choice(pool[digit], size=rows.size)
    tiles = images[cells].reshape(n, 2, 2, 8, 8)
    return tiles.transpose(0, 1, 3, 2, 4).reshape(n, 256).copy(), y
