"""Windows over mosaics of digits: their labels, their parts, and a small run of the comparison."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import mining_digits
from benchmarks.mining_digits import ARMS, run_arm

from equipoise.errors import UsageError
from equipoise.studies import digit_windows as module
from equipoise.studies.digit_windows import digit_windows


def test_windows_show_what_their_box_says() -> None:
    found = digit_windows("train", 3)
    boxes = found.proposals.boxes.astype(int)
    for i in range(0, len(boxes), 97):
        x1, y1, x2, y2 = boxes[i]
        image = found.images[found.proposals.images[i]]
        np.testing.assert_array_equal(found.pixels[i], image[y1:y2, x1:x2])


def test_labels_are_those_of_a_slow_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    truths = []
    plain = module._mosaic

    def noted(*given):
        image, boxes = plain(*given)
        truths.append(boxes)
        return image, boxes

    monkeypatch.setattr(module, "_mosaic", noted)
    found = digit_windows("train", 4, share=0.2)
    assert sum(map(len, truths)) > 4
    for label, box, image in zip(
        found.proposals.labels, found.proposals.boxes, found.proposals.images, strict=True
    ):
        best = 0.0
        for x1, y1, x2, y2 in truths[image]:
            wide = min(box[2], x2) - max(box[0], x1)
            high = min(box[3], y2) - max(box[1], y1)
            shared = max(wide, 0) * max(high, 0)
            best = max(best, shared / (128 - shared))
        assert (best >= 0.5) if label else (best < 0.3)
    assert found.has_digit.tolist() == [len(t) > 0 for t in truths]


def test_no_scan_is_in_two_parts_and_the_test_part_stays() -> None:
    target = module.scans()[1]
    for seed in (0, 1):
        parts = [module._deal(target, part, seed) for part in ("train", "val", "test")]
        rows = np.concatenate(parts)
        assert np.unique(rows).size == rows.size == target.size
        for digit in range(10):
            shares = [float((target[p] == digit).sum()) / (target == digit).sum() for p in parts]
            assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.01)
    one, two = (digit_windows("test", 2, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    one, two = (digit_windows("train", 2, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one.images, two.images)
    assert one.labels.groups[0] == "train 0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"part": "tset"}, "Did you mean `test`"),
        ({"images": 0}, "`images` must be at least 1"),
        ({"digit": 10}, r"`digit` must lie in \[0, 9\]"),
        ({"share": 1.0}, r"`share` must lie in \(0, 1\)"),
    ],
)
def test_wrong_use_is_named(given, message) -> None:
    with pytest.raises(UsageError, match=message):
        digit_windows(**{"part": "val", "images": 2, **given})


def test_a_small_run_of_every_arm() -> None:
    for arm in ARMS:
        outcome, mined = run_arm(arm, 0, 30, 20, 60)
        positives = mined.training.counts["positive"]
        others = len(mined.training) - positives
        if arm.name.startswith("random"):
            assert others == int(arm.name[-1]) * positives
        elif "all" in arm.name:
            assert others == mined.pool.n_negative
        else:
            assert outcome.trainings == mining_digits.ROUNDS + 1
        assert 0 < outcome.windows.value <= 1
        assert 0 < outcome.mosaics.value <= 1


@pytest.mark.slow
def test_hard_negatives_say_more_than_those_drawn_at_random() -> None:
    arms = {arm.name: arm for arm in ARMS}
    found = [run_arm(arms[name], 0, 60, 40, 600)[0].windows.value
             for name in ("random 1:3", "mined, unweighted")]  # fmt: skip
    # On 150 mosaics and 5 seeds it is 0.29; here there is one seed and little to learn from.
    assert found[1] > found[0] + 0.05


def test_precision_is_read_where_recall_is_enough() -> None:
    truth = np.array([1, 0, 1, 1, 0, 1, 1, 0])
    scores = np.arange(8, 0, -1.0)
    # 4 of 5 positives are found with 6 rows, 5 with 7: 4 / 6 and 5 / 7.
    assert mining_digits.precision_at(truth, scores) == pytest.approx(5 / 7)
