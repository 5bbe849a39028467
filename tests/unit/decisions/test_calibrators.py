"""Calibration: the ladder, the prior around the formula, and what a model really expressed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from equipoise.decisions import fit_class_calibrator, fit_label_calibrator
from equipoise.decisions.calibration import fit_offset, fit_platt


@given(
    hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-700, 700)), st.integers(1, 29)
)
def test_the_offset_meets_the_prevalence(z: np.ndarray, positives: int) -> None:
    assume(positives < z.size)
    positive = np.arange(z.size) < positives
    found = fit_offset(z, positive)
    low, high = expit(z + found - 1e-6).mean(), expit(z + found + 1e-6).mean()
    assert low - 1e-12 <= positive.mean() <= high + 1e-12


def test_an_offset_without_one_side_is_infinite() -> None:
    assert fit_offset(np.zeros(3), np.zeros(3, dtype=bool)) == -np.inf
    assert fit_offset(np.zeros(3), np.ones(3, dtype=bool)) == np.inf


def simulate(n: int, slope: float, offset: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw log-odds and truth with P(y) = sigmoid(slope z + offset)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 2, n)
    return z, rng.random(n) < expit(slope * z + offset)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -2.0), (2.5, 1.0)])
def test_platt_without_a_prior_is_logistic_regression(slope: float, offset: float) -> None:
    z, y = simulate(3000, slope, offset, 1)
    oracle = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(z[:, None], y)
    found = fit_platt(z, y, slope_sd=1e6, offset_sd=1e6)
    assert found == pytest.approx((oracle.coef_[0, 0], oracle.intercept_[0]), abs=1e-4)


@pytest.mark.parametrize("n", [200, 200_000])
def test_platt_rests_where_the_gradient_is_zero(n: int) -> None:
    z, y = simulate(n, 0.6, -1.5, 2)
    slope, offset = fit_platt(z, y)
    residual = expit(slope * z + offset) - y
    by_slope = slope * residual @ z + math.log(slope)
    by_offset = residual.sum() + offset / 16
    assert abs(by_slope) < 1e-4 * n
    assert abs(by_offset) < 1e-4 * n
    assert abs(by_slope / n) < 1e-6
    assert abs(by_offset / n) < 1e-6


def test_a_strong_prior_keeps_the_formula() -> None:
    z, y = simulate(500, 0.3, -3.0, 3)
    assert fit_platt(z, y, slope_sd=1e-4, offset_sd=1e-4) == pytest.approx((1, 0), abs=1e-3)


def test_the_slope_stays_positive_on_reversed_scores() -> None:
    z, y = simulate(500, 1.0, 0.0, 4)
    slope, _ = fit_platt(-z, y)
    assert 0 < slope < 0.2


def truth_with(positives: int, negatives: int) -> np.ndarray:
    return np.repeat([1, 0], [positives, negatives]).astype(np.int8)[:, None]


@pytest.mark.parametrize(
    ("positives", "method"),
    [(0, "formula"), (2, "formula"), (3, "offset"), (19, "offset"), (20, "platt"), (200, "platt")],
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_ladder_counts_the_smaller_side(positives: int, method: str, mirrored: bool) -> None:
    y = truth_with(positives, 300)
    z = np.random.default_rng(0).normal(size=y.shape) + y
    found = fit_label_calibrator(z, 1 - y if mirrored else y)
    assert found.method == (method,)
    if method == "formula":
        assert (found.scale[0], found.offset[0]) == (1.0, 0.0)
        assert np.isnan(found.effective_weight[0])
    if method == "offset":
        assert found.scale[0] == 1.0
        share = positives / (positives + 300)
        mean = expit(found.apply(z)).mean()
        assert mean == pytest.approx(1 - share if mirrored else share)


def test_unknown_entries_are_left_out() -> None:
    rng = np.random.default_rng(1)
    y, z = (rng.random((300, 2)) < 0.3).astype(np.int8), rng.normal(size=(300, 2))
    hidden = y.copy()
    hidden[::2, 0] = -1
    found = fit_label_calibrator(z, hidden)
    alone = fit_label_calibrator(z[1::2, :1], y[1::2, :1])
    assert found.scale[0] == pytest.approx(alone.scale[0])
    assert found.offset[0] == pytest.approx(alone.offset[0])
    nothing = fit_label_calibrator(z, np.full_like(y, -1))
    assert nothing.method == ("formula", "formula")
    assert fit_label_calibrator(z, np.full_like(y, -1), verified=False).method == ("prior",) * 2


@pytest.mark.parametrize("expressed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("positives", [15, 400])
def test_the_effective_weight_is_what_the_model_expressed(expressed: float, positives: int) -> None:
    nominal, n = 49.0, 200 * positives
    rng = np.random.default_rng(5)
    natural = rng.normal(-6.2, 1.5, n)
    y = (rng.random(n) < expit(natural)).astype(np.int8)[:, None]
    output = natural + expressed * math.log(nominal)
    corrected = (output - math.log(nominal))[:, None]
    found = fit_label_calibrator(corrected, y, nominal_weight=np.array([nominal]))
    spread = 5 / math.sqrt(y.sum())
    assert math.log(found.effective_weight[0]) == pytest.approx(
        expressed * math.log(nominal), abs=spread
    )
    mean = expit(found.apply(corrected)).mean()
    assert mean == pytest.approx(y.mean(), rel=0.05)


def test_one_nominal_weight_serves_all_labels() -> None:
    y = np.tile(truth_with(5, 95), (1, 3))
    z = np.zeros(y.shape)
    one = fit_label_calibrator(z, y, nominal_weight=np.array([4.0]))
    each = fit_label_calibrator(z, y, nominal_weight=np.full(3, 4.0))
    assert one.effective_weight.tolist() == each.effective_weight.tolist()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_ranking_scores_get_probabilities_on_any_scale(scale: float) -> None:
    z, y = simulate(4000, 1.0, -1.0, 6)
    found = fit_label_calibrator(
        scale * (z[:, None] + 7), y.astype(np.int8)[:, None], verified=False
    )
    p = expit(found.apply(scale * (z[:, None] + 7)))[:, 0]
    assert found.method == ("platt",)
    assert p.mean() == pytest.approx(y.mean(), rel=0.02)
    assert np.abs(p - expit(z - 1)).max() < 0.1


@pytest.mark.parametrize("positives", [0, 1, 30])
def test_ranking_scores_without_evidence_stay_near_prevalence(positives: int) -> None:
    y = truth_with(positives, 30 - positives)
    found = fit_label_calibrator(np.arange(30.0)[:, None], y, verified=False)
    assert found.method == ("prior",)
    assert np.isfinite([found.scale, found.offset]).all()
    assert found.scale[0] > 0


def class_data(n: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4)) * 2
    p = softmax(z / temperature, axis=1)
    y = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True)), y


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_of_classes_is_found(temperature: float) -> None:
    log_p, y = class_data(5000, temperature, 7)
    found = fit_class_calibrator(log_p, y, shift=np.zeros(4))
    assert found.scale[0] == pytest.approx(1 / temperature, rel=0.08)
    assert (found.offset == 0).all()


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_strength_of_the_shift_is_found(strength: float) -> None:
    log_p, y = class_data(5000, 1.0, 8)
    shift = np.array([1.0, 0.0, -1.0, 0.5])
    found = fit_class_calibrator(log_p - strength * shift, y, shift=shift)
    assert found.offset == pytest.approx(strength * shift, abs=0.1)


@pytest.mark.parametrize(
    ("others", "method"), [(2, "formula"), (3, "offset"), (19, "offset"), (20, "platt")]
)
def test_the_ladder_of_classes_counts_rows_outside_the_largest(others: int, method: str) -> None:
    y = np.append(np.zeros(100, dtype=np.int64), 1 + np.arange(others) % 3)
    log_p = np.log(np.full((y.size, 4), 0.25))
    log_p[:, 0] += 0.1
    found = fit_class_calibrator(log_p, y, shift=np.array([1.0, 0, 0, -1]))
    assert found.method == (method,) * 4
    assert (found.scale[0] == 1.0) == (method != "platt")
    assert (found.offset[0] == 1.0) == (method == "formula")


@given(st.floats(-50, 50))
@settings(max_examples=10)
def test_an_absurd_scale_does_not_overflow(log_scale: float) -> None:
    z, y = simulate(50, 1.0, 0.0, 9)
    slope, offset = fit_platt(z * math.exp(log_scale / 5), y)
    assert np.isfinite([slope, offset]).all()
