"""Whether the forecast of what twice the rows buy holds as often as it says, where truth is known.

Sixty data sets per learner, seeds and bounds fixed before the first run: 800 rows of which a seed
trains on 600, a test set of 2,000, three seeds; the truth is the mean gain of 12 trainings on 1,200
fresh rows over 12 on 600, judged on 20,000 rows.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from equipoise.comparison.forecast import forecast
from equipoise.metrics import average_precision, average_precision_influence

pytestmark = pytest.mark.slow
SETS, SEEDS, ROWS, TRUTHS = 60, 3, 600, 12
LEARNERS = {
    "logistic": lambda seed: LogisticRegression(C=10.0, max_iter=300),  # noqa: ARG005
    "forest": lambda seed: RandomForestClassifier(
        20, min_samples_leaf=3, random_state=seed, n_jobs=1
    ),
}


def rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(n, 12))
    z = 1.5 * x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * x[:, 3] - 3
    return x, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)


def fitted(learner: str, x: np.ndarray, y: np.ndarray, seed: int, at: np.ndarray) -> np.ndarray:
    model = LEARNERS[learner](seed).fit(x, y)
    return np.asarray(model.predict_proba(at)[:, 1])


@pytest.mark.parametrize("learner", LEARNERS)
def test_it_holds_eight_times_in_ten(learner: str) -> None:
    rng = np.random.default_rng([1904, list(LEARNERS).index(learner)])
    wide, wide_y = rows(rng, 20_000)
    gains = []
    for seed in range(TRUTHS):
        x, y = rows(rng, 2 * ROWS)
        ap = [
            average_precision(wide_y, fitted(learner, x[:n], y[:n], seed, wide))
            for n in (ROWS, 2 * ROWS)
        ]
        gains.append(ap[1] - ap[0])
    truth, held = float(np.mean(gains)), 0
    for _ in range(SETS):
        x, y = rows(rng, 800)
        test, test_y = rows(rng, 2000)
        parts: list[list] = [[], [], []]
        for seed in range(SEEDS):
            order = rng.permutation(800)[:ROWS]
            for part, share in zip(parts, (0.25, 0.5, 1.0), strict=True):
                kept = order[: round(share * ROWS)]
                score = fitted(learner, x[kept], y[kept], seed, test)
                part.append(average_precision_influence(test_y, score))
        found = forecast(*parts)
        held += found.low <= truth <= found.high
    # Not significantly below .8, one-sided at 1 %.
    assert binom.cdf(held, SETS, 0.8) > 0.01, (learner, truth, held / SETS)
