"""Coverage of the intervals on a binormal population whose true values are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from equipoise.metrics import (
    average_precision_influence,
    boyd_interval,
    influence_interval,
    macro_influence,
    pair_over_seeds,
    roc_auc_influence,
    wilson_interval,
)

pytestmark = pytest.mark.slow
DRAWS = 600
DELTA = 1.5


def population_ap(prevalence: float, delta: float = DELTA) -> float:
    """Integrate precision over recall for N(0, 1) negatives and N(delta, 1) positives."""
    cut = np.linspace(-9, 12, 400_001)
    above, below = norm.sf(cut - delta), norm.sf(cut)
    precision = prevalence * above / (prevalence * above + (1 - prevalence) * below)
    return float(np.trapezoid(precision * norm.pdf(cut - delta), cut))


POPULATION_AUC = float(norm.cdf(DELTA / np.sqrt(2)))


def draw(
    rng: np.random.Generator, n: int, prevalence: float, delta: float = DELTA
) -> tuple[np.ndarray, np.ndarray]:
    y = (rng.random(n) < prevalence).astype(int)
    return y, rng.normal(size=n) + delta * y


def share(hits: list[bool]) -> float:
    return float(np.mean(hits))


def floor(nominal: float) -> float:
    return nominal - 3 * float(np.sqrt(nominal * (1 - nominal) / DRAWS))


@pytest.mark.parametrize(("n", "prevalence"), [(1000, 0.1), (4000, 0.05)])
def test_influence_intervals_of_ap_and_auroc(n: int, prevalence: float) -> None:
    rng = np.random.default_rng(1)
    truth = population_ap(prevalence)
    ap_hits, auc_hits = [], []
    for _ in range(DRAWS):
        y, s = draw(rng, n, prevalence)
        ap = influence_interval(average_precision_influence(y, s))
        auc = influence_interval(roc_auc_influence(y, s))
        ap_hits.append(ap.low <= truth <= ap.high)
        auc_hits.append(auc.low <= POPULATION_AUC <= auc.high)
    # At 100 to 200 positives intervals of AP are known to run a little short: 0.93 to 0.95.
    assert share(ap_hits) > floor(0.94)
    assert share(auc_hits) > floor(0.95)


@pytest.mark.parametrize("positives", [12, 25, 45])
def test_boyd_at_few_positives(positives: int) -> None:
    rng = np.random.default_rng(2)
    prevalence, hits = 0.02, []
    n = int(positives / prevalence)
    truth = population_ap(prevalence)
    for _ in range(DRAWS):
        y, s = draw(rng, n, prevalence)
        count = int(y.sum())
        if count == 0:
            continue
        found = boyd_interval(average_precision_influence(y, s).value, count, n=n)
        hits.append(found.low <= truth <= found.high)
    assert share(hits) > floor(0.93)


@pytest.mark.parametrize(("n", "p"), [(30, 0.1), (200, 0.02)])
def test_wilson(n: int, p: float) -> None:
    rng = np.random.default_rng(3)
    found = [wilson_interval(int(k), n) for k in rng.binomial(n, p, DRAWS)]
    assert share([e.low <= p <= e.high for e in found]) > floor(0.94)


def test_paired_difference_of_macro_ap() -> None:
    """Three labels, two fixed models on the same rows; their noise is shared in part."""
    rng = np.random.default_rng(4)
    prevalences, noises, n = (0.2, 0.1, 0.05), (0.3, 0.6), 1500

    def one(rows: int) -> tuple[np.ndarray, list[np.ndarray]]:
        y = (rng.random((rows, 3)) < prevalences).astype(int)
        x = rng.normal(size=y.shape) + DELTA * y
        return y, [x + noise * rng.normal(size=y.shape) for noise in noises]

    # Noise of variance v shrinks the separation to delta / sqrt(1 + v).
    truth = float(
        np.subtract(
            *(
                np.mean([population_ap(p, DELTA / np.sqrt(1 + v * v)) for p in prevalences])
                for v in noises
            )
        )
    )
    hits, errors, gaps = [], [], []
    for _ in range(DRAWS // 2):
        y, models = one(n)
        parts = [
            macro_influence([average_precision_influence(y[:, c], s[:, c]) for c in range(3)], n)
            for s in models
        ]
        gap = parts[0] - parts[1]
        found = influence_interval(gap, scale="identity")
        hits.append(found.low <= truth <= found.high)
        errors.append(gap.standard_error())
        gaps.append(gap.value)
    assert 0.94 - 0.045 < share(hits) <= 1
    assert np.mean(errors) == pytest.approx(np.std(gaps, ddof=1), rel=0.12)


def test_clustered_rows_need_clustered_errors() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(300), 4)
    together, apart = [], []
    for _ in range(DRAWS):
        patient = rng.random(300) < 0.3
        y = patient[groups].astype(int)
        s = rng.normal(size=300)[groups] * 0.9 + rng.normal(size=1200) * 0.4 + DELTA * y
        truth = float(norm.cdf(DELTA / np.sqrt(2 * (0.9**2 + 0.4**2))))
        auc = roc_auc_influence(y, s)
        for hits, codes in ((together, groups), (apart, None)):
            found = influence_interval(auc, groups=codes)
            hits.append(found.low <= truth <= found.high)
    assert share(together) > floor(0.94)
    assert share(apart) < 0.8


def test_pairing_over_seeds_covers_the_mean_difference() -> None:
    """Seeds add noise of their own; the interval has to hold both sources."""
    rng = np.random.default_rng(6)
    hits = []
    for _ in range(DRAWS // 2):
        y, x = draw(rng, 800, 0.2)
        arms = [
            [roc_auc_influence(y, x + v * rng.normal(size=800)) for _ in range(5)]
            for v in (0.5, 0.5)
        ]
        found = pair_over_seeds(arms[0], arms[1]).interval(0.95)
        hits.append(found.low <= 0 <= found.high)
    assert share(hits) > 0.94 - 0.045
