"""One sort per label against loops, and the policy for labels that cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp
from slow_metrics import slow_ap, slow_auc, slow_f_beta

from equipoise.errors import DataError, ShapeError
from equipoise.metrics import average_precision, best_f_beta, f_beta, roc_auc
from equipoise.metrics.sweep import Sweep, halfway, sweep


@st.composite
def rows(draw: st.DrawFn, unknown: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores with many ties, at least one positive and one negative."""
    n = draw(st.integers(2, 14))
    y = draw(hnp.arrays(np.int8, n, elements=st.sampled_from([0, 1, -1] if unknown else [0, 1])))
    s = draw(hnp.arrays(np.float64, n, elements=st.integers(-3, 3).map(float)))
    assume((y == 1).any() and (y == 0).any())
    return y, s


@given(rows())
def test_ranking_metrics_are_those_of_the_loops(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    ones = np.ones(len(y))
    assert average_precision(y, s) == pytest.approx(slow_ap(y, s, ones), abs=1e-12)
    assert roc_auc(y, s) == pytest.approx(slow_auc(y, s, ones), abs=1e-12)


@given(rows(), st.floats(0.2, 3))
def test_best_f_beta_is_the_best_of_all_cuts(
    data: tuple[np.ndarray, np.ndarray], beta: float
) -> None:
    y, s = data
    known = y >= 0
    ones = np.ones(len(y))
    slow = max(slow_f_beta(y, s >= cut, ones, beta) for cut in set(s[known].tolist()))
    assert best_f_beta(y, s, beta=beta) == pytest.approx(slow, abs=1e-12)
    points = sweep(y, s)
    assert isinstance(points, Sweep)
    value, cut = points.best_f_beta(beta)
    assert f_beta(y, s >= cut, beta=beta)[0] == pytest.approx(value, abs=1e-12)


@given(rows())
def test_cuts_lie_between_distinct_scores(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    points = sweep(y, s)
    assert isinstance(points, Sweep)
    known = s[y >= 0]
    truth = y[y >= 0] == 1
    for index in range(-1, points.score.size):
        cut = points.cut_below(index)
        assert cut not in known or index == points.score.size - 1
        assert (known >= cut).sum() == (points.tp[index] + points.fp[index] if index >= 0 else 0)
        assert (truth & (known >= cut)).sum() == (points.tp[index] if index >= 0 else 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_infinity=False))
def test_halfway_parts_any_two_numbers(one: float, two: float) -> None:
    assume(one < two)
    cut = halfway(one, two)
    assert one < cut <= two


@given(rows(unknown=False), st.sampled_from([np.exp, np.arctan, lambda s: 3 * s - 7]))
def test_ranking_metrics_ignore_the_scale(
    data: tuple[np.ndarray, np.ndarray], scale: object
) -> None:
    y, s = data
    moved = scale(s)  # type: ignore[operator]
    assert average_precision(y, moved) == average_precision(y, s)
    assert roc_auc(y, moved) == roc_auc(y, s)


def test_all_tied_scores_know_the_prevalence_alone() -> None:
    y = np.array([1, 0, 0, 0])
    assert average_precision(y, np.zeros(4)) == 0.25
    assert roc_auc(y, np.zeros(4)) == 0.5


def test_labels_that_cannot_be_judged_are_nan() -> None:
    y = np.array([[0, 1, -1, 1], [0, 1, -1, 0], [-1, 1, -1, 1]])
    s = np.array([[1.0, 2.0, 3.0, 3.0], [2.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]])
    assert np.isnan(average_precision(y, s)).tolist() == [True, False, True, False]
    assert average_precision(y, s)[1] == 1.0
    assert np.isnan(roc_auc(y, s)).tolist() == [True, True, True, False]
    assert np.isnan(best_f_beta(y, s)).tolist() == [True, False, True, False]
    empty = sweep(y[:, 2], s[:, 2])
    assert isinstance(empty, Sweep)
    assert empty.best_f_beta()[1] == np.inf
    assert empty.cut_below(-1) == np.inf


def test_huge_scores_do_not_overflow() -> None:
    y, s = np.array([1, 0, 1]), np.array([1.7e308, -1.7e308, 5e-324])
    points = sweep(y, s)
    assert isinstance(points, Sweep)
    assert average_precision(y, s) == 1.0
    assert points.cut_below(1) < 0 < points.cut_below(0) < 1.7e308


@pytest.mark.parametrize(
    ("y", "s", "error", "text"),
    [
        ([0, 2], [0.1, 0.2], DataError, r"be 0, 1 or -1 \(unknown\), got 2.0"),
        ([0, 1], [0.1, np.nan], DataError, "1 NaN or infinite"),
        ([0, 1], [0.1], ShapeError, "One score per entry"),
        ([0, 1], ["a", "b"], DataError, "be numbers"),
        (["a", "b"], [0, 1], DataError, "be numbers"),
    ],
)
def test_bad_metric_input(y: object, s: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        average_precision(y, s)  # type: ignore[arg-type]


def test_several_labels_are_swept_one_by_one(rng: np.random.Generator) -> None:
    y, s = rng.integers(0, 2, (30, 3)), rng.normal(size=(30, 3))
    points = sweep(y, s)
    assert isinstance(points, list)
    for column, one in enumerate(points):
        found = average_precision(y[:, column], s[:, column])
        assert one.average_precision == pytest.approx(found, abs=1e-15)
        assert average_precision(y, s)[column] == found
