"""The demo's data: prevalences, and no scan in two parts."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import UsageError
from equipoise.studies.digits import (
    LABEL_DIGITS,
    MOSAIC_PREVALENCES,
    _deal,
    digit_mosaics,
    digits,
    scans,
)


def test_prevalences_are_those_of_the_user() -> None:
    assert np.round(MOSAIC_PREVALENCES, 3).tolist() == [0.085, 0.290, 0.170, 0.469]
    data = digit_mosaics(rows=6000, test_rows=3000, noise=0.0)
    error = np.sqrt(np.asarray(MOSAIC_PREVALENCES) / 9000)
    assert (np.abs(data.labels.prevalence - MOSAIC_PREVALENCES) < 4 * error).all()


def test_no_scan_stands_in_two_blocks_and_every_block_has_every_digit() -> None:
    data = digit_mosaics(rows=600, test_rows=300, noise=0.0, blocks=6, test_blocks=4, seed=3)
    images, _ = scans()
    index = {image.tobytes(): i for i, image in enumerate(images)}
    cells = data.features.reshape(-1, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 8, 8)
    used = np.array([[index[cell.tobytes()] for cell in row] for row in cells.copy()])
    homes: dict[int, set[int]] = {}
    for row, block in zip(used, data.labels.groups, strict=True):
        for scan in row:
            homes.setdefault(int(scan), set()).add(int(block))
    assert all(len(blocks) == 1 for blocks in homes.values())
    assert data.test.tolist() == list(range(600, 900))
    assert set(data.labels.groups[data.test]) == {"6", "7", "8", "9"}


def test_labels_say_which_digits_occur() -> None:
    data = digit_mosaics(rows=200, test_rows=100, noise=0.0, blocks=2, test_blocks=1)
    images, target = scans()
    kind = {image.tobytes(): int(d) for image, d in zip(images, target, strict=True)}
    cells = data.features.reshape(-1, 2, 8, 2, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 4, 8, 8)
    for row, labels in zip(cells.copy(), data.labels.values, strict=True):
        shown = {kind[cell.tobytes()] for cell in row}
        assert [int(d in shown) for d in LABEL_DIGITS] == labels.tolist()


def test_every_block_holds_every_digit() -> None:
    _, target = scans()
    member = _deal(target, 30, 30, np.random.default_rng(0))
    for block in range(60):
        assert set(target[member == block]) == set(range(10))


def test_same_seed_same_data() -> None:
    one, two, other = (digit_mosaics(rows=200, test_rows=100, seed=s) for s in (0, 0, 1))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert digits(noise=0.1).fingerprint == digits(noise=0.1).fingerprint


def test_fewer_rows_than_blocks_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="at least the number of blocks"):
        digit_mosaics(rows=10, test_rows=100)
