"""The sampling report against slow counts and against draws."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp

from equipoise.artifacts import Labels
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.sampling.report import SamplingReport, sampling_report
from equipoise.sampling.weights import class_balanced_weights


def slow_pairs(hot: np.ndarray, w: np.ndarray) -> dict[tuple[int, int], tuple[float, float]]:
    """Share of rows with both labels, and their lift among rows where both are known."""
    found = {}
    for j, k in itertools.combinations(range(hot.shape[1]), 2):
        both = sum(w[i] for i in range(len(w)) if hot[i, j] == hot[i, k] == 1)
        known = [i for i in range(len(w)) if hot[i, j] >= 0 and hot[i, k] >= 0]
        one = sum(w[i] for i in known if hot[i, j] == 1)
        two = sum(w[i] for i in known if hot[i, k] == 1)
        mass = sum(w[i] for i in known)
        found[j, k] = (both / sum(w), both * mass / (one * two) if one * two else np.nan)
    return found


@given(
    hot=hnp.arrays(
        np.int8,
        st.tuples(st.integers(2, 25), st.integers(2, 4)),
        elements=st.sampled_from([0, 1, 1, -1]),
    ),
    seed=st.integers(0, 99),
    draws=st.integers(1, 100),
)
def test_equals_slow_counts(hot: np.ndarray, seed: int, draws: int) -> None:
    hot[0, 0] = 0  # where nothing is absent, -1 is warned of
    w = np.random.default_rng(seed).uniform(0.1, 2.0, len(hot))
    report = sampling_report(w, hot, num_samples=draws)
    p = w / w.sum()
    for k in range(hot.shape[1]):
        known = hot[:, k] >= 0
        if known.any():
            assert report.rates_after[k] == pytest.approx(p[hot[:, k] == 1].sum() / p[known].sum())
        else:
            assert np.isnan(report.rates_after[k])
    size = np.minimum((hot == 1).sum(1), 4)
    for s in range(5):
        assert report.sizes_before[s] == pytest.approx((size == s).mean())
        assert report.sizes_after[s] == pytest.approx(p[size == s].sum())
    assert report.coverage == pytest.approx(np.mean([1 - (1 - q) ** draws for q in p]))
    assert report.most_drawn_row == np.argmax(w)
    assert report.most_draws == pytest.approx(draws * p.max())
    assert report.max_weight == pytest.approx(w.max() / w.mean())
    assert report.effective_rows == pytest.approx(1 / (p**2).sum())


@given(seed=st.integers(0, 500))
def test_shift_of_pairs_equals_slow_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hot = rng.choice([0, 1, -1], p=[0.5, 0.4, 0.1], size=(20, 3))
    w = rng.uniform(0.1, 3.0, 20)
    before, after = slow_pairs(hot, np.ones(20)), slow_pairs(hot, w)
    change = {jk: abs(np.log(after[jk][1] / b[1])) for jk, b in before.items() if b[0] > 0}
    assume(change)
    shift = sampling_report(w, hot).pairs
    assert shift is not None
    worst = (int(shift.pair[0]), int(shift.pair[1]))
    assert change[worst] == pytest.approx(max(change.values()))
    assert (shift.share_before, shift.lift_before) == pytest.approx(before[worst])
    assert (shift.share_after, shift.lift_after) == pytest.approx(after[worst])
    assert shift.mean_lift_change == pytest.approx(np.exp(np.mean(list(change.values()))))
    assert (shift.pairs, shift.lost) == (len(change), 0)


def test_uniform_weights_change_nothing() -> None:
    hot = np.random.default_rng(0).integers(0, 2, (50, 3))
    report = sampling_report(np.full(50, 7.0), hot)
    np.testing.assert_allclose(report.rates_after, report.rates_before)
    np.testing.assert_allclose(report.sizes_after, report.sizes_before)
    np.testing.assert_allclose(report.pos_weight, 1.0)
    assert report.pairs is not None
    assert report.pairs.mean_lift_change == pytest.approx(1.0)
    assert report.ess_share == pytest.approx(1.0)
    assert report.coverage == pytest.approx(1 - (1 - 1 / 50) ** 50)


def test_draws_tend_to_the_expectation() -> None:
    rng = np.random.default_rng(0)
    hot = (rng.random((400, 3)) < [0.5, 0.2, 0.05]).astype(int)
    w = class_balanced_weights(hot)
    expected = sampling_report(w, hot, num_samples=100_000)
    rows = rng.choice(400, 100_000, p=w / w.sum())
    counted = SamplingReport.from_draws(rows, hot)
    # Four standard errors of a rate over 100,000 draws are below 0.007.
    np.testing.assert_allclose(counted.rates_after, expected.rates_after, atol=0.007)
    np.testing.assert_allclose(counted.sizes_after, expected.sizes_after, atol=0.007)
    assert counted.coverage == pytest.approx(expected.coverage, abs=0.01)
    assert counted.realised
    assert not expected.realised


def test_draws_are_counted() -> None:
    report = SamplingReport.from_draws([0, 0, 0, 2], [[1, 0], [0, 0], [0, 1]])
    assert (report.coverage, report.most_drawn_row, report.most_draws) == (2 / 3, 0, 3.0)
    assert report.rates_after == (0.75, 0.25)
    assert report.pairs is None
    assert "4 draws per epoch from 3 rows (drawn)" in report.text()


def test_pairs_never_drawn_are_counted_as_lost() -> None:
    report = sampling_report([0.0, 1.0, 1.0, 1.0], [[1, 1], [1, 0], [0, 1], [0, 0]])
    assert report.pairs is not None
    assert (report.pairs.lost, report.pairs.lift_after) == (1, 0.0)
    assert "pairs lost       1 of 1 are never drawn" in report.text()
    assert json.loads(json.dumps(report.to_dict()))["pairs"]["mean_lift_change"] is None


def test_classes_have_one_label_a_row() -> None:
    labels = Labels.from_array([0, 0, 0, 1], kind="multiclass", names=["cat", "fox", "owl"])
    report = sampling_report(class_balanced_weights(labels), labels)
    assert report.rates_after == pytest.approx((0.5, 0.5, 0.0))
    assert report.sizes_after == (0.0, 1.0, 0.0, 0.0, 0.0)
    assert report.rate_ratio == pytest.approx(1.0)
    record = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert record["pos_weight"][2] is None
    lines = report.text().splitlines()
    assert lines[2].split() == ["label", "before", "after", "as", "pos_weight"]
    assert lines[4].split() == ["fox", "0.250", "0.500", "3.00"]
    assert lines[5].split() == ["owl", "0.000", "0.000", "-"]


def test_a_single_row_is_always_drawn() -> None:
    report = sampling_report([0.0, 2.0], [[0], [1]])
    assert report.coverage == 0.5
    assert report.most_draws == 2.0


def test_wrong_input_is_named() -> None:
    with pytest.raises(ShapeError, match=r"`weights` must have shape \(2\), got \(3,\)"):
        sampling_report([1.0, 1.0, 1.0], [[0], [1]])
    with pytest.raises(UsageError, match="`num_samples` must be a whole number >= 1, got 0"):
        sampling_report([1.0, 1.0], [[0], [1]], num_samples=0)
    for rows, got in (([0, 2], "0 to 2"), ([], "none"), ([-1], "-1 to -1")):
        with pytest.raises(DataError, match=f"`rows` must be row indices 0 to 1, got {got}"):
            SamplingReport.from_draws(rows, [[0], [1]])
