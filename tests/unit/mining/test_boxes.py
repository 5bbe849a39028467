"""Overlap of boxes against a slow loop, at the edges, and within its bounds of time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

from equipoise.errors import DataError, ShapeError
from equipoise.mining import best_cover, best_iou, box_areas, box_iou, boxes as boxes_module


def slow_shared(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def slow_area(a) -> float:
    return (a[2] - a[0]) * (a[3] - a[1])


def slow_iou(a, b) -> float:
    union = slow_area(a) + slow_area(b) - slow_shared(a, b)
    return slow_shared(a, b) / union if union > 0 else 0.0


def make_boxes(n: int, seed: int) -> np.ndarray:
    """Boxes on a coarse grid, so that equal, touching and empty ones occur."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(-4, 5, (n, 2)) / 2
    return np.concatenate([corner, corner + rng.integers(0, 6, (n, 2)) / 2], axis=1)


SIZES = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**20))


@given(SIZES, st.sampled_from([1, 7, 32_768]))
def test_every_pair_equals_the_slow_loop(sizes: tuple[int, int, int], block: int) -> None:
    n, m, seed = sizes
    a, b = make_boxes(n, seed), make_boxes(m, seed + 1)
    before, boxes_module._BLOCK = boxes_module._BLOCK, block
    try:
        found, (value, at) = box_iou(a, b), best_iou(a, b)
        cover, over = best_cover(a, b)
    finally:
        boxes_module._BLOCK = before
    assert found.shape == (n, m)
    assert found.dtype == value.dtype == cover.dtype == np.float64
    for i in range(n):
        row = [slow_iou(a[i], other) for other in b]
        np.testing.assert_allclose(found[i], row, rtol=1e-14)
        best = max(row, default=0.0)
        assert value[i] == pytest.approx(best, rel=1e-6)
        assert at[i] == (row.index(best) if best > 0 else -1)
        area = slow_area(a[i])
        shares = [slow_shared(a[i], other) / area if area else 0.0 for other in b]
        assert cover[i] == pytest.approx(max(shares, default=0.0), rel=1e-6)
        assert over[i] == (int(np.argmax(shares)) if max(shares, default=0.0) > 0 else -1)


def exact_iou(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the very numbers in the arrays, without any rounding."""
    return float(slow_iou([Fraction(float(v)) for v in a], [Fraction(float(v)) for v in b]))


def test_coordinates_of_a_slide_keep_their_last_digit() -> None:
    rng = np.random.default_rng(0)
    corner = 1e5 + rng.uniform(0, 12, (40, 2))
    a = np.concatenate([corner, corner + rng.uniform(4, 12, (40, 2))], axis=1)
    found = box_iou(a, a)
    exact = np.array([[exact_iou(x, y) for y in a] for x in a])
    assert (exact > 0).mean() > 0.5
    np.testing.assert_allclose(found, exact, rtol=1e-13, atol=0)
    np.testing.assert_array_equal(best_iou(a, a[::-1])[0], found[:, ::-1].max(1))
    np.testing.assert_allclose(box_areas(a), np.diff(a[:, ::2])[:, 0] * np.diff(a[:, 1::2])[:, 0])
    # Through float32, as a caller may have rounded them, the same boxes are wrong by 1e-3.
    assert np.abs(box_iou(a.astype(np.float32), a) - exact).max() > 1e-4


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (np.float32, np.float32, np.float32),
        (np.float16, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float64, np.float64),
        (np.int64, np.int32, np.float64),
    ],
)
def test_overlaps_have_the_dtype_of_the_boxes(first: type, second: type, result: type) -> None:
    a, b = np.array([[0, 0, 2, 3]], dtype=first), np.array([[1, 0, 4, 3]], dtype=second)
    for found in (box_iou(a, b), best_iou(a, b)[0], best_cover(a, b)[0]):
        assert found.dtype == result
    np.testing.assert_allclose(box_iou(a, b), [[0.25]], rtol=1e-7)


def test_whole_numbers_beyond_float32_stay_whole() -> None:
    odd = np.array([[2**25 + 1, 0, 2**25 + 2, 1]])
    assert box_areas(odd).tolist() == [1.0]
    assert box_iou(odd, odd - [[1, 0, 1, 0]]).tolist() == [[0.0]]


@given(st.integers(1, 30), st.integers(0, 2**20), st.floats(0.01, 1e4))
def test_it_is_a_symmetric_share_that_moves_with_nothing(n: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-size, size, (n, 2))
    a = np.concatenate([corner, corner + rng.uniform(0.1 * size, size, (n, 2))], axis=1)
    found = box_iou(a, a)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_array_equal(np.diag(found), 1.0)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(box_iou(4 * a, 4 * a), found, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(box_iou(a[:, [1, 0, 3, 2]], a[:, [1, 0, 3, 2]]), found)


def test_a_box_without_area_overlaps_nothing_not_even_itself() -> None:
    point, line, box = [3, 3, 3, 3], [0, 3, 6, 3], [0, 0, 6, 6]
    assert not box_iou([point, line], [point, line, box]).any()
    assert best_iou([point], [point, box])[1].tolist() == [-1]
    assert best_cover([line], [box])[0].tolist() == [0.0]
    assert box_areas([point, line, box]).tolist() == [0.0, 0.0, 36.0]


def test_boxes_that_touch_share_nothing_and_places_outside_an_image_count() -> None:
    assert box_iou([[0, 0, 2, 2]], [[2, 0, 4, 2], [0, 2, 2, 4]]).tolist() == [[0.0, 0.0]]
    assert box_iou([[-4, -4, -2, -2]], [[-4, -4, -2, -2]]).tolist() == [[1.0]]


def test_a_box_within_another_is_covered_though_its_iou_is_small() -> None:
    small, crowd = [[4, 4, 5, 5]], [[0, 0, 10, 10]]
    assert best_cover(small, crowd)[0].tolist() == [1.0]
    assert best_iou(small, crowd)[0].tolist() == pytest.approx([0.01])


def test_nothing_gives_nothing() -> None:
    box = [[0, 0, 1, 1]]
    assert box_iou([], box).shape == (0, 1)
    assert box_iou(box, []).shape == (1, 0)
    assert box_iou(np.zeros((0, 4)), []).shape == (0, 0)
    value, at = best_iou(box, [])
    assert (value.tolist(), at.tolist()) == ([0.0], [-1])
    assert best_iou([], box)[1].dtype == np.int64


@pytest.mark.parametrize("function", [box_iou, best_iou, best_cover])
@pytest.mark.parametrize(
    ("boxes", "error", "message"),
    [
        ([[0, 0, 1, 1], [5, 0, 4, 1]], DataError, r"x2 >= x1 .* 1 that do not \(first: row 1, \[5"),
        ([[0, 5, 1, 4]], DataError, r"must have x2 >= x1 and y2 >= y1"),
        ([[0, 0, 1]], ShapeError, r"must have shape \(N, 4\), got \(1, 3\)\. Each row is x1"),
        ([0, 0, 1, 1], ShapeError, r"must have shape \(N, 4\), got \(4,\)"),
        ([[0, 0, np.nan, 1]], DataError, "must be finite, got 1 NaN or infinite values"),
        ([[0, 0, 1e10, 1]], DataError, "must be pixels below 1e9"),
        ([["a", "b", "c", "d"]], DataError, "must be numbers"),
    ],
)
def test_what_is_no_box_is_named(function, boxes, error, message: str) -> None:
    with pytest.raises(error, match=message):
        function(boxes, [[0, 0, 1, 1]])
    with pytest.raises(error, match=message):
        function([[0, 0, 1, 1]], boxes)


def test_inputs_are_not_changed() -> None:
    a = make_boxes(5, 0).astype(np.float32)
    before = a.copy()
    best_iou(a, a)
    np.testing.assert_array_equal(a, before)


@pytest.mark.slow
def test_100_million_pairs_take_two_seconds_and_two_gigabytes() -> None:
    code = (
        "import numpy as np, time; from pathlib import Path; from equipoise.mining import box_iou\n"
        "r = np.random.default_rng(0)\n"
        "def make(n):\n"
        "    p = r.uniform(0, 1000, (n, 2))\n"
        "    return np.concatenate([p, p + r.uniform(1, 300, (n, 2))], 1)\n"
        "a, b, best = make(100_000), make(1_000), 9.0\n"
        "for _ in range(3):\n"
        "    t = time.perf_counter(); box_iou(a, b); best = min(best, time.perf_counter() - t)\n"
        "peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "print(best, int(peak) / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    assert seconds < 2.0
    assert peak < 2.0


def test_a_million_pairs_are_quick() -> None:
    a, b = make_boxes(10_000, 0), make_boxes(100, 1)
    start = time.perf_counter()
    best_iou(a, b)
    assert time.perf_counter() - start < 1.0  # a loop takes several


def test_boxes_and_proposals_load_no_torch() -> None:
    code = (
        "import sys\nfrom equipoise.mining import best_iou, label_proposals, random_boxes\n"
        "from equipoise.mining import read_box_table, read_coco\n"
        "print('torch' in sys.modules, 'polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
