"""Raking against the optimality conditions, a general solver, and requests that cannot be met."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import minimize

from equipoise.artifacts import Labels
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.sampling.effect import effective_sample_size
from equipoise.sampling.raking import rake, target_rates
from equipoise.sampling.rule_table import four_labels


def some_labels(rows: int, width: int, seed: int, unknown: float = 0.0) -> np.ndarray:
    """Correlated labels with every labelset possible."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(rows, 1))
    hot = (0.5 * shared + rng.normal(size=(rows, width)) > rng.uniform(0, 1.3, width)).astype(int)
    hot[rng.random(hot.shape) < unknown] = -1
    return hot


def rates(weights: np.ndarray, hot: np.ndarray) -> np.ndarray:
    return np.array([weights[c == 1].sum() / weights[c >= 0].sum() for c in hot.T])


def test_least_divergence_as_a_general_solver_finds_it() -> None:
    hot = some_labels(60, 2, seed=1)
    target = np.array([0.5, 0.4])
    slow = minimize(
        lambda p: (p * np.log(p * len(p))).sum(),
        np.full(60, 1 / 60),
        jac=lambda p: np.log(p * len(p)) + 1,
        bounds=[(1e-9, 1)] * 60,
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1, "jac": np.ones_like},
            {"type": "eq", "fun": lambda p: hot.T @ p - target, "jac": lambda _: hot.T},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert slow.success
    np.testing.assert_allclose(rake(hot, target, min_ess=None).weights, 60 * slow.x, rtol=1e-4)


@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 6),
    unknown=st.sampled_from([0.0, 0.1]),
    strength=st.floats(0.0, 1.0),
)
def test_reached_rates_and_log_linear_weights_are_the_optimum(
    seed: int, width: int, unknown: float, strength: float
) -> None:
    """Feasible and log-linear in the labels: no other weights are closer to uniform."""
    hot = some_labels(300, width, seed, unknown)
    natural = rates(np.ones(300), hot)
    target = natural + strength * (np.sqrt(natural * natural.max()) - natural)
    found = rake(hot, target, min_ess=None)
    assert found.reached
    assert found.converged
    assert found.feasible
    assert found.ridge == 0.0
    np.testing.assert_allclose(rates(found.weights, hot), target, atol=1e-6)
    score = np.where(hot == -1, 0.0, hot - target) @ found.multipliers
    np.testing.assert_allclose(np.ptp(np.log(found.weights) - score), 0.0, atol=1e-9)
    assert found.weights.mean() == pytest.approx(1.0)
    assert found.ess_share == pytest.approx(effective_sample_size(found.weights) / 300)


def test_unknown_entries_are_neutral_and_rates_are_among_known_rows() -> None:
    hot = np.array([[1, 0], [0, 1], [0, -1], [0, 0], [-1, 1], [0, 0]])
    found = rake(hot, [0.4, 0.5])
    np.testing.assert_allclose(rates(found.weights, hot), [0.4, 0.5], atol=1e-9)
    w, (a, b) = found.weights, found.multipliers
    # Row 2 differs from row 3 by an unknown entry alone: 0 in place of b (0 - 0.5).
    assert np.log(w[2] / w[3]) == pytest.approx(0.5 * b)
    assert np.log(w[4] / w[1]) == pytest.approx(0.4 * a)


def test_labels_left_free_have_no_multiplier() -> None:
    hot = some_labels(400, 3, seed=3)
    found = rake(hot, [0.4, np.nan, np.nan])
    assert found.multipliers[1:].tolist() == [0.0, 0.0]
    assert np.isnan(found.target[1:]).all()
    assert found.rates[0] == pytest.approx(0.4)
    uniform = rake(hot, [np.nan] * 3)
    assert uniform.weights.tolist() == [1.0] * 400
    assert uniform.reached


def test_words_stand_for_rates() -> None:
    labels = four_labels()
    np.testing.assert_allclose(
        target_rates(labels, "sqrt"), [0.199, 0.369, 0.282, 0.469], atol=1e-3
    )
    np.testing.assert_allclose(target_rates(labels, "equal"), 0.469, atol=1e-6)
    found = rake(labels, "sqrt")
    np.testing.assert_allclose(found.rates, target_rates(labels, "sqrt"), atol=1e-9)
    assert found.ess_share == pytest.approx(0.76, abs=0.005)
    with pytest.raises(UsageError, match="`target` must be one of 'sqrt', 'equal'"):
        rake(labels, "equall")  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["sqrt", "equal"])
def test_classes_are_weighed_by_target_over_share(word: str) -> None:
    y = np.repeat([0, 1, 3], [70, 20, 10])
    labels = Labels.from_array(y, kind="multiclass", names="abcd")
    found = rake(labels, word)  # type: ignore[arg-type]
    power = np.array([0.7, 0.2, 0.1]) ** (0.5 if word == "sqrt" else 0.0)
    share = power / power.sum()
    np.testing.assert_allclose(found.rates[[0, 1, 3]], share)
    np.testing.assert_allclose(found.weights[[0, 75, 99]], share / [0.7, 0.2, 0.1])
    assert np.isnan(found.target[2])


def test_free_classes_share_the_rest_as_they_did() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    found = rake(y, [np.nan, np.nan, 0.4])
    np.testing.assert_allclose(found.rates, [0.4, 0.2, 0.4], atol=1e-9)
    for bad, text in (([0.5, np.nan, 0.6], "sum to less than 1"), ([0.5, 0.3, 0.3], "sum to 1")):
        with pytest.raises(DataError, match=f"`target` must {text}, .*got 1.1|got 1.1"):
            rake(y, bad)


def test_a_limit_is_kept_and_named() -> None:
    labels = four_labels()
    free = rake(labels, "equal", min_ess=None)
    assert free.reached
    assert free.ess_share < 0.2
    held = rake(labels, "equal", min_ess=0.5)
    assert held.limit == "min_ess"
    assert 0.5 <= held.ess_share < 0.51
    assert held.feasible
    assert not held.reached
    assert (held.rates[:3] > held.rates_before[:3]).all()
    assert str(held).startswith("The requested rates can be reached, but not within `min_ess`.")
    capped = rake(labels, "equal", max_weight=5.0)
    assert capped.limit == "max_weight"
    assert 4.8 < capped.max_weight <= 5.0
    assert capped.max_weight == capped.weights.max()


def test_requests_outside_of_all_labelsets_are_called_infeasible() -> None:
    """A never comes without B, so A cannot be the more frequent of the two."""
    hot = np.repeat([[1, 1], [0, 1], [0, 0]], [20, 30, 50], axis=0)
    for least in (0.1, None):
        found = rake(hot, [0.6, 0.3], min_ess=least)
        assert not found.feasible
        assert not found.reached
        assert np.isfinite(found.weights).all()
        assert "No weights were found that reach the requested rates. Largest miss" in str(found)
    without_positives = rake([[1, 0], [0, 0], [0, 0]], [0.5, 0.2])
    assert not without_positives.feasible
    assert without_positives.rates.tolist() == pytest.approx([0.5, 0.0])
    assert without_positives.largest_miss == pytest.approx(0.2)


def test_a_label_that_nobody_knows_cannot_be_raked() -> None:
    found = rake([[1, -1], [0, -1]], [0.5, 0.3])
    assert not found.feasible
    assert not found.reached
    assert "Largest miss: '1' at nan where 0.3 was asked for." in str(found)
    assert found.to_dict()["rates"] == [0.5, None]


def test_bad_requests_are_named() -> None:
    hot = some_labels(50, 2, seed=0)
    with pytest.raises(ShapeError, match=r"`target` must have shape \(2\), got \(3,\)"):
        rake(hot, [0.1, 0.2, 0.3])
    with pytest.raises(DataError, match=r"hold rates in \(0, 1\), or NaN, got 0.5 to 1"):
        rake(hot, [0.5, 1.0])
    with pytest.raises(UsageError, match=r"`min_ess` must lie in \(0, 1\)"):
        rake(hot, "sqrt", min_ess=1.5)
    with pytest.raises(UsageError, match="`max_weight` must be above 1"):
        rake(hot, "sqrt", max_weight=1.0)


def test_many_sparse_labels_and_their_record() -> None:
    rng = np.random.default_rng(0)
    hot = (rng.random((4000, 40)) < rng.uniform(0.01, 0.1, 40)).astype(np.int8)
    found = rake(hot, np.where(hot.mean(0) < 0.05, 0.05, np.nan))
    assert found.reached
    np.testing.assert_allclose((found.weights @ hot / 4000)[found.rates_before < 0.05], 0.05)
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["reached"] is True
    assert record["target"].count(None) == int((hot.mean(0) >= 0.05).sum())


def test_dense_and_sparse_rows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    hot = some_labels(500, 5, seed=9, unknown=0.05)
    dense = rake(hot, "sqrt")
    monkeypatch.setattr("equipoise.sampling.raking._SPARSE", 1.0)
    np.testing.assert_allclose(rake(hot, "sqrt").weights, dense.weights, rtol=1e-9)
