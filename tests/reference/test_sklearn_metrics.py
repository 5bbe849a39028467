"""Parity with scikit-learn to 1e-12, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle
from sklearn.isotonic import IsotonicRegression

from equipoise import metrics

EXACT = {"rtol": 0, "atol": 1e-12}


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 40))
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    tied = draw(st.booleans())
    few = st.integers(0, 5).map(lambda k: k / 8)
    s = draw(hnp.arrays(np.float64, n, elements=few if tied else st.floats(0.001, 0.999)))
    assume(0 < y.sum() < n)
    return y, s


@given(labelled())
def test_ranking(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    ap, auc = oracle.average_precision_score(y, s), oracle.roc_auc_score(y, s)
    assert metrics.average_precision(y, s) == pytest.approx(ap, abs=1e-12)
    assert metrics.roc_auc(y, s) == pytest.approx(auc, abs=1e-12)
    assert metrics.average_precision_influence(y, s).value == pytest.approx(ap, abs=1e-12)
    assert metrics.roc_auc_influence(y, s).value == pytest.approx(auc, abs=1e-12)


@given(labelled(), st.floats(0.1, 4))
def test_hard_decisions(data: tuple[np.ndarray, np.ndarray], beta: float) -> None:
    y, s = data
    flags = (s >= 0.5).astype(int)
    np.testing.assert_allclose(metrics.recall(y, flags), oracle.recall_score(y, flags), **EXACT)
    expected = oracle.fbeta_score(y, flags, beta=beta, zero_division=0)
    np.testing.assert_allclose(metrics.f_beta(y, flags, beta=beta), expected, **EXACT)
    if flags.any():
        expected = oracle.precision_score(y, flags)
        np.testing.assert_allclose(metrics.precision(y, flags), expected, **EXACT)
    else:
        assert np.isnan(metrics.precision(y, flags)).all()


@given(labelled())
def test_probabilities(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    p = np.clip(s, 0.001, 0.999)
    np.testing.assert_allclose(
        metrics.log_loss(y, p), oracle.log_loss(y, p, labels=[0, 1]), rtol=1e-12
    )
    np.testing.assert_allclose(metrics.brier_score(y, s), oracle.brier_score_loss(y, s), **EXACT)
    log_odds = np.log(p) - np.log1p(-p)
    by_odds = metrics.calibration.softplus_losses(y, log_odds).mean()
    assert by_odds == pytest.approx(oracle.log_loss(y, p, labels=[0, 1]), rel=1e-10)


@given(
    st.integers(2, 5).flatmap(
        lambda c: st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1)
    )
)
def test_classes(pairs: list[tuple[int, int]]) -> None:
    y, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    found = metrics.confusion_matrix(y, predicted, num_classes=5)
    expected = oracle.confusion_matrix(y, predicted, labels=range(5))
    assert np.array_equal(found, expected)
    recalls = oracle.recall_score(y, predicted, average=None, labels=np.unique(y), zero_division=0)
    found_mean = metrics.balanced_accuracy(y, predicted, num_classes=5)
    assert found_mean == pytest.approx(recalls.mean(), abs=1e-12)


def test_balanced_accuracy_where_all_classes_occur(rng: np.random.Generator) -> None:
    y, predicted = np.arange(60) % 4, rng.integers(0, 4, 60)
    expected = oracle.balanced_accuracy_score(y, predicted)
    assert metrics.balanced_accuracy(y, predicted, num_classes=4) == pytest.approx(expected)


def test_multilabel_columns(rng: np.random.Generator) -> None:
    y, s = rng.integers(0, 2, (200, 6)), rng.normal(size=(200, 6)).round(1)
    expected = oracle.average_precision_score(y, s, average=None)
    np.testing.assert_allclose(metrics.average_precision(y, s), expected, **EXACT)
    np.testing.assert_allclose(metrics.roc_auc(y, s), oracle.roc_auc_score(y, s, average=None))


@given(labelled())
def test_reliability_is_isotonic(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = data
    predicted, observed, rows = metrics.reliability_curve(y, p)
    slow = IsotonicRegression().fit_transform(p, y)
    assert rows.sum() == len(y)
    assert (np.diff(observed) > 0).all()
    np.testing.assert_allclose(np.unique(slow.round(9)), observed.round(9), atol=1e-8)
    assert (predicted * rows).sum() == pytest.approx(p.sum())
    assert (observed * rows).sum() == pytest.approx(y.sum())
