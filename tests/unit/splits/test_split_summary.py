"""What a split says of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.artifacts import Labels, Split
from equipoise.errors import DataError
from equipoise.splits import split_summary, stratified_kfold, stratified_split


def test_it_counts_what_a_loop_counts(rng: np.random.Generator) -> None:
    values = (rng.random((300, 3)) < [0.4, 0.1, 0.02]).astype(np.int8)
    values[rng.random(values.shape) < 0.1] = -1
    labels = Labels.from_array(values, kind="multilabel")
    folds = stratified_kfold(labels, folds=4, min_per_part=0)
    summary = split_summary(folds, labels)
    for k in range(3):
        whole = (values[:, k] == 1).sum() / (values[:, k] >= 0).sum()
        gaps = []
        for f, fold in enumerate(folds):
            here = values[fold.val, k]
            assert summary.counts[f][k] == (here == 1).sum()
            gaps.append(abs((here == 1).sum() / (here >= 0).sum() - whole))
        assert summary.rates[k] == pytest.approx(whole)
        assert summary.deviations[k] == pytest.approx(max(gaps))
    assert summary.mean_deviation == pytest.approx(np.mean(summary.deviations))
    assert sum(summary.rows) == 300


def test_missing_and_absent_labels_are_told_apart() -> None:
    values = np.zeros((30, 3), dtype=np.int8)
    values[:15, 0], values[0, 1] = 1, 1
    labels = Labels.from_array(values, kind="multilabel", names=["A", "once", "never"])
    summary = split_summary([stratified_split(labels)], labels)
    assert summary.missing == {"once": ("val", "test")}
    assert summary.absent == ("never",)


def test_crossing_groups_and_rows_left_out_are_counted() -> None:
    labels = Labels.from_array([0, 1, 0, 1], kind="multiclass", groups=[7, 7, 8, 8])
    split = Split.from_parts([0, 2], [1], [], n_rows=4, seed=0, method="by hand")
    summary = split_summary([split], labels)
    assert summary.groups == (2, 1)
    assert summary.left_out == 1
    assert summary.parts == ("train", "val")


def test_other_rows_are_refused() -> None:
    labels = Labels.from_array([0, 1, 0, 1], kind="multiclass")
    split = Split.from_parts([0], [1], [], n_rows=3, seed=0, method="by hand")
    for splits in ([], [split]):
        with pytest.raises(DataError, match="be of the 4 labelled rows"):
            split_summary(splits, labels)
