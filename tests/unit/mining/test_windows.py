"""Windows cover the image, random boxes stay inside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from equipoise.errors import DataError, UsageError
from equipoise.mining import random_boxes, sliding_windows

SIDE = st.integers(1, 30)


def slow_windows(image, window, stride, clip: bool) -> list[list[int]]:
    """Step until the edge is reached; the last window is shifted or cut."""
    spans = []
    for length, size, step in zip(image, window, stride, strict=True):
        found, start = [], 0
        while True:
            if start + size >= length:
                found.append((start, length) if clip else (length - size, length))
                break
            found.append((start, start + size))
            start += step
        spans.append(found)
    return [[x1, y1, x2, y2] for y1, y2 in spans[0] for x1, x2 in spans[1]]


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.booleans())
def test_windows_equal_the_slow_loop_and_cover_the_image(image, window, stride, clip) -> None:
    stride = tuple(min(s, w) for s, w in zip(stride, window, strict=True))
    if not clip and (window[0] > image[0] or window[1] > image[1]):
        with pytest.raises(DataError, match=r"`window` must fit into the image"):
            sliding_windows(image, window, stride)
        return
    found = sliding_windows(image, window, stride, clip=clip)
    assert found.tolist() == slow_windows(image, window, stride, clip)
    seen = np.zeros(image, dtype=bool)
    for x1, y1, x2, y2 in found.astype(int):
        seen[y1:y2, x1:x2] = True
        assert clip or (y2 - y1, x2 - x1) == window
    assert seen.all()


def test_each_scale_gives_a_grid_and_no_box_comes_twice() -> None:
    one, two = (sliding_windows((32, 48), 8, 8, scales=(s,)) for s in (1, 2))
    both = sliding_windows((32, 48), 8, 8, scales=(1, 2, 1))
    np.testing.assert_array_equal(both, np.concatenate([one, two]))
    assert len(one) == 4 * 6
    assert len(two) == 2 * 3
    large = sliding_windows((32, 48), 8, 8, scales=(1, 5))  # 40 x 40 does not fit
    np.testing.assert_array_equal(large, one)


@given(SIDE, SIDE, st.integers(0, 40), st.integers(0, 2**20))
def test_random_boxes_lie_inside_and_follow_the_seed(height, width, n, seed) -> None:
    found = random_boxes((height, width), n, size_range=(1, 60), seed=seed)
    assert found.shape == (n, 4)
    assert (found >= 0).all()
    assert (found[:, 2:] <= [width, height]).all()
    assert (found[:, 2:] >= found[:, :2]).all()
    np.testing.assert_array_equal(
        found, random_boxes((height, width), n, size_range=(1, 60), seed=seed)
    )


def test_sizes_and_proportions_are_those_asked_for() -> None:
    found = random_boxes((4000, 4000), 5000, size_range=(20, 80), aspect_range=(0.5, 2), seed=1)
    w, h = (found[:, 2] - found[:, 0]), (found[:, 3] - found[:, 1])
    size, aspect = np.sqrt(w * h), w / h
    assert 19.9 < size.min() < 20.5
    assert 79 < size.max() < 80.1
    assert np.median(size) == pytest.approx(40, rel=0.05)  # the middle on a logarithmic scale
    assert np.median(aspect) == pytest.approx(1, rel=0.05)
    assert 0.49 < aspect.min() < 0.52
    assert not np.array_equal(found, random_boxes((4000, 4000), 5000, size_range=(20, 80), seed=2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sliding_windows((8, 8), 0, 1), "`window` must be one or two whole numbers"),
        (lambda: sliding_windows((8, 8), 2, (1, 2, 3)), "`stride` must be one or two whole"),
        (lambda: sliding_windows((0, 8), 2, 1), "`image_size` must be one or two whole"),
        (lambda: sliding_windows((8, 8), 2, 1, scales=()), "`scales` must be numbers above 0"),
        (lambda: sliding_windows((8, 8), 2, 1, scales=[-1]), "`scales` must be numbers above 0"),
        (lambda: random_boxes((8, 8), -1, seed=0), "`n` must be at least 0, got -1"),
        (lambda: random_boxes((8, 8), 1, size_range=(5, 2), seed=0), r"`size_range` must be \(sm"),
        (lambda: random_boxes((8, 8), 1, aspect_range=(0, 2), seed=0), "`aspect_range` must be"),
    ],
)
def test_wrong_settings_are_named(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_boxes_far_from_the_origin_are_not_rounded() -> None:
    far = random_boxes((200_000, 200_000), 200, size_range=(8, 16), seed=0)
    near = random_boxes((200, 200), 200, size_range=(8, 16), seed=0)
    assert far.dtype == near.dtype == np.float64
    np.testing.assert_allclose(far[:, 2:] - far[:, :2], near[:, 2:] - near[:, :2], rtol=1e-9)
    wide = sliding_windows((8, 2**25 + 8), 8, 2**23 + 1)
    assert wide[:, 0].tolist() == [0, 2**23 + 1, 2**24 + 2, 3 * 2**23 + 3, 2**25]
