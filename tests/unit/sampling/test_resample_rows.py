"""Training rows in, resampled rows out, and no way from there into a split."""

from __future__ import annotations

import numpy as np
import pytest
from resample_oracles import skewed_labels, train_of

from equipoise.artifacts import Labels, Resampled, Split, TrainingRows
from equipoise.artifacts.resampled import ResampledLabels
from equipoise.errors import DataError, LeakageError, ShapeError
from equipoise.sampling.resample import (
    lp_ros,
    lp_rus,
    ml_ros,
    ml_rus,
    mlsmote,
    mlsol,
    random_oversample,
    random_undersample,
    repeat_factor_oversample,
    resample_to_sizes,
    smote,
    undersample_majority_rows,
)
from equipoise.splits import (
    long_tail_split,
    redraw_validation,
    stratified_kfold,
    stratified_split,
)

CLASSES = np.repeat([0, 1, 2], [40, 15, 5])
X = np.random.default_rng(1).normal(size=(120, 4))
CALLS = {
    "random_oversample": random_oversample,
    "random_undersample": random_undersample,
    "resample_to_sizes": lambda train: resample_to_sizes(train, {}),
    "repeat_factor_oversample": lambda train: repeat_factor_oversample(train, threshold=0.1),
    "ml_ros": ml_ros,
    "ml_rus": ml_rus,
    "undersample_majority_rows": lambda train: undersample_majority_rows(train, n_rows=9),
    "lp_ros": lp_ros,
    "lp_rus": lp_rus,
    "smote": lambda train: smote(train, X[:60]),
    "mlsmote": lambda train: mlsmote(train, X),
    "mlsol": lambda train: mlsol(train, X),
}


@pytest.mark.parametrize("name", CALLS)
def test_labels_that_were_not_split_are_refused(name: str) -> None:
    labels = Labels.from_array(CLASSES, kind="multiclass")
    with pytest.raises(LeakageError, match=r"`train` must be TrainingRows, got Labels\. Split fir"):
        CALLS[name](labels)
    with pytest.raises(LeakageError, match="got ndarray"):
        CALLS[name](CLASSES)


@pytest.mark.parametrize("name", CALLS)
def test_resampling_twice_is_refused(name: str) -> None:
    after = random_oversample(train_of(CLASSES))
    with pytest.raises(LeakageError, match="as they were collected, got resampled ones"):
        CALLS[name](after)


def test_splits_refuse_resampled_rows() -> None:
    after = random_oversample(train_of(CLASSES))
    split = stratified_split(Labels.from_array(CLASSES, kind="multiclass"))
    for given in (after, after.labels, after.labels[:50]):
        for call in (
            stratified_split,
            stratified_kfold,
            long_tail_split,
            lambda labels: redraw_validation(split, labels, seed=1),
            lambda labels: TrainingRows.of(labels, split),
            lambda labels: TrainingRows(labels, split.train, ""),
        ):
            with pytest.raises(LeakageError, match="Split first, then resample TrainingRows"):
                call(given)


def test_copies_stay_together_even_when_labels_are_written_and_read(tmp_path) -> None:
    after = random_oversample(train_of(CLASSES, np.arange(0, 60, 2)))
    read = Labels.load(after.labels.save(tmp_path / "labels.parquet"))
    split = stratified_split(read, fractions=(0.5, 0.25, 0.25), min_per_part=0)
    parts = [set(after.rows[getattr(split, p)]) for p in ("train", "val", "test")]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


def test_groups_are_those_of_the_source() -> None:
    labels = Labels.from_array([0, 0, 1, 0], kind="multiclass", groups=["a", "b", "c", "d"])
    split = Split.from_parts([0, 2, 3], [], [1], n_rows=4, seed=0, method="by hand")
    after = random_oversample(TrainingRows.of(labels, split))
    assert after.labels.groups is not None
    assert after.labels.groups.tolist() == ["a", "c", "d", "c"]


def test_training_rows_are_those_of_the_split() -> None:
    labels = Labels.from_array(CLASSES, kind="multiclass")
    split = stratified_split(labels, seed=3)
    train = TrainingRows.of(labels, split)
    assert (train.rows == split.train).all()
    assert len(train) == split.sizes["train"]
    assert train.split_fingerprint == split.fingerprint
    other = Labels.from_array(np.append(CLASSES, 0), kind="multiclass")
    with pytest.raises(DataError, match=r"be of the 61 rows, got 60\. Give the labels of the who"):
        TrainingRows.of(other, split)
    assert TrainingRows.of(
        Labels.from_array(2 - CLASSES, kind="multiclass"), split
    ).fingerprint != (train.fingerprint)


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        ([], DataError, "have rows to train on, got none"),
        ([0, 60], DataError, r"be positions in \[0, 60\), got 0 to 60"),
        ([0, 0], LeakageError, "hold each row once"),
    ],
)
def test_rows_by_hand_are_checked(rows, error, text) -> None:
    labels = Labels.from_array(CLASSES, kind="multiclass")
    with pytest.raises(error, match=text):
        TrainingRows(labels, np.asarray(rows, dtype=np.int64), "")


def test_lengths_must_belong_together() -> None:
    labels = ResampledLabels(np.array([0, 1, 1]), "multiclass", ("a", "b"))
    two, three = np.arange(2), np.arange(3)
    with pytest.raises(ShapeError, match=r"`copies` must have shape \(3\)"):
        Resampled(three, two, labels, "x", {}, 0, "")
    with pytest.raises(ShapeError, match=r"`labels` must have shape \(2\)"):
        Resampled(two, two, labels, "x", {}, 0, "")
    with pytest.raises(ShapeError, match=r"`seed_rows` must have shape \(1\)"):
        Resampled(two, two, labels, "x", {}, 0, "", np.zeros((1, 4)), three, three[:1])


def test_take_gives_features_of_all_rows() -> None:
    train = train_of(skewed_labels(), np.arange(20, 120))
    after = mlsmote(train, X)
    taken = after.take(X)
    assert taken.shape == (len(after), 4)
    assert (taken[:100] == X[20:]).all()
    assert after.features is not None
    assert (taken[100:] == after.features).all()
    assert (random_oversample(train_of(CLASSES)).take(X[:60].tolist())[:60] == X[:60]).all()
