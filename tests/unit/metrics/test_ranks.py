"""Positives ranked among negatives: equal to the sweep, in any dtype, with gaps and threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from test_metric_sweep import rows

from equipoise.errors import DataError, ShapeError
from equipoise.metrics import (
    _columns,
    average_precision,
    brier_score,
    measure_labels,
    partial_roc_auc,
    precision_at_top,
    ranks,
    recall_at_fpr,
    roc_auc,
    stratified_brier,
)
from equipoise.metrics.ranks import rank_labels, rank_positives
from equipoise.metrics.sweep import Sweep, sweep


@given(rows())
def test_ranks_say_what_the_sweep_says(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    found, points = rank_positives(y, s), sweep(y, s)
    assert isinstance(points, Sweep)
    for beta in (0.5, 1.0, 2.0):
        assert found.best_f_beta(beta) == pytest.approx(points.best_f_beta(beta), nan_ok=True)
    assert found.average_precision == pytest.approx(
        points.average_precision, abs=1e-12, nan_ok=True
    )
    assert found.roc_auc == pytest.approx(points.roc_auc, abs=1e-12, nan_ok=True)
    assert found.cell_sizes.sum() == (y == 0).sum()
    known = y >= 0
    cells = found.cells(s[known])
    assert np.array_equal(
        np.bincount(cells[y[known] == 0], minlength=found.cell_sizes.size), found.cell_sizes
    )


@given(rows())
def test_the_merge_counts_what_the_search_counts(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    score, every = np.unique(s[y == 1]), np.sort(s[y >= 0])
    expected = np.searchsorted(every, score)
    for dense in (0.0, 2.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranks, "DENSE", dense)
            assert np.array_equal(ranks._count_below(score, every), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64])
def test_all_at_once_is_one_by_one(dtype: type, rng: np.random.Generator) -> None:
    y = rng.integers(-1, 2, (300, 9)).astype(np.int8)
    y[:, 3], y[:, 4] = 0, 1
    y[:, 5] = -1
    s = rng.integers(0, 2, y.shape).astype(dtype)
    if dtype is not np.int64:
        s = rng.random(y.shape).astype(dtype)
    found = measure_labels(y, s, probabilities=True)
    wide = s.astype(np.float64)
    exact = {"rtol": 0, "atol": 1e-12}
    np.testing.assert_allclose(found.average_precision, average_precision(y, wide), **exact)
    np.testing.assert_allclose(found.roc_auc, roc_auc(y, wide), **exact)
    np.testing.assert_allclose(found.brier, brier_score(y, wide), **exact)
    for ours, theirs in zip(
        (found.brier_positives, found.brier_negatives), stratified_brier(y, wide), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, **exact)
    assert np.array_equal(found.n_positive, (y == 1).sum(axis=0))
    for column, threshold in enumerate(found.threshold):
        flags, truth = wide[:, column] >= threshold, y[:, column]
        tp, fp = (flags & (truth == 1)).sum(), (flags & (truth == 0)).sum()
        if found.n_positive[column]:
            best = 2 * tp / (tp + fp + found.n_positive[column])
            assert found.best_f_beta[column] == pytest.approx(best, abs=1e-12)
        else:
            assert np.isnan(found.best_f_beta[column])
            assert threshold == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_are_ranked_as_one_by_one(dtype: type, rng: np.random.Generator) -> None:
    y, s = rng.integers(-1, 2, (80, 5)), rng.integers(0, 9, (80, 5)).astype(dtype)
    found = rank_labels(y, s)
    assert len(found) == 5
    for column, ranks_of_one in enumerate(found):
        alone = rank_positives(y[:, column], s[:, column])
        for name in ("score", "positives", "above", "tied", "lower", "n_negative"):
            np.testing.assert_array_equal(getattr(ranks_of_one, name), getattr(alone, name))
    assert len(rank_labels(y[:, 0], s[:, 0])) == 1


def test_one_ranking_is_of_one_label() -> None:
    with pytest.raises(ShapeError, match="must have 1 dimension"):
        rank_positives([[0, 1], [1, 0]], [[0.1, 0.2], [0.3, 0.4]])


def test_threads_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    y, s = rng.integers(0, 2, (500, 11)), rng.random((500, 11)).astype(np.float32)
    alone = measure_labels(y, s, probabilities=True)
    monkeypatch.setattr(_columns, "LARGE", 1)
    together = measure_labels(y, s, probabilities=True)
    assert np.array_equal(alone.average_precision, together.average_precision)
    assert np.array_equal(alone.threshold, together.threshold)


def test_the_input_is_left_as_it_was(rng: np.random.Generator) -> None:
    for width in (1, 3):
        y, s = rng.integers(0, 2, (50, width)), rng.random((50, width))
        before = y.copy(), s.copy()
        measure_labels(y, s, probabilities=True)
        measure_labels(y[:, 0], s[:, 0], probabilities=True)
        assert np.array_equal(y, before[0])
        assert np.array_equal(s, before[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("label", [0, 1, -1])
def test_a_score_that_is_not_finite_is_found_wherever_it_is(bad: float, label: int) -> None:
    y = np.array([[0, 1], [1, 0], [label, 1]])
    s = np.array([[0.1, 0.2], [0.3, 0.4], [bad, 0.5]])
    with pytest.raises(DataError, match=r"1 NaN or infinite values \(first: row 2, column 0\)"):
        measure_labels(y, s, probabilities=False)


def test_logits_are_no_probabilities() -> None:
    with pytest.raises(DataError, match=r"be probabilities in \[0, 1\], got -1 to 2"):
        measure_labels([0, 1], [-1.0, 2.0], probabilities=True)
    assert np.isnan(measure_labels([0, 1], [-1.0, 2.0], probabilities=False).brier).all()


def slow_top(y: np.ndarray, s: np.ndarray, fraction: float) -> float:
    """Mean precision of the top rows over all orders of tied rows, by their expectation."""
    known = y >= 0
    y, s = y[known], s[known]
    rows_looked_at = int(np.ceil(fraction * y.size - 1e-9))
    left, total = rows_looked_at, 0.0
    for cut in sorted(set(s.tolist()), reverse=True):
        tied = s == cut
        take = min(left, int(tied.sum()))
        total += take * y[tied].mean()
        left -= take
    return total / rows_looked_at


@given(rows(unknown=False))
def test_the_region_metrics_by_a_loop(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    negatives = max(int((y == 0).sum()), 1)
    for limit in (0.1, 0.5, 0.9):
        cuts = [c for c in s.tolist() if ((s >= c) & (y == 0)).sum() <= limit * negatives]
        recalls = [((s >= c) & (y == 1)).sum() / max((y == 1).sum(), 1) for c in cuts]
        expected = max(recalls, default=0.0)
        found = recall_at_fpr(y, s, fpr=limit)
        if (y == 1).any() and (y == 0).any():
            assert found == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(found)
        if (y == 1).any():
            assert precision_at_top(y, s, fraction=limit) == pytest.approx(slow_top(y, s, limit))


def test_regions_of_labels_that_cannot_be_judged() -> None:
    y, s = np.zeros(4, dtype=int), np.arange(4.0)
    assert np.isnan(partial_roc_auc(y, s, max_fpr=0.1))
    assert np.isnan(recall_at_fpr(y, s, fpr=0.1))
    assert np.isnan(precision_at_top(y, s, fraction=0.5))
