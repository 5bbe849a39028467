"""Thresholds judged on the population: the ladder against the plain maximum, claims against it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from equipoise.artifacts import Labels, Scores
from equipoise.decisions import certified_cut, tune
from equipoise.metrics.sweep import Sweep, sweep

pytestmark = pytest.mark.slow
DRAWS, LABELS, ROWS = 20, 100, 4000


def population_f1(cut: np.ndarray, share: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """F1 of x >= cut for N(0, 1) negatives and N(delta, 1) positives."""
    tp, fp = share * norm.sf(cut - delta), (1 - share) * norm.sf(cut)
    return 2 * tp / (tp + fp + share)


def draw(seed: int) -> dict[str, np.ndarray]:
    """Return population F1 by ladder and by maximum, and what was claimed, for 100 labels."""
    rng = np.random.default_rng([501, seed])
    share = np.exp(rng.uniform(np.log(2 / ROWS), np.log(800 / ROWS), LABELS))
    delta = rng.uniform(1.0, 2.5, LABELS)
    y = (rng.random((ROWS, LABELS)) < share).astype(np.int8)
    x = rng.normal(size=y.shape) + delta * y
    # Mildly mis-calibrated: slope and offset are a little off the true log-odds.
    bend, off = rng.uniform(0.7, 1.3, LABELS), rng.normal(0, 0.5, LABELS)
    slope, start = bend * delta, bend * (np.log(share / (1 - share)) - delta**2 / 2) + off
    labels = Labels.from_array(y, kind="multilabel")
    rule = tune(Scores.from_arrays(labels, logits=slope * x + start, split="val"), seed=seed)
    assert rule.thresholds is not None
    fitted = (rule.thresholds - rule.calibrator.offset) / rule.calibrator.scale
    points = sweep(y, x)
    assert isinstance(points, list)
    plain = np.array([p.best_f_beta()[1] for p in points])
    return {
        "positives": labels.counts,
        "ladder": population_f1((fitted - start) / slope, share, delta),
        "maximum": population_f1(plain, share, delta),
        "claimed": rule.claimed,
        "cross_fitted": rule.cross_fitted,
    }


@pytest.fixture(scope="module")
def draws() -> list[dict[str, np.ndarray]]:
    return [draw(seed) for seed in range(DRAWS)]


@pytest.mark.parametrize(("least", "most"), [(1, 9), (10, 19), (20, 99), (100, 4000), (1, 4000)])
def test_the_ladder_is_never_worse_than_the_plain_maximum(
    draws: list[dict[str, np.ndarray]], least: int, most: int
) -> None:
    gains = []
    for one in draws:
        some = (one["positives"] >= least) & (one["positives"] <= most)
        gains.append(float((one["ladder"] - one["maximum"])[some].mean()))
    error = np.std(gains, ddof=1) / np.sqrt(DRAWS)
    assert np.mean(gains) > -error
    if most < 20:
        assert np.mean(gains) > 2 * error


def test_cross_fitted_values_are_what_the_threshold_reaches(
    draws: list[dict[str, np.ndarray]],
) -> None:
    real, crossed, claimed = [], [], []
    for one in draws:
        some = one["positives"] > 0
        real.append(one["ladder"][some].mean())
        crossed.append(one["cross_fitted"][some].mean())
        claimed.append(one["claimed"][some].mean())
    assert abs(np.mean(crossed) - np.mean(real)) < 0.01
    assert np.mean(claimed) - np.mean(real) > 0.01


def test_a_certified_precision_holds_as_often_as_promised() -> None:
    """The wrong answers stay below 5 %, and the answer is not only to flag nothing."""
    rng, runs, share, delta, wanted = np.random.default_rng(502), 2000, 0.1, 2.5, 0.7
    broken, found = 0, 0
    for _ in range(runs):
        y = rng.random(2000) < share
        x = rng.normal(size=2000) + delta * y
        order = np.argsort(-x)
        cut = certified_cut(Sweep.from_sorted(x[order], y[order]), wanted)
        if np.isfinite(cut):
            tp, fp = share * norm.sf(cut - delta), (1 - share) * norm.sf(cut)
            broken += tp / (tp + fp) < wanted
            found += 1
    assert broken / runs < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert found / runs > 0.9
