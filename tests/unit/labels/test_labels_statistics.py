"""Statistics of labels against their definitions."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from math import exp, log

import numpy as np
import pytest

import equipoise.labels
from equipoise.artifacts import Labels
from equipoise.errors import DataError, UsageError
from equipoise.labels import cooccurrence, counts_from, frequency_groups, label_statistics, lift
from equipoise.splits import long_tail_counts

FOUR = {"A": 19000, "B": 65000, "C": 38000, "D": 105000}


def slow_statistics(values: np.ndarray) -> dict[str, float]:
    rows, labels = values.shape
    positives = [sum(int(values[i, j] == 1) for i in range(rows)) for j in range(labels)]
    ratios = [max(positives) / p for p in positives if p]
    sets = {tuple(int(v == 1) for v in row) for row in values}
    bare = sum(all(v == 0 for v in row) for row in values)
    return {
        "label_cardinality": sum(positives) / rows,
        "label_density": sum(positives) / rows / labels,
        "MeanIR": sum(ratios) / len(ratios),
        "distinct_labelsets": len(sets),
        "share_without_labels": bare / rows,
    }


def test_multi_label_statistics_match_a_loop(rng: np.random.Generator) -> None:
    values = (rng.random((300, 7)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.0]).astype(np.int8)
    found = label_statistics(Labels.from_array(values, kind="multilabel"))
    for name, value in slow_statistics(values).items():
        assert getattr(found, name) == pytest.approx(value), name
    assert found.empty == ("6",)
    assert found.IRLbl is not None
    assert np.isnan(found.IRLbl[6])


def test_class_statistics_match_their_definitions() -> None:
    found = label_statistics(Labels.from_array([0] * 6 + [1] * 3 + [2], kind="multiclass"))
    entropy = -(0.6 * log(0.6) + 0.3 * log(0.3) + 0.1 * log(0.1))
    assert found.effective_classes == pytest.approx(exp(entropy))
    assert found.imbalance_ratio == 6
    assert found.majority_share == 0.6
    assert found.MeanIR is None


def test_four_labels_in_224000_rows() -> None:
    found = label_statistics(FOUR, n_rows=224000)
    assert found.label_cardinality == pytest.approx(1.01, abs=0.005)
    assert found.MeanIR == pytest.approx(2.73, abs=0.005)
    assert found.to_dict()["CVIR"] == pytest.approx(0.735, abs=0.0005)
    assert found.IRLbl is not None
    assert found.IRLbl.round(1).tolist() == [5.5, 1.6, 2.8, 1.0]
    assert found.distinct_labelsets is None
    assert found.to_dict()["n_rows"] == 224000


def test_unknown_entries_count_neither_way() -> None:
    labels = Labels.from_array([[1, -1], [0, -1], [0, 1], [0, 0]], kind="multilabel")
    found = label_statistics(labels)
    assert found.label_cardinality == pytest.approx(0.25 + 0.5)
    assert found.neg_pos_ratio.tolist() == [3.0, 1.0]
    assert found.share_without_labels == 0.25


def test_occurrences_alone_give_ranges() -> None:
    counts = counts_from(Counter({"a": 30, "b": 50, "c": 0}))
    assert counts.n_rows_range == (50, 80)
    low, high = counts.prevalence_range
    assert low.tolist() == [30 / 80, 50 / 80, 0]
    assert high.tolist() == [30 / 50, 1.0, 0]
    found = label_statistics(counts)
    assert found.label_cardinality is None
    assert found.label_cardinality_range == (1.0, 1.6)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ({}, {}, "at least one label"),
        ({"a": -1}, {}, "whole numbers >= 0, got -1 for 'a'"),
        ({"a": 1.5}, {}, "whole numbers"),
        ({"a": 0}, {}, "at least one positive"),
        ({"a": 9}, {"n_rows": 5}, "at least the largest count = 9"),
        ({"a": 9, "b": 1}, {"n_rows": 12, "kind": "multiclass"}, "equal the sum"),
        ({"a": 9}, {"kind": "multiclass"}, "at least two classes"),
    ],
)
def test_impossible_counts_are_refused(counts: dict, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        counts_from(counts, **options)


def test_counts_of_labels_cannot_be_contradicted() -> None:
    labels = Labels.from_array([0, 1], kind="multiclass")
    assert counts_from(labels).n_rows == 2
    assert counts_from(counts_from(labels)).n_rows == 2
    with pytest.raises(UsageError, match="agree with the labels"):
        counts_from(labels, n_rows=3)


@pytest.mark.parametrize(
    ("num_classes", "n_max", "ratio", "sizes"),
    [
        (100, 500, 100, [35, 35, 30]),
        (100, 500, 50, [41, 41, 18]),
        (100, 500, 10, [69, 31, 0]),
        (10, 5000, 100, [8, 2, 0]),
    ],
)
def test_groups_of_long_tailed_cifar(
    num_classes: int, n_max: int, ratio: float, sizes: list[int]
) -> None:
    groups = frequency_groups(long_tail_counts(num_classes, n_max=n_max, imbalance_ratio=ratio))
    assert [len(groups[name]) for name in ("head", "medium", "tail")] == sizes


def test_terciles_partition_by_size() -> None:
    groups = frequency_groups([5, 1, 9, 9], by="terciles")
    assert {k: v.tolist() for k, v in groups.items()} == {
        "head": [2, 3],
        "medium": [0],
        "tail": [1],
    }
    with pytest.raises(UsageError, match="at most `head`"):
        frequency_groups([1, 2], head=5, tail=6)
    with pytest.raises(DataError, match="numbers >= 0"):
        frequency_groups([-1])


def test_pairs_match_a_loop(rng: np.random.Generator) -> None:
    values = rng.choice([-1, 0, 1], size=(80, 4), p=[0.2, 0.5, 0.3]).astype(np.int8)
    labels = Labels.from_array(values, kind="multilabel")
    together, ratio = cooccurrence(labels), lift(labels)
    for j in range(4):
        for k in range(4):
            both = (values[:, j] == 1) & (values[:, k] == 1)
            rows = values[(values[:, j] != -1) & (values[:, k] != -1)]
            expected = (rows[:, j] == 1).mean() * (rows[:, k] == 1).mean()
            assert together[j, k] == both.sum()
            assert ratio[j, k] == pytest.approx(both.sum() / len(rows) / expected)


def test_lift_of_an_empty_label_is_not_estimable() -> None:
    ratio = lift(Labels.from_array([[1, 0], [0, 0]], kind="multilabel"))
    assert np.isnan(ratio[0, 1])
    assert ratio[0, 0] == 2


def test_the_face_is_lazy_and_complete() -> None:
    assert set(equipoise.labels.__all__) <= set(dir(equipoise.labels))
    for name in equipoise.labels.__all__:
        assert callable(getattr(equipoise.labels, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        equipoise.labels.nothing  # noqa: B018
    code = (
        "import sys, equipoise.labels, equipoise.splits, equipoise.diagnosis; "
        "print([m for m in ('torch', 'polars', 'pandas', 'lightning') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
