"""Newton over all labels, isotonic curves and vector scaling beside slow or known solvers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.isotonic import IsotonicRegression

from equipoise.artifacts import Calibrator, Labels, Scores
from equipoise.decisions import fit_class_calibrator, fit_isotonic, fit_label_calibrator, tune
from equipoise.decisions.calibration import fit_offset, newton_offsets, newton_platt
from equipoise.errors import DataError


def data(seed: int, rows: int = 400, labels: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds, truth and which entries are known."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 2, (rows, labels)) * np.exp(rng.normal(size=labels))
    y = rng.random(z.shape) < expit(0.7 * z - 0.5)
    known = rng.random(z.shape) < 0.8
    return z, y, known


@pytest.mark.parametrize("seed", range(4))
def test_offsets_are_those_of_one_label_at_a_time(seed: int) -> None:
    z, y, known = data(seed)
    share = (y & known).sum(0) / known.sum(0)
    found = newton_offsets(z, known, share)
    for c in range(z.shape[1]):
        k = known[:, c]
        assert found[c] == pytest.approx(fit_offset(z[k, c], y[k, c]), abs=1e-6)


@given(hnp.arrays(np.float64, (12, 2), elements=st.floats(-700, 700)), st.integers(1, 11))
def test_offsets_meet_the_share_of_any_scores(z: np.ndarray, positives: int) -> None:
    share = np.full(2, positives / 12)
    b = newton_offsets(z, np.ones(z.shape, dtype=bool), share)
    low, high = (expit(z + b + step).mean(0) for step in (-1e-6, 1e-6))
    assert (low - 1e-12 <= share).all()
    assert (share <= high + 1e-12).all()


@pytest.mark.parametrize("seed", range(4))
def test_newton_finds_the_maximum_that_a_slow_search_finds(seed: int) -> None:
    z, y, known = data(seed)
    found = newton_platt(z, y, known, np.zeros((2, 6)), slope_sd=1.0, offset_sd=4.0)
    for c in range(6):
        k = known[:, c]

        def loss(at: np.ndarray, c: int = c, k: np.ndarray = k) -> float:
            s = np.exp(at[0]) * z[k, c] + at[1]
            return float(
                np.logaddexp(0, np.where(y[k, c], -s, s)).sum() + at[0] ** 2 / 2 + at[1] ** 2 / 32
            )

        slow = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9}).x
        np.testing.assert_allclose(found[:, c], slow, atol=1e-4)


def test_a_warm_start_ends_where_a_cold_one_does() -> None:
    z, y, _ = data(9, rows=3000)
    whole = fit_label_calibrator(z, y.astype(np.int8))
    cold = fit_label_calibrator(z[:2400], y[:2400].astype(np.int8))
    warm = fit_label_calibrator(z[:2400], y[:2400].astype(np.int8), start=whole)
    np.testing.assert_allclose(warm.scale, cold.scale, rtol=1e-4)
    np.testing.assert_allclose(warm.offset, cold.offset, atol=1e-4)


@pytest.mark.parametrize(
    ("highest", "methods"),
    [
        ("formula", ("formula", "formula", "formula")),
        ("offset", ("formula", "offset", "offset")),
        ("auto", ("formula", "offset", "platt")),
        ("isotonic", ("formula", "offset", "isotonic")),
    ],
)
def test_no_wish_climbs_above_the_evidence(highest: str, methods: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(2500)[:, None] < [2, 10, 1200]).astype(np.int8)
    z = rng.normal(size=y.shape) + 2 * y
    found = fit_label_calibrator(z, y, highest=highest)  # type: ignore[arg-type]
    assert found.method == methods
    assert len(found.knots) == (3 if highest == "isotonic" else 0)


scores = hnp.arrays(np.float64, st.integers(2, 60), elements=st.integers(-9, 9).map(float))


@given(scores, st.integers(0, 999))
def test_an_isotonic_curve_keeps_order_and_ties(z: np.ndarray, seed: int) -> None:
    y = np.random.default_rng(seed).random(z.size) < expit(z)
    knots = fit_isotonic(z, y)
    fitted = Calibrator(np.ones(1), np.zeros(1), ("isotonic",), np.full(1, np.nan), (knots,))
    again = Calibrator.from_dict(json.loads(json.dumps(fitted.to_dict())))
    found = again.apply(z[:, None])[:, 0]
    assert np.array_equal(found, fitted.apply(z[:, None])[:, 0])
    order = np.argsort(z, kind="stable")
    steps = np.diff(found[order])
    assert (steps[np.diff(z[order]) > 0] > 0).all()
    assert (steps[np.diff(z[order]) == 0] == 0).all()
    assert np.isfinite(found).all()


def test_the_centres_lie_on_the_curve_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=20_000).round(1) * 2
    y = rng.random(z.size) < expit(z)
    knots = fit_isotonic(z, y)
    oracle = IsotonicRegression().fit(z, y).predict(knots["log_odds"])
    np.testing.assert_allclose(expit(knots["calibrated"]), oracle, atol=0.03)
    fitted = Calibrator(np.ones(1), np.zeros(1), ("isotonic",), np.full(1, np.nan), (knots,))
    assert expit(fitted.apply(z[:, None])).mean() == pytest.approx(y.mean(), abs=2e-3)


def test_isotonic_rules_decide_on_distinct_scores() -> None:
    rng = np.random.default_rng(4)
    y = (rng.random((6000, 2)) < 0.4).astype(np.int8)
    z = rng.normal(size=y.shape) + 2 * y
    val = Scores.from_arrays(Labels.from_array(y, kind="multilabel"), logits=z, split="val")
    rule = tune(val, calibration="isotonic")
    assert rule.calibrator.method == ("isotonic",) * 2
    found = rule.log_odds(val)
    for c in range(2):
        assert np.unique(found[:, c]).size == np.unique(z[:, c]).size
        assert rule.thresholds is not None
        assert rule.thresholds[c] not in found[:, c]


def test_knots_that_fall_are_refused() -> None:
    bad = {"log_odds": np.array([0.0, 1.0]), "calibrated": np.array([1.0, 1.0])}
    with pytest.raises(DataError, match="both rise"):
        Calibrator(np.ones(1), np.zeros(1), ("isotonic",), np.ones(1), (bad,))


def test_vector_scaling_finds_the_slope_and_offset_of_a_class() -> None:
    rng = np.random.default_rng(5)
    natural = log_softmax(2 * rng.normal(size=(20_000, 3)), axis=1)
    bend, off = np.array([1.0, 1.6, 0.7]), np.array([0.0, 0.5, -0.8])
    p = np.exp(log_softmax(bend * natural + off, axis=1))
    y = (p.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    losses = {}
    for highest in ("auto", "vector"):
        found = fit_class_calibrator(natural, y, shift=np.zeros(3), highest=highest)  # type: ignore[arg-type]
        q = log_softmax(found.apply(natural), axis=1)
        losses[highest] = float(-(p * q).sum(1).mean())
    ideal = float(-(p * np.log(p)).sum(1).mean())
    assert losses["vector"] - ideal < 1e-3
    assert losses["auto"] - ideal > 1e-2
    assert found.method == ("vector",) * 3


def test_a_class_with_few_rows_keeps_what_all_share() -> None:
    rng = np.random.default_rng(6)
    y = np.repeat([0, 1, 2], [200, 100, 10])
    log_p = log_softmax(rng.normal(size=(310, 3)) + 2 * np.eye(3)[y], axis=1)
    found = fit_class_calibrator(log_p, y, shift=np.zeros(3), highest="vector")
    shared = fit_class_calibrator(log_p, y, shift=np.zeros(3))
    assert found.method == ("vector", "vector", "platt")
    assert (found.scale[2], found.offset[2]) == (shared.scale[2], shared.offset[2])
