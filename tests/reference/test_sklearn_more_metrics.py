"""Parity with scikit-learn to 1e-12 for the wider set of metrics, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression
from test_sklearn_metrics import EXACT, labelled

from equipoise import metrics


@given(labelled())
def test_at_a_threshold(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    flags = (s >= 0.5).astype(int)
    expected = {
        "specificity": oracle.recall_score(y, flags, pos_label=0),
        "balanced_accuracy_per_label": oracle.balanced_accuracy_score(y, flags),
        "matthews_corrcoef": oracle.matthews_corrcoef(y, flags),
        "flagged_rate": flags.mean(),
    }
    for name, value in expected.items():
        found = getattr(metrics, name)(y, flags)
        np.testing.assert_allclose(found, value, err_msg=name, **EXACT)
    influence = metrics.matthews_influence(y, flags)
    assert influence.value == pytest.approx(oracle.matthews_corrcoef(y, flags), abs=1e-12)
    assert influence.rows.sum() == pytest.approx(0, abs=1e-12)


@given(labelled())
def test_partial_area(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = data
    for limit in (0.1, 0.35, 0.999):
        expected = oracle.roc_auc_score(y, s, max_fpr=limit)
        found = metrics.partial_roc_auc(y, s, max_fpr=limit)
        assert found == pytest.approx(expected, abs=1e-12)


@given(labelled())
def test_probabilities_apart(data: tuple[np.ndarray, np.ndarray]) -> None:
    y, p = data
    positives, negatives = metrics.stratified_brier(y, p)
    np.testing.assert_allclose(
        positives, oracle.brier_score_loss(y[y == 1], p[y == 1], labels=[0, 1])
    )
    np.testing.assert_allclose(negatives, ((p - y)[y == 0] ** 2).mean(), **EXACT)
    np.testing.assert_allclose(metrics.brier_skill(y, p), oracle.d2_brier_score(y, p), atol=1e-10)
    parts = metrics.decompose_brier(y, p)
    total = parts.calibration - parts.discrimination + parts.uncertainty
    assert total == pytest.approx(oracle.brier_score_loss(y, p), abs=1e-12)
    assert min(parts.calibration, parts.discrimination) >= -1e-12
    np.testing.assert_allclose(metrics.calibration_ratio(y, p), p.sum() / y.sum(), **EXACT)


def test_averages(rng: np.random.Generator) -> None:
    y, flags = rng.integers(0, 2, (60, 5)), rng.integers(0, 2, (60, 5))
    y[:, 4] = 0
    y[:7] = flags[:7] = 0
    found = metrics.micro_average(y, flags, beta=2.0)
    kept = {"average": "micro", "zero_division": 0}
    assert found.precision == pytest.approx(oracle.precision_score(y, flags, **kept), abs=1e-12)
    assert found.recall == pytest.approx(oracle.recall_score(y, flags, **kept), abs=1e-12)
    assert found.f_beta == pytest.approx(oracle.fbeta_score(y, flags, beta=2, **kept), abs=1e-12)
    for rule, zero in (("zero", 0.0), ("nan", np.nan)):
        expected = oracle.f1_score(y, flags, average="samples", zero_division=zero)
        value = metrics.samples_f_beta(y, flags, zero_positive=rule)  # type: ignore[arg-type]
        assert value == pytest.approx(expected, abs=1e-12)
    macro = oracle.f1_score(y, flags, average="macro", zero_division=0)
    each = metrics.f_beta(y, flags)
    assert metrics.macro_average(each, zero_positive="zero").value == pytest.approx(
        macro, abs=1e-12
    )
    assert str(metrics.macro_average(each)).endswith("over 4 of 5 labels")


@pytest.mark.filterwarnings("ignore:No positive class found")
def test_a_label_without_positives_can_count_as_zero(rng: np.random.Generator) -> None:
    y, s = rng.integers(0, 2, (50, 3)), rng.normal(size=(50, 3))
    y[:, 1] = 0
    found = metrics.average_precision(y, s, zero_positive="zero")
    np.testing.assert_allclose(found, oracle.average_precision_score(y, s, average=None), **EXACT)
    assert np.isnan(metrics.average_precision(y, s)[1])


def test_the_calibration_line_is_a_logistic_regression(rng: np.random.Generator) -> None:
    z = rng.normal(size=600) * 2
    y = (rng.random(600) < 1 / (1 + np.exp(-(0.6 * z - 1)))).astype(int)
    line = metrics.calibration_line(y, z)
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], y)
    assert line.slope.value == pytest.approx(fitted.coef_[0, 0], rel=1e-5)
    assert line.slope.low < 0.6 < line.slope.high
    offset = line.intercept.value
    assert (1 / (1 + np.exp(-(z + offset)))).mean() == pytest.approx(y.mean())


@pytest.mark.parametrize(
    ("y", "z", "reason"),
    [
        ([0, 0], [0.0, 1.0], "no positives"),
        ([1, 1], [0.0, 1.0], "no negatives"),
        ([0, 1, 0, 1], [2.0] * 4, "constant scores"),
        ([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], "do not overlap"),
    ],
)
def test_a_line_that_cannot_be_fitted_says_why(y: list[int], z: list[float], reason: str) -> None:
    assert reason in str(metrics.calibration_line(y, z).slope.reason)


def test_net_benefit_and_cost_by_hand(rng: np.random.Generator) -> None:
    y, p = rng.integers(0, 2, 80), rng.random(80).round(1)
    for cut in (0.2, 0.5, 0.8):
        _, fp, fn, tp = oracle.confusion_matrix(y, p >= cut).ravel()
        expected = tp / 80 - fp / 80 * cut / (1 - cut)
        assert metrics.net_benefit(y, p, [cut])[0] == pytest.approx(expected, abs=1e-12)
        cost = metrics.expected_cost(y, p >= cut, false_positive=2, false_negative=7)
        assert cost[0] == pytest.approx((2 * fp + 7 * fn) / 80, abs=1e-12)


def test_label_confusion_by_a_loop(rng: np.random.Generator) -> None:
    y, flags = rng.integers(-1, 2, (40, 4)), rng.integers(0, 2, (40, 4))
    expected = np.zeros((5, 5), dtype=int)
    for truth, flag in zip(y, flags, strict=True):
        missed = [i for i in range(4) if truth[i] == 1 and not flag[i]]
        wrong = [j for j in range(4) if truth[j] == 0 and flag[j]]
        for i in range(4):
            expected[i, i] += truth[i] == 1 and flag[i]
        for i in missed or [4]:
            for j in wrong or [4]:
                expected[i, j] += bool(missed or wrong)
    assert np.array_equal(metrics.label_confusion(y, flags), expected)
