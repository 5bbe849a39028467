"""Influence values are derivatives of the weighted metric; they sum to 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from slow_metrics import (
    slow_ap,
    slow_auc,
    slow_balanced_accuracy,
    slow_f_beta,
    slow_influence,
)
from test_metric_sweep import rows

from equipoise.metrics import (
    Influence,
    average_precision_influence,
    balanced_accuracy_influence,
    macro_influence,
    mean_over_folds,
    ratio_influence,
    roc_auc_influence,
)

PAIRS = [(average_precision_influence, slow_ap), (roc_auc_influence, slow_auc)]


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
@given(data=rows())
@settings(max_examples=25)
def test_influence_is_the_derivative(fast: object, slow: object, data: tuple) -> None:
    y, s = data
    found = fast(y, s)  # type: ignore[operator]
    np.testing.assert_allclose(found.rows, slow_influence(slow, y, s), rtol=0, atol=1e-7)
    assert found.value == pytest.approx(slow(y, s, np.ones(len(y))), abs=1e-12)  # type: ignore[operator]
    assert found.rows.sum() == pytest.approx(0, abs=1e-12)
    assert (found.rows[y < 0] == 0).all()


def f1_influence(y: np.ndarray, s: np.ndarray) -> Influence:
    yes, known, flag = y == 1, y >= 0, s >= 0
    return ratio_influence(2.0 * (yes & flag), 1.0 * yes + (flag & known))


@given(data=rows())
@settings(max_examples=25)
def test_f1_is_a_ratio(data: tuple) -> None:
    y, s = data
    slow = slow_influence(lambda y, s, w: slow_f_beta(y, s >= 0, w), y, s)
    np.testing.assert_allclose(f1_influence(y, s).rows, slow, rtol=0, atol=1e-7)


def test_balanced_accuracy(rng: np.random.Generator) -> None:
    y, predicted = rng.integers(0, 3, 20), rng.integers(0, 4, 20)
    found = balanced_accuracy_influence(y, predicted, 5)
    slow = slow_influence(slow_balanced_accuracy, y, predicted)
    np.testing.assert_allclose(found.rows, slow, rtol=0, atol=1e-8)
    assert found.value == pytest.approx(slow_balanced_accuracy(y, predicted, np.ones(20)))


def test_macro_and_differences_are_linear(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, (25, 3))
    one, two = rng.integers(0, 6, (2, 25, 3)).astype(float)

    def slow_macro(y: np.ndarray, s: np.ndarray, w: np.ndarray) -> float:
        return float(np.mean([slow_ap(y[:, c], s[:, c], w) for c in range(3)]))

    def fast_macro(s: np.ndarray) -> Influence:
        parts = [average_precision_influence(y[:, c], s[:, c]) for c in range(3)]
        return macro_influence(parts, 25)

    np.testing.assert_allclose(fast_macro(one).rows, slow_influence(slow_macro, y, one), atol=1e-8)
    gap = fast_macro(one) - fast_macro(two)
    slow = slow_influence(slow_macro, y, one) - slow_influence(slow_macro, y, two)
    np.testing.assert_allclose(gap.rows, slow, atol=1e-8)
    assert gap.value == fast_macro(one).value - fast_macro(two).value


def test_groups_are_summed_first(rng: np.random.Generator) -> None:
    y, s = rng.integers(0, 2, 30), rng.normal(size=30)
    groups = rng.integers(0, 7, 30) * 3  # codes with holes
    found = average_precision_influence(y, s)
    distinct = sorted(set(groups.tolist()))
    sums = [sum(found.rows[i] for i in range(30) if groups[i] == g) for g in distinct]
    k = len(distinct)
    slow = (sum(v * v for v in sums) * k / (k - 1)) ** 0.5
    assert found.standard_error(groups) == pytest.approx(slow)
    assert found.standard_error(np.arange(30)) == pytest.approx(found.standard_error())


def test_the_error_of_a_mean_is_the_textbook_one(rng: np.random.Generator) -> None:
    x = rng.normal(size=40)
    found = ratio_influence(x, np.ones(40))
    assert found.standard_error() == pytest.approx(x.std(ddof=1) / 40**0.5)


def test_undefined_parts_are_left_out_of_a_macro() -> None:
    y, s = np.array([[1, 0], [0, 0]]), np.array([[2.0, 1.0], [1.0, 2.0]])
    parts = [average_precision_influence(y[:, c], s[:, c]) for c in (0, 1)]
    assert macro_influence(parts, 2).value == 1.0
    nothing = macro_influence(parts[1:], 2)
    assert np.isnan(nothing.value)
    assert nothing.rows.tolist() == [0.0, 0.0]
    assert np.isnan(roc_auc_influence(y[:, 1], s[:, 1]).value)
    assert np.isnan(ratio_influence([0, 0], [0, 0]).value)


def folds_of(sizes: list[int], seed: int, negatives: int = 40) -> tuple:
    rng = np.random.default_rng(seed)
    y = np.concatenate(
        [np.r_[np.ones(p, dtype=int), np.zeros(negatives, dtype=int)] for p in sizes]
    )
    scores = rng.normal(size=y.size) + y
    ends = np.cumsum([p + negatives for p in sizes])
    places = [np.arange(end - p - negatives, end) for end, p in zip(ends, sizes, strict=True)]
    return y, scores, [(at, roc_auc_influence(y[at], scores[at])) for at in places]


def placements(y: np.ndarray, scores: np.ndarray, at: np.ndarray) -> np.ndarray:
    own, other = scores[at][y[at] == 1], scores[at][y[at] == 0]
    return (own[:, None] > other).mean(axis=1)


@pytest.mark.parametrize("sizes", [[3, 3, 3], [2, 5, 3, 1], [30, 31]])
def test_positives_of_folds_scatter_as_in_an_unbiased_variance(sizes: list[int]) -> None:
    """Oracle: pooled variance with one degree of freedom less per fold, over P_k, over F^2."""
    y, scores, folds = folds_of(sizes, 0)
    found = mean_over_folds(folds, y == 1)
    assert found.value == pytest.approx(np.mean([f.value for _, f in folds]))
    each = [placements(y, scores, at) for at, _ in folds]
    count = np.array(sizes, dtype=float)
    squares = np.array([((p - p.mean()) ** 2).sum() for p in each])
    if len(set(sizes)) == 1:
        pooled = squares.sum() / (count - 1).sum()
        want = (pooled / count).sum() / count.size**2
    else:  # squares count as they do in the sum, 1 / P_k^2
        factor = (1 / count).sum() / ((count - 1) / count**2).sum()
        want = factor * (squares / count**2).sum() / count.size**2
    assert np.square(found.rows[y == 1]).sum() == pytest.approx(want, rel=1e-12)
    plain = np.concatenate([f.rows for _, f in folds]) / len(folds)
    np.testing.assert_allclose(found.rows[y == 0], plain[y == 0], rtol=1e-12)


def test_single_positives_are_compared_over_folds() -> None:
    y, scores, folds = folds_of([1, 1, 1, 1], 1)
    found = mean_over_folds(folds, y == 1)
    each = np.concatenate([placements(y, scores, at) for at, _ in folds])
    assert np.square(found.rows[y == 1]).sum() == pytest.approx(each.var(ddof=1) / 4, rel=1e-12)


def test_errors_over_folds_are_right_on_average() -> None:
    """The mean squared error of a mean over folds of three positives is the mean of its square."""
    drawn = [folds_of([3] * 5, n) for n in range(600)]
    found = [mean_over_folds(folds, y == 1) for y, _, folds in drawn]
    squares = [mean.standard_error() ** 2 for mean in found]
    # A variance of 600 values scatters by sqrt(2 / 599) = 6 %; left as they are, squares are a
    # quarter lower.
    assert np.mean(squares) == pytest.approx(np.var([mean.value for mean in found]), rel=0.15)


def test_groups_count_as_one_positive_and_one_fold_stays_as_it_is() -> None:
    y, _, folds = folds_of([4, 4], 2)
    whole = np.arange(y.size)
    alone = mean_over_folds(folds[:1], y == 1)
    assert (alone.rows[folds[0][0]] == folds[0][1].rows).all()
    pairs = np.where(y == 1, whole // 2, whole + y.size)
    single, double = (mean_over_folds(folds, y == 1, g).rows[y == 1] for g in (whole, pairs))
    np.testing.assert_allclose(double / single, np.sqrt((2 / 1) / (4 / 3)))
    s = np.random.default_rng(3).normal(size=y.size)
    folds = [(at, average_precision_influence(y[at], s[at])) for at, _ in folds]
    assert mean_over_folds(folds, y == 1).rows.sum() == pytest.approx(0, abs=1e-12)
    assert np.isnan(mean_over_folds([], y == 1).value)
