"""At five validation positives the offset is within 5 % of the ideal log loss, weight or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from equipoise.decisions import fit_label_calibrator

pytestmark = pytest.mark.slow
RUNS, SHARE, DELTA, WEIGHT = 2000, 0.02, 2.5, 49.0
NATURAL = np.log(SHARE / (1 - SHARE)) - DELTA**2 / 2
GRID = np.linspace(-8, 11, 1001)


def log_odds(x: np.ndarray) -> np.ndarray:
    """True log-odds of N(0, 1) negatives and N(delta, 1) positives."""
    return DELTA * x + NATURAL


def population_log_loss(scale: np.ndarray, offset: np.ndarray, expressed: float) -> np.ndarray:
    """Log loss of calibrated scores over the population, one per run."""
    corrected = log_odds(GRID) - (1 - expressed) * np.log(WEIGHT)
    z = scale[:, None] * corrected + offset[:, None]
    step = GRID[1] - GRID[0]
    yes, no = SHARE * norm.pdf(GRID - DELTA) * step, (1 - SHARE) * norm.pdf(GRID) * step
    return np.logaddexp(0, -z) @ yes + np.logaddexp(0, z) @ no


def simulate(positives: int, expressed: float) -> tuple[np.ndarray, np.ndarray]:
    """Return corrected validation log-odds and truth, one run per column."""
    rng = np.random.default_rng([511, positives, int(100 * expressed)])
    rows = int(positives / SHARE)
    y = np.zeros((rows, RUNS), dtype=np.int8)
    y[:positives] = 1
    x = rng.normal(size=y.shape) + DELTA * y
    output = log_odds(x) + expressed * np.log(WEIGHT)
    return output - np.log(WEIGHT), y


IDEAL = float(population_log_loss(np.ones(1), np.zeros(1), 1.0)[0])


@pytest.mark.parametrize("expressed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("positives", [5, 20, 100])
def test_the_ladder_is_near_the_ideal_log_loss(positives: int, expressed: float) -> None:
    z, y = simulate(positives, expressed)
    fitted = fit_label_calibrator(z, y, nominal_weight=np.array([WEIGHT]))
    assert set(fitted.method) == {"offset" if positives < 20 else "platt"}
    loss = population_log_loss(fitted.scale, fitted.offset, expressed)
    assert loss.mean() < 1.05 * IDEAL
    weight = np.exp(np.mean(np.log(fitted.effective_weight)))
    assert np.log(weight) == pytest.approx(expressed * np.log(WEIGHT), abs=0.25)


@pytest.mark.parametrize("expressed", [0.0, 0.5])
def test_the_formula_alone_is_far_from_it(expressed: float) -> None:
    loss = population_log_loss(np.ones(1), np.zeros(1), expressed)[0]
    assert loss > 1.1 * IDEAL
    assert expit(0.0) == 0.5


def test_isotonic_mends_what_platt_cannot() -> None:
    """A bent output: the curve follows it, and keeps the order."""
    rng = np.random.default_rng(512)
    x = rng.normal(size=(30_000, 1)) * 2
    y = (rng.random(x.shape) < expit(x)).astype(np.int8)
    bent = np.where(x > 0, 3 * x, 0.3 * x)
    losses = {}
    for highest in ("platt", "isotonic"):
        z = fit_label_calibrator(bent, y, highest=highest).apply(bent)  # type: ignore[arg-type]
        losses[highest] = float(np.mean(np.logaddexp(0, z) - expit(x) * z))
        assert (np.diff(z[np.argsort(x[:, 0]), 0]) > 0).all()
    best = float(np.mean(np.logaddexp(0, x) - expit(x) * x))
    assert losses["isotonic"] - best < 0.1 * (losses["platt"] - best)
