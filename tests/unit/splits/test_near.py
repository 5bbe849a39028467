"""Near pairs of hashes against every pair, and the hashes of images that look alike."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, strategies as st
from sklearn.datasets import load_sample_images

from equipoise.data import image_hashes
from equipoise.errors import DataError, UsageError
from equipoise.splits import near_pairs


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 3), st.integers(0, 63))
def test_pairs_are_those_of_every_comparison(codes: list[int], distance: int, bit: int) -> None:
    codes = [*codes, *(c ^ (1 << bit) for c in codes[:3])]
    expected = [
        [i, j]
        for i in range(len(codes))
        for j in range(i + 1, len(codes))
        if codes[i] and codes[j] and (codes[i] ^ codes[j]).bit_count() <= distance
    ]
    found = near_pairs(np.array(codes, dtype=np.uint64), max_distance=distance)
    assert found.tolist() == expected


def test_more_than_three_bits_are_refused() -> None:
    with pytest.raises(UsageError, match="`max_distance` must lie in 0 to 3"):
        near_pairs(np.zeros(2, dtype=np.uint64), max_distance=4)


def test_what_looks_alike_hashes_alike(tmp_path: Path) -> None:
    photographs = [PIL.Image.fromarray(x) for x in load_sample_images().images]
    copies = []
    for picture in photographs:
        small = picture.resize((160, 107)).point(lambda v: min(255, v + 12))
        small.save(file := io.BytesIO(), "JPEG", quality=40)
        copies.append(file.getvalue())
    for i, picture in enumerate(photographs):
        picture.save(tmp_path / f"{i}.png")
    whole = image_hashes([tmp_path / "0.png", tmp_path / "1.png"])
    codes = np.concatenate([whole, image_hashes(copies)])
    assert near_pairs(codes).tolist() == [[0, 2], [1, 3]]
    PIL.Image.new("L", (20, 20), 9).save(file := io.BytesIO(), "PNG")
    assert image_hashes([file.getvalue()]).tolist() == [0]
    with pytest.raises(DataError, match=r"nowhere\.png"):
        image_hashes([tmp_path / "nowhere.png"])
    with pytest.raises(DataError, match="at least one image"):
        image_hashes([])
