"""Labels of proposals against a slow loop, and the artifact that holds them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, strategies as st

from equipoise import stratified_split
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.mining import Proposals, box_iou, label_proposals


def slow_labels(boxes, truth, classes, positive, negative, take_best, ignored, cover):
    """Return label, overlap and partner of each box, box by box."""
    iou = box_iou(boxes, truth)
    needed = [positive[c] if isinstance(positive, dict) else positive for c in classes]
    labels, overlaps, partners = [], [], []
    for i, box in enumerate(boxes):
        able = [t for t in range(len(truth)) if iou[i, t] > 0 and iou[i, t] >= needed[t]]
        touched = able or [t for t in range(len(truth)) if iou[i, t] > 0]
        partner = max(touched, key=lambda t: (iou[i, t], -t), default=-1)
        most = max(iou[i], default=0.0)
        label = 0 if most < negative else -1
        area = (box[2] - box[0]) * (box[3] - box[1])
        for region in ignored:
            width = max(0, min(box[2], region[2]) - max(box[0], region[0]))
            height = max(0, min(box[3], region[3]) - max(box[1], region[1]))
            if area and width * height / area >= cover:
                label = -1
        labels.append(int(classes[partner]) if able else label)
        overlaps.append(float(iou[i, partner]) if partner >= 0 else 0.0)
        partners.append(partner)
    if take_best and len(boxes):
        wishes = {}
        for t in range(len(truth)):
            best = int(np.argmax(iou[:, t]))
            if iou[best, t] > 0 and iou[best, t] > wishes.get(best, (0.0, -1))[0]:
                wishes[best] = (float(iou[best, t]), t)
        for i, (value, t) in wishes.items():
            labels[i], overlaps[i], partners[i] = int(classes[t]), value, t
    return labels, overlaps, partners


def make_boxes(n: int, rng: np.random.Generator) -> np.ndarray:
    corner = rng.integers(0, 8, (n, 2)).astype(float)
    return np.concatenate([corner, corner + rng.integers(0, 7, (n, 2))], axis=1)


@given(
    st.integers(0, 15),
    st.integers(0, 6),
    st.integers(0, 2),
    st.integers(0, 2**20),
    st.booleans(),
    st.booleans(),
)
def test_labels_equal_the_slow_loop(n, t, k, seed, take_best, per_class) -> None:
    rng = np.random.default_rng(seed)
    boxes, truth, ignored = (make_boxes(size, rng) for size in (n, t, k))
    classes = rng.integers(1, 4, t)
    positive = {1: 0.3, 2: 0.5, 3: 0.8} if per_class else 0.5
    found = label_proposals(
        boxes,
        truth,
        classes,
        positive_iou=positive,
        negative_iou=0.2,
        take_best=take_best,
        ignore_boxes=ignored,
        ignore_cover=0.6,
    )
    labels, overlaps, partners = slow_labels(
        boxes, truth, classes, positive, 0.2, take_best, ignored, 0.6
    )
    assert found.labels.tolist() == labels
    assert found.ious.tolist() == pytest.approx(overlaps)
    assert found.matches.tolist() == partners


TRUTH = [[0, 0, 10, 10], [20, 20, 30, 30]]


def test_the_bounds_belong_to_the_side_that_is_stated() -> None:
    boxes = [[0, 0, 10, 5], [0, 0, 10, 4.9], [0, 0, 10, 3], [0, 0, 10, 2.9]]
    assert label_proposals(boxes, TRUTH, [1, 2]).labels.tolist() == [1, -1, -1, 0]


def test_a_true_box_takes_its_best_and_of_rivals_the_larger_overlap_wins() -> None:
    boxes = [[0, 0, 10, 4], [0, 0, 10, 3.5], [50, 50, 60, 60]]
    assert label_proposals(boxes, TRUTH, [1, 2]).labels.tolist() == [-1, -1, 0]
    found = label_proposals(boxes, TRUTH, [1, 2], take_best=True)
    assert found.labels.tolist() == [1, -1, 0]  # the second true box touches nothing
    rivals = [[0, 0, 10, 10], [0, 0, 10, 20]]
    for order in ([0, 1], [1, 0]):
        truth = [rivals[i] for i in order]
        found = label_proposals([[0, 0, 10, 12]], truth, [1 + i for i in order], take_best=True)
        assert found.labels.tolist() == [1]
        assert found.matches.tolist() == [order.index(0)]
    equal = label_proposals([[0, 0, 4, 4]], [[0, 0, 4, 8], [0, 0, 8, 4]], [5, 6], take_best=True)
    assert equal.labels.tolist() == [5]


def test_a_class_with_a_lower_threshold_may_take_a_box_from_a_better_partner() -> None:
    boxes, truth = [[0, 0, 10, 10]], [[0, 0, 10, 16], [0, 0, 10, 25]]
    found = label_proposals(boxes, truth, [1, 2], positive_iou={1: 0.7, 2: 0.35})
    assert found.labels.tolist() == [2]
    assert found.ious.tolist() == pytest.approx([0.4])
    lower = label_proposals(boxes, truth, [1, 2], positive_iou={1: 0.6, 2: 0.35})
    assert lower.labels.tolist() == [1]


def test_of_partners_that_reach_their_thresholds_the_larger_overlap_has_the_box() -> None:
    truth = [[0, 0, 10, 9], [0, 0, 10, 8.5]]
    for order in ([0, 1], [1, 0]):
        found = label_proposals(
            [[0, 0, 10, 10]],
            [truth[i] for i in order],
            [1 + i for i in order],
            positive_iou={1: 0.5, 2: 0.8},
        )
        assert found.labels.tolist() == [1]
        assert found.ious.tolist() == pytest.approx([0.9])


def test_crowds_make_ignored_what_lies_in_them_but_never_a_positive() -> None:
    boxes = [[40, 40, 44, 44], [0, 0, 10, 10], [58, 40, 62, 44], [90, 90, 95, 95]]
    crowd = [[0, 0, 60, 60]]
    found = label_proposals(boxes, TRUTH, [1, 2], ignore_boxes=crowd)
    assert found.labels.tolist() == [-1, 1, -1, 0]
    strict = label_proposals(boxes, TRUTH, [1, 2], ignore_boxes=crowd, ignore_cover=0.6)
    assert strict.labels.tolist() == [-1, 1, 0, 0]


def test_an_image_without_objects_is_background_and_one_without_boxes_is_empty() -> None:
    assert label_proposals([[0, 0, 1, 1]], [], []).labels.tolist() == [0]
    assert len(label_proposals([], TRUTH, [1, 2], take_best=True)) == 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"truth_classes": [0, 1]}, DataError, "`truth_classes` must be at least 1, got 0. Count"),
        ({"truth_classes": [1]}, ShapeError, r"`truth_classes` must have shape \(2,\), got \(1,\)"),
        ({"truth_classes": [1.0, 2.0]}, DataError, "`truth_classes` must be whole numbers"),
        ({"positive_iou": 1.5}, UsageError, r"`positive_iou` must lie in \[0, 1\]"),
        ({"positive_iou": {1: 0.5}}, UsageError, r"`positive_iou` must name class 2, got \[1\]"),
        ({"positive_iou": {1: 0.5, 2: 7}}, UsageError, r"`positive_iou` must lie in \[0, 1\]"),
        ({"negative_iou": 0.6}, UsageError, "`negative_iou` must be at most positive_iou = 0.5"),
        ({"ignore_cover": 0.0}, UsageError, r"`ignore_cover` must lie in \(0, 1\], got 0"),
        ({"image": -1}, DataError, "`images` must be >= 0, got -1"),
        ({"boxes": [[1, 1, 0, 0]]}, DataError, "`boxes` must have x2 >= x1"),
    ],
)
def test_wrong_arguments_are_named(changes, error, message: str) -> None:
    given_ = {"boxes": [[0, 0, 1, 1]], "truth_boxes": TRUTH, "truth_classes": [1, 2], **changes}
    with pytest.raises(error, match=message):
        label_proposals(**given_)


def several(n_images: int = 6) -> Proposals:
    rng = np.random.default_rng(3)
    parts = []
    for image in range(n_images):
        boxes, truth = make_boxes(30, rng), make_boxes(3, rng)
        parts.append(label_proposals(boxes, truth, [1, 2, 3], image=image))
    return Proposals.join(parts)


def test_parts_are_joined_counted_and_picked() -> None:
    found = several()
    assert len(found) == 180
    assert sum(found.counts.values()) == 180
    assert min(found.counts) == -1
    kept = found.without_ignored()
    assert len(kept) == 180 - found.counts[-1]
    assert -1 not in kept.counts
    np.testing.assert_array_equal(found[found.images == 2].boxes, found[60:90].boxes)
    assert len(found[[]]) == len(Proposals.join([])) == 0
    assert Proposals.join([]).counts == {}
    with pytest.raises(FrozenInstanceError):
        found.boxes = found.boxes


def test_parquet_gives_back_every_bit(tmp_path: Path) -> None:
    for found in (several(), Proposals.join([])):
        again = Proposals.load(found.save(tmp_path / "p.parquet"))
        for name in ("images", "boxes", "labels", "ious", "matches"):
            before, after = getattr(found, name), getattr(again, name)
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype


def test_a_foreign_or_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    with pytest.raises(DataError, match="must be a Parquet file, got nothing there"):
        Proposals.load(file)
    pl.DataFrame({"image": [1]}).write_parquet(file)
    with pytest.raises(DataError, match=r"must hold a equipoise\.Proposals"):
        Proposals.load(file)
    meta = pl.read_parquet_metadata(several().save(file))
    pl.read_parquet(file).drop("x2").write_parquet(file, metadata={"equipoise": meta["equipoise"]})
    with pytest.raises(DataError, match=r"must hold all fields .* none called 'x2'"):
        Proposals.load(file)


def test_splits_keep_the_boxes_of_an_image_together() -> None:
    kept = several(30).without_ignored()
    labels = kept.to_labels(["background", "a", "b", "c"])
    split = stratified_split(labels, fractions=(0.5, 0.25, 0.25), seed=0)
    owners = [set(kept.images[getattr(split, p)].tolist()) for p in ("train", "val", "test")]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    with pytest.raises(DataError, match=r"got \d+ ignored\. Leave them out by without_ignored"):
        several().to_labels()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": [0]}, ShapeError, r"`images` must have shape \(2,\)"),
        ({"labels": [0, -2]}, DataError, "`labels` must be >= -1, got -2"),
        ({"matches": [0, -2]}, DataError, "`matches` must be >= -1, got -2"),
        ({"ious": [0.5]}, ShapeError, r"`ious` must have shape \(2\)"),
        ({"ious": [0.5, 1.5]}, DataError, r"`ious` must lie in \[0, 1\]"),
        ({"ious": [0.5, np.nan]}, DataError, "`ious` must be finite"),
    ],
)
def test_proposals_that_do_not_fit_together_are_refused(changes, error, message: str) -> None:
    rows = {
        "images": [0, 1],
        "boxes": [[0, 0, 1, 1]] * 2,
        "labels": [0, 1],
        "ious": [0.0, 1.0],
        "matches": [-1, 0],
    }
    with pytest.raises(error, match=message):
        Proposals(**{**rows, **changes})
