"""Thresholds against brute force, theory, and a naive bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from equipoise.decisions import FBeta
from equipoise.decisions.objectives import to_objective
from equipoise.decisions.thresholds import bagged_threshold, plug_in_threshold, tune_threshold
from equipoise.errors import UsageError
from equipoise.metrics.sweep import Sweep, sweep

log_odds = hnp.arrays(np.float64, st.integers(1, 15), elements=st.integers(-8, 6).map(float))


def expected_f(p: np.ndarray, flag: np.ndarray, beta: float, w: tuple[float, float]) -> float:
    tp, fp = w[0] * p[flag].sum(), w[1] * (1 - p[flag]).sum()
    return (1 + beta**2) * tp / (tp + fp + beta**2 * w[0] * p.sum())


@given(log_odds, st.sampled_from([0.5, 1.0, 2.0]))
def test_plug_in_is_the_best_of_all_cuts(z: np.ndarray, beta: float) -> None:
    p = expit(z)
    cut = plug_in_threshold(z, objective=FBeta(beta))
    best = max(expected_f(p, z >= c, beta, (1, 1)) for c in set(z.tolist()))
    assert expected_f(p, z >= cut, beta, (1, 1)) == pytest.approx(best, abs=1e-12)
    assert cut == z.min() or cut not in z


@given(log_odds, st.floats(0.2, 5), st.floats(0.2, 5))
def test_plug_in_at_another_prior_weighs_the_rows(z: np.ndarray, w1: float, w0: float) -> None:
    """Log-odds at the target prior; rows drawn at another one, so each counts w1 p + w0 (1-p)."""
    p = expit(z)
    shifted = z + np.log(w1) - np.log(w0)
    cut = plug_in_threshold(shifted, weights=(w1, w0))
    best = max(expected_f(p, z >= c, 1.0, (w1, w0)) for c in set(z.tolist()))
    assert expected_f(p, shifted >= cut, 1.0, (w1, w0)) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_the_cut_is_at_the_best_f_over_one_plus_beta_squared(beta: float) -> None:
    z = np.random.default_rng(0).normal(-2, 2, 20_000)
    cut = plug_in_threshold(z, objective=FBeta(beta))
    best = expected_f(expit(z), z >= cut, beta, (1, 1))
    assert expit(cut) == pytest.approx(best / (1 + beta**2), abs=2e-3)


def test_an_uninformative_model_flags_everything() -> None:
    z = np.full(10, -3.0)
    assert (z >= plug_in_threshold(z)).all()


def naive_bagged(
    z: np.ndarray, y: np.ndarray, rng: np.random.Generator, rounds: int, beta: float
) -> np.ndarray:
    """Draw rows one by one and search all cuts."""
    cuts = []
    points = sweep(y, z)
    assert isinstance(points, Sweep)
    options = [points.cut_below(i) for i in range(points.score.size)]
    for _ in range(rounds):
        w = rng.poisson(1.0, z.size)
        if w[y == 1].sum() == 0:
            continue
        values = []
        for cut in options:
            flag = z >= cut
            tp, fp = w[flag & (y == 1)].sum(), w[flag & (y == 0)].sum()
            fn = w[~flag & (y == 1)].sum()
            values.append((1 + beta**2) * tp / ((1 + beta**2) * tp + fp + beta**2 * fn))
        cuts.append(options[int(np.argmax(values))])
    return np.asarray(cuts)


@pytest.mark.parametrize(
    ("beta", "decimals"),
    [
        (1.0, 6),
        (2.0, 0),
        pytest.param(1.0, 0, marks=pytest.mark.slow),
        pytest.param(2.0, 6, marks=pytest.mark.slow),
    ],
)
def test_gap_bootstrap_is_the_naive_one(beta: float, decimals: int) -> None:
    rng = np.random.default_rng(1)
    y = (np.arange(120) < 12).astype(int)
    z = (rng.normal(size=120) + 1.5 * y).round(decimals)
    points = sweep(y, z)
    assert isinstance(points, Sweep)
    fast = bagged_threshold(points, rng, objective=FBeta(beta), rounds=4000)
    slow = naive_bagged(z, y, rng, 1000, beta)
    kept = fast[~np.isnan(fast)]
    options = np.unique(np.concatenate([kept, slow]))
    shares = [np.array([(c == o).mean() for o in options]) for c in (kept, slow)]
    assert np.abs(np.cumsum(shares[0]) - np.cumsum(shares[1])).max() < 0.06


def test_rounds_without_positives_say_nothing() -> None:
    points = Sweep.from_sorted(np.array([1.0, 0.0]), np.array([True, False]))
    cuts = bagged_threshold(points, np.random.default_rng(0), rounds=2000)
    assert np.isnan(cuts).mean() == pytest.approx(np.exp(-1), abs=0.05)


@given(log_odds, st.integers(0, 1000))
def test_a_tuned_cut_lies_between_scores(z: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cut = tune_threshold(z, rng.random(z.size) < 0.5, rng, rounds=10)
    assert np.isfinite(cut)
    assert cut not in z or cut == z.min()


@pytest.mark.parametrize("n", [5, 20, 200])
def test_shrinkage_follows_the_positives(n: int) -> None:
    """The data weigh n / (n + 20) against the plug-in cut; the result is moved into a gap."""
    rng = np.random.default_rng(2)
    y = np.arange(5000) < n
    z = rng.normal(size=5000) + 2.0 * y - 4
    order = np.argsort(-z)
    points = Sweep.from_sorted(z[order], y[order])
    best = np.nanmedian(bagged_threshold(points, rng, rounds=4000))
    mix = (n * best + 20 * plug_in_threshold(z)) / (n + 20)
    assert tune_threshold(z, y, rng, rounds=4000) == pytest.approx(mix, abs=0.15)


def test_without_positives_it_is_the_plug_in_cut() -> None:
    z = np.random.default_rng(3).normal(size=50)
    nothing = np.zeros(50, dtype=bool)
    assert tune_threshold(z, nothing, np.random.default_rng(0)) == plug_in_threshold(z)


@pytest.mark.parametrize("bad", ["f", "f0", "F1", "f-1", "accuracy", "f1.", "macro_f1", "f11"])
def test_objectives_that_are_none(bad: str) -> None:
    with pytest.raises(
        UsageError, match=r"must be one of f1, .*or another F-beta up to f10 for multi"
    ):
        to_objective(bad, "multilabel", 3)


def test_objectives() -> None:
    for name, beta in (("f1", 1.0), ("f2", 2.0), ("f0.5", 0.5)):
        assert to_objective(name, "multilabel", 3) == FBeta(beta)
        assert FBeta(beta).name == name
    assert to_objective("mcc", "multilabel", 3) != FBeta()
