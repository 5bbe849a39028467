"""Long-tailed subsets: shapes, counts and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import DataError, UsageError
from equipoise.splits import long_tail_counts, long_tail_split

C10 = {
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    20: [5000, 3584, 2569, 1842, 1320, 946, 678, 486, 348, 250],
    50: [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100],
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
    200: [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25],
}
C100 = {10: (19573, 50), 20: (15907, 25), 50: (12608, 10), 100: (10847, 5), 200: (9502, 2)}
TENTHS = [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]


@pytest.mark.parametrize("ratio", C10)
def test_cifar10_counts(ratio: int) -> None:
    assert long_tail_counts(10, n_max=5000, imbalance_ratio=ratio).tolist() == C10[ratio]


@pytest.mark.parametrize("ratio", C100)
def test_cifar100_counts(ratio: int) -> None:
    counts = long_tail_counts(100, n_max=500, imbalance_ratio=ratio)
    assert (int(counts.sum()), int(counts[-1])) == C100[ratio]


def test_step_loses_no_class() -> None:
    counts = long_tail_counts(10, n_max=5000, imbalance_ratio=100, shape="step")
    assert counts.sum() == 25250
    odd = long_tail_counts(5, n_max=100, imbalance_ratio=10, shape="step")
    assert odd.tolist() == [100, 100, 100, 10, 10]


def test_custom_ratios_divide_a_total_exactly() -> None:
    counts = long_tail_counts(10, total=1000, shape="custom", ratios=TENTHS)
    assert counts.tolist() == [190, 170, 150, 130, 110, 90, 70, 50, 30, 10]
    assert long_tail_counts(7, total=1000, imbalance_ratio=13).sum() == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imbalance_ratio": 10}, "exactly one of the two, got neither"),
        ({"imbalance_ratio": 10, "n_max": 9, "total": 9}, "got both"),
        ({"n_max": 9}, "with imbalance_ratio="),
        ({"n_max": 9, "shape": "custom"}, "with ratios="),
        ({"n_max": 9, "shape": "custom", "ratios": [1, 2]}, "3 numbers > 0"),
        ({"n_max": 9, "imbalance_ratio": 0.1}, "at least 1"),
        ({"n_max": 9, "shape": "linear", "imbalance_ratio": 2}, "be one of"),
    ],
)
def test_wrong_settings_are_answered(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        long_tail_counts(3, **options)


def test_a_class_without_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one row in each class, got 0 rows in class 1"):
        long_tail_counts(3, n_max=9, imbalance_ratio=100)


@pytest.fixture
def ten() -> Labels:
    return Labels.from_array(np.arange(3000) % 10, kind="multiclass")


def test_balanced_parts_leave_before_classes_are_thinned(ten: Labels) -> None:
    split = long_tail_split(
        ten, shape="custom", ratios=TENTHS, total=1000, test_per_class=80, val_per_class=20
    )
    assert split.proof["counts"]["train"] == [190, 170, 150, 130, 110, 90, 70, 50, 30, 10]
    assert split.proof["counts"]["test"] == [80] * 10
    assert split.proof["counts"]["val"] == [20] * 10
    assert split.proof["left_out"] == 3000 - 1000 - 1000


def test_test_rows_do_not_depend_on_the_tail(ten: Labels) -> None:
    mild = long_tail_split(ten, imbalance_ratio=2, test_per_class=50, seed=4)
    harsh = long_tail_split(ten, imbalance_ratio=50, test_per_class=50, seed=4)
    assert mild.test.tolist() == harsh.test.tolist()
    assert set(harsh.train.tolist()) < set(mild.train.tolist())


def test_order_says_who_is_the_head(ten: Labels) -> None:
    order = [str(i) for i in reversed(range(10))]
    counts = long_tail_split(ten, imbalance_ratio=10, order=order).proof["counts"]["train"]
    assert counts == sorted(counts)
    with pytest.raises(UsageError, match="each of the 10 classes once"):
        long_tail_split(ten, imbalance_ratio=10, order=[0, 0])
    with pytest.raises(UsageError, match="name classes, got 'x'"):
        long_tail_split(ten, imbalance_ratio=10, order=["x"])


def test_uneven_classes_give_the_largest_tail_they_can() -> None:
    labels = Labels.from_array([0] * 90 + [1] * 100 + [2] * 4, kind="multiclass")
    counts = long_tail_split(labels, imbalance_ratio=10).proof["counts"]["train"]
    assert counts == [40, 12, 4]


def test_too_few_rows_name_the_class(ten: Labels) -> None:
    with pytest.raises(DataError, match=r"`class 0` must have 400 rows for the training part.*300"):
        long_tail_split(ten, imbalance_ratio=10, n_max=400)
    with pytest.raises(DataError, match="for the balanced parts"):
        long_tail_split(ten, imbalance_ratio=10, test_per_class=301)


def test_labels_and_groups_are_refused() -> None:
    with pytest.raises(UsageError, match="several labels per row"):
        long_tail_split(Labels.from_array([[0, 1]], kind="multilabel"), imbalance_ratio=2)
    grouped = Labels.from_array([0, 1], kind="multiclass", groups=[1, 1])
    with pytest.raises(DataError, match="no groups"):
        long_tail_split(grouped, imbalance_ratio=2)
