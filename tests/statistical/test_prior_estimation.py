"""EM finds a prior that has shifted, within its interval, and rarely sees a shift that is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from equipoise.decisions import estimate_prior

pytestmark = pytest.mark.slow
RUNS, ROWS = 2000, 1000
SLACK = 3 * np.sqrt(0.05 * 0.95 / RUNS)


def label_runs(source: float, there: float, seed: int) -> np.ndarray:
    """Calibrated probabilities at ``source`` for rows drawn at ``there``, one run per column."""
    rng = np.random.default_rng([521, seed])
    y = rng.random((ROWS, RUNS)) < there
    x = rng.normal(size=y.shape) + 2.0 * y
    return expit(2.0 * x - 2.0 + np.log(source / (1 - source)))


@pytest.mark.parametrize(("source", "there"), [(0.1, 0.3), (0.3, 0.1), (0.1, 0.1)])
def test_the_share_of_a_label_lies_in_its_interval(source: float, there: float) -> None:
    p = label_runs(source, there, int(100 * there))
    found = estimate_prior(p, np.full(RUNS, source), kind="multilabel", strength=0)
    inside = ((found.low <= there) & (there <= found.high)).mean()
    # The realised share of the rows varies too, so the interval is for the share they come from.
    assert 0.93 < inside < 0.975
    assert found.prior.mean() == pytest.approx(there, abs=0.005)
    seen = (found.p_value < 0.05).mean()
    if source == there:
        assert seen < 0.05 + SLACK
    else:
        assert seen > 0.99


def test_few_rows_stay_near_the_source() -> None:
    """With 20 rows the prior that is worth 10 rows halves the error of the maximum."""
    rng = np.random.default_rng(522)
    y = rng.random((20, RUNS)) < 0.05
    x = rng.normal(size=y.shape) + 1.0 * y
    p = expit(x - 0.5 + np.log(0.05 / 0.95))
    source = np.full(RUNS, 0.05)
    errors = [
        np.mean((estimate_prior(p, source, kind="multilabel", strength=s).prior - 0.05) ** 2)
        for s in (0.0, 10.0)
    ]
    assert errors[1] < 0.25 * errors[0]


def test_the_shares_of_classes_lie_in_their_intervals() -> None:
    runs, source, there = 500, np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.5]])
    inside, changed = np.zeros(3), 0
    for run in range(runs):
        rng = np.random.default_rng([523, run])
        y = rng.choice(3, 800, p=there)
        x = rng.normal(size=(800, 2)) + centres[y]
        p = softmax(x @ centres.T - 0.5 * (centres**2).sum(1) + np.log(source), axis=1)
        found = estimate_prior(p, source, kind="multiclass", strength=0)
        inside += (found.low <= there) & (there <= found.high)
        changed += bool(found.p_value[0] < 0.05)
    assert (np.abs(inside / runs - 0.95) < 3 * np.sqrt(0.05 * 0.95 / runs)).all()
    assert changed == runs
