"""Rows and groups that stand on both sides are found."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.artifacts import Labels, Split
from equipoise.errors import DataError, UsageError
from equipoise.splits import audit_split, row_hashes, stratified_split


def by_hand(train: list[int], val: list[int], test: list[int]) -> Split:
    n_rows = len(train) + len(val) + len(test)
    return Split.from_parts(train, val, test, n_rows=n_rows, seed=0, method="by hand")


def test_equal_rows_have_equal_hashes() -> None:
    rows = np.array([[0.0, np.nan], [-0.0, np.nan], [1.0, 0.0]])
    first, second, third = row_hashes(rows)
    assert first == second != third
    assert row_hashes([["a"], ["b"], ["a"]])[0] == row_hashes([["a"]])[0]
    with pytest.raises(DataError, match="array of numbers"):
        row_hashes(np.array([{}], dtype=object))


def test_groups_that_cross_are_counted_and_named() -> None:
    labels = Labels.from_array([0, 1] * 3, kind="multiclass")
    split = by_hand([0, 1, 2], [3], [4, 5])
    (found,) = [
        f
        for f in audit_split(split, labels, groups=["p", "p", "q", "q", "r", "r"])
        if f.code == "EQ201"
    ]
    assert found.severity == "error"
    assert found.evidence == {"crossing": 1, "rows": 2, "first": ["q"]}


def test_oversampling_before_the_split_is_recognised() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate(
        [rng.normal(size=(100, 3)), np.tile(rng.normal(size=(5, 3)), (20, 1))]
    )
    labels = Labels.from_array([0] * 100 + [1] * 100, kind="multiclass", names=["no", "yes"])
    found = {f.code: f for f in audit_split(stratified_split(labels), labels, features=features)}
    assert set(found) == {"EQ202", "EQ204"}
    assert found["EQ204"].evidence["looks_oversampled"] is True
    assert "positives of 'yes' it is 100.0%" in found["EQ204"].message
    assert found["EQ202"].evidence["contents"] == 5


def test_copies_kept_together_do_not_cross() -> None:
    features = np.repeat(np.arange(60.0), 2)[:, None]
    labels = Labels.from_array(np.repeat([0, 1, 0], 40), kind="multiclass")
    hashes = row_hashes(features)
    split = stratified_split(labels, groups=hashes.astype(str))
    found = [f.code for f in audit_split(split, labels, hashes=hashes)]
    assert found == ["EQ204"]


def test_missing_labels_are_listed_by_part() -> None:
    labels = Labels.from_array([0, 0, 0, 1, 1], kind="multiclass")
    (found,) = audit_split(by_hand([2, 3, 4], [], [0, 1]), labels)
    assert (found.code, found.evidence["missing"]) == ("EQ203", {"test": ["1"]})


def test_what_does_not_fit_is_refused() -> None:
    labels = Labels.from_array([0, 1], kind="multiclass")
    with pytest.raises(DataError, match="of the 2 labelled rows, got 3"):
        audit_split(by_hand([0], [1], [2]), labels)
    with pytest.raises(UsageError, match="not be given both"):
        audit_split(by_hand([0], [1], []), labels, features=[[1], [2]], hashes=[1, 2])
    with pytest.raises(DataError, match="One entry per labelled row"):
        audit_split(by_hand([0], [1], []), labels, features=[[1]])
