"""Resamplers that repeat and leave out rows, against slow loops from the papers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from resample_oracles import (
    skewed_labels,
    slow_irlbl,
    slow_mean_ir,
    slow_ml_ros,
    slow_shares,
    train_of,
)
from scipy.stats import chisquare

from equipoise._core.rng import generator
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.sampling.resample import (
    lp_ros,
    lp_rus,
    ml_ros,
    ml_rus,
    random_oversample,
    random_undersample,
    repeat_factor_oversample,
    resample_to_sizes,
    undersample_majority_rows,
)
from equipoise.sampling.resample.labelsets import _share_out

CLASSES = np.repeat([0, 1, 2, 4], [50, 20, 7, 1])


def test_oversampling_reaches_the_ratio_and_repeats_evenly() -> None:
    train = train_of(CLASSES)
    assert random_oversample(train).labels.counts.tolist() == [50, 50, 50, 0, 50]
    half = random_oversample(train, ratio=0.5)
    assert half.labels.counts.tolist() == [50, 25, 25, 0, 25]
    times = np.bincount(half.rows, minlength=len(CLASSES))
    for c in np.unique(CLASSES):
        assert np.ptp(times[c == CLASSES]) <= 1
    capped = random_oversample(train, max_repeat=3)
    assert capped.labels.counts.tolist() == [50, 50, 21, 0, 3]
    assert capped.copies.max() == 2


def test_undersampling_goes_down_to_the_ratio() -> None:
    train = train_of(CLASSES[:-1])
    assert random_undersample(train).labels.counts.tolist() == [7, 7, 7]
    assert random_undersample(train, ratio=0.5).labels.counts.tolist() == [14, 14, 7]
    assert (random_undersample(train).copies == 0).all()


def test_sizes_are_met_without_replacement_as_far_as_that_goes() -> None:
    train = train_of(CLASSES[:-1], names=["a", "b", "c"])
    after = resample_to_sizes(train, {"a": 10, "c": 17})
    assert after.labels.counts.tolist() == [10, 20, 17]
    times = np.bincount(after.rows, minlength=77)
    assert set(times[:50]) == {0, 1}
    assert sorted(times[70:]) == [2, 2, 2, 2, 3, 3, 3]
    with pytest.raises(UsageError, match="`sizes` must name classes, got 'd'"):
        resample_to_sizes(train, {"d": 1})
    with pytest.raises(UsageError, match="whole number >= 0, got -1"):
        resample_to_sizes(train, {"a": -1})
    empty = train_of([0, 0, 2, 2], names=["a", "b", "c"])
    with pytest.raises(DataError, match="`class b` must have training rows, got none"):
        resample_to_sizes(empty, {"b": 3})
    with pytest.raises(DataError, match="leave at least one row"):
        resample_to_sizes(empty, {"a": 0, "c": 0})


def test_one_label_is_two_classes_and_unknown_rows_stay() -> None:
    y = np.array([0] * 10 + [1] * 3 + [-1] * 2)[:, None]
    after = random_oversample(train_of(y))
    assert after.labels.counts.tolist() == [10]
    assert (after.labels.values == -1).sum() == 2
    assert (random_undersample(train_of(y)).labels.values == -1).sum() == 2
    with pytest.raises(
        UsageError, match="hold classes, or one label, for random_oversample, got 5"
    ):
        random_oversample(train_of(skewed_labels()))


@pytest.mark.parametrize("ratio", [0, 1.5, -1])
def test_ratio_outside_its_range_is_named(ratio) -> None:
    for call in (random_oversample, random_undersample):
        with pytest.raises(UsageError, match=r"`ratio` must lie in \(0, 1\], got"):
            call(train_of(CLASSES), ratio=ratio)


def test_repeat_factors_are_exact_on_average() -> None:
    y = skewed_labels(2000)
    train = train_of(y)
    f = y.mean(0)
    slow = [max([1.0, *(np.sqrt(0.5 / f[c]) for c in range(5) if row[c])]) for row in y]
    total = np.zeros(len(y))
    for seed in range(200):
        total += np.bincount(repeat_factor_oversample(train, threshold=0.5, seed=seed).rows)
    assert total.sum() / 200 == pytest.approx(sum(slow), rel=2e-3)
    assert np.abs(total / 200 - slow).max() < 0.2
    capped = repeat_factor_oversample(train, threshold=0.5, max_repeat=2)
    assert capped.copies.max() == 1


def test_repeat_factors_of_classes_and_unknown_entries() -> None:
    after = repeat_factor_oversample(train_of([0] * 15 + [1]), threshold=0.25)
    assert after.labels.counts.tolist() == [15, 2]
    hot = np.array([[-1, 1]] * 8 + [[0, 1]] * 7 + [[1, 1]])
    known = repeat_factor_oversample(train_of(hot), threshold=0.5)
    assert known.labels.counts.tolist() == [2, 17]  # one of 8 known rows: sqrt(0.5 / 0.125) = 2
    with pytest.warns(NoEffectWarning, match="no label is rarer than"):
        repeat_factor_oversample(train_of([0, 1]), threshold=0.1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 2.0])
def test_ml_ros_is_the_paper_s_loop(seed: int, fraction: float) -> None:
    y = skewed_labels(seed=seed)
    luck = generator(seed, "resample", "ml_ros").random(int(len(y) * fraction))
    expected = np.bincount(slow_ml_ros(y, fraction, luck), minlength=len(y)) + 1
    after = ml_ros(train_of(y), fraction=fraction, seed=seed)
    assert (np.bincount(after.rows, minlength=len(y)) == expected).all()
    assert after.settings["clones"] <= int(len(y) * fraction)


def test_ml_ros_closes_bags_at_mean_ir() -> None:
    y = skewed_labels(400)
    mean = slow_mean_ir(y.tolist())
    after = ml_ros(train_of(y), fraction=20.0)
    assert len(after) < 20 * 400
    ratios = slow_irlbl(after.labels.values.tolist())
    assert all(ratios[c] <= mean * 1.2 for c in (2, 3))
    assert after.settings["minority"] == ["2", "3"]


def test_ml_rus_removes_what_it_says_and_spares_minority_rows() -> None:
    y = skewed_labels()
    y[:5, 2] = -1
    rare = (y[:, [2, 3]] != 0).any(axis=1)
    after = ml_rus(train_of(y), fraction=0.25)
    assert len(after) == len(y) - 30
    assert set(np.flatnonzero(rare)) <= set(after.rows)
    most = ml_rus(train_of(y), fraction=0.99)
    assert sorted(most.rows) == np.flatnonzero(rare).tolist()
    kept = ml_rus(train_of(y), fraction=0.99, keep_empty=True)
    assert sorted(kept.rows) == np.flatnonzero(rare | (y.max(axis=1) < 1)).tolist()


def test_ml_rus_removes_evenly() -> None:
    y = np.array([[1, 0]] * 10 + [[0, 1]])
    gone = np.zeros(11)
    for seed in range(500):
        gone[np.setdiff1d(np.arange(11), ml_rus(train_of(y), fraction=0.4, seed=seed).rows)] += 1
    assert gone[10] == 0
    assert chisquare(gone[:10]).pvalue > 1e-3


def test_majority_rows_are_left_out_down_to_a_size() -> None:
    y = skewed_labels()
    after = undersample_majority_rows(train_of(y), n_rows=60)
    assert len(after) == 60
    assert (after.labels.counts[2:] == y.sum(0)[2:]).all()
    named = undersample_majority_rows(train_of(y), n_rows=90, minority=["1"])
    assert named.labels.counts[1] == y[:, 1].sum()
    with pytest.raises(DataError, match=r"but only .* of 120 rows hold no minority label"):
        undersample_majority_rows(train_of(y), n_rows=5)
    with pytest.raises(UsageError, match="`minority` must name labels, got '9'"):
        undersample_majority_rows(train_of(y), n_rows=60, minority=["9"])
    with pytest.warns(NoEffectWarning, match="no more rows than"):
        undersample_majority_rows(train_of(y), n_rows=120)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(0, 200))
def test_shares_are_those_of_handing_out_in_turn(room: list[int], budget: int) -> None:
    fast = _share_out(np.asarray(room), budget)
    slow = slow_shares(room, budget)
    assert fast.sum() == sum(slow)
    assert (fast <= room).all()
    assert np.abs(fast - slow).max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_label_sets_move_towards_their_mean_size(seed: int) -> None:
    y = skewed_labels(200, seed=seed)
    sets, before = np.unique(y, axis=0, return_counts=True)
    mean = before.mean()

    def sizes(after) -> np.ndarray:
        return np.array([(after.labels.values == s).all(axis=1).sum() for s in sets])

    grown = sizes(lp_ros(train_of(y), fraction=0.2, seed=seed))
    room = np.where(before < mean, np.floor(mean - before), 0).astype(int)
    assert (grown - before).sum() == min(40, room.sum())
    assert (grown[before >= mean] == before[before >= mean]).all()
    assert (grown - before <= room).all()
    shrunk = sizes(lp_rus(train_of(y), fraction=0.2, seed=seed))
    spare = np.where(before > mean, np.floor(before - mean), 0).astype(int)
    assert (before - shrunk).sum() == min(40, spare.sum())
    assert (before - shrunk <= spare).all()


def test_unknown_entries_stay_unknown_in_clones() -> None:
    y = np.array([[1, -1, 0]] * 9 + [[0, 0, 1]])
    for after in (
        ml_ros(train_of(y), fraction=0.5),
        lp_ros(train_of(y), fraction=0.5),
        lp_rus(train_of(y), fraction=0.2),
    ):
        assert (after.labels.values == y[after.rows]).all()


def test_nothing_to_do_is_said() -> None:
    even = np.eye(3, dtype=int).repeat(4, axis=0)
    for call in (ml_ros, ml_rus):
        with pytest.warns(NoEffectWarning, match=f"{call.__name__} changes nothing here: no label"):
            assert len(call(train_of(even))) == 12
    for call in (lp_ros, lp_rus):
        with pytest.warns(NoEffectWarning, match="all label sets are equally frequent"):
            assert len(call(train_of(even))) == 12
    with pytest.warns(NoEffectWarning, match="every class has the size"):
        random_oversample(train_of([0, 1]))


def test_classes_and_fractions_that_do_not_fit_are_named() -> None:
    with pytest.raises(UsageError, match=r"hold labels for ml_ros, got classes\. Use rand"):
        ml_ros(train_of(CLASSES))
    with pytest.raises(UsageError, match="`fraction` must be > 0, got 0"):
        ml_ros(train_of(skewed_labels()), fraction=0)
    for call in (ml_rus, lp_rus):
        with pytest.raises(UsageError, match=r"`fraction` must lie in \(0, 1\), got 1.0"):
            call(train_of(skewed_labels()), fraction=1.0)
