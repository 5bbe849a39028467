"""Coverage of intervals where rows were drawn unequally and say so by their weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm

from equipoise.artifacts import Labels, Scores
from equipoise.comparison import evaluate
from equipoise.decisions import tune

pytestmark = pytest.mark.slow
DRAWS, SIZE, DELTA, SHARE = 400, 400_000, 1.5, 0.05
METRICS = ("ap", "auroc", "prevalence", "recall", "precision", "f1", "log_loss")


def population(
    rng: np.random.Generator, n: int, chance: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, scores and weights of n rows of a population, kept with a chance that goes with both.

    A row's chance lies between the two numbers and rises with a size that truth and score go with.
    """
    y = (rng.random(n) < SHARE).astype(int)
    z = rng.normal(size=n) + DELTA * y
    size = norm.cdf(0.5 * z + 0.5 * y + rng.normal(size=n))
    kept = chance[0] + (chance[1] - chance[0]) * size
    at = rng.random(n) < kept
    return y[at], z[at], 1 / kept[at]


def scores_of(y: np.ndarray, z: np.ndarray, weights: np.ndarray | None, part: str) -> Scores:
    labels = Labels.from_array(y, kind="multilabel", names=["A"], weights=weights)
    return Scores.from_arrays(labels, logits=DELTA * z - 4, split=part)


# Of 400, 600 and 4,000 expected rows; the smallest has some 15 positives.
@pytest.mark.parametrize(
    ("n", "chance"), [(1600, (0.05, 0.45)), (4000, (0.02, 0.3)), (8000, (0.1, 0.9))]
)
def test_intervals_of_weighted_rows_hold_what_the_population_is(
    n: int, chance: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    y, z, _ = population(rng, 4000, (1.0, 1.0))
    rule = tune(scores_of(y, z, None, "val"))
    y, z, _ = population(rng, SIZE, (1.0, 1.0))
    whole = evaluate(rule, scores_of(y, z, None, "test")).per_label["A"]
    hits = dict.fromkeys(METRICS, 0)
    blind = 0
    for _ in range(DRAWS):
        y, z, weights = population(rng, n, chance)
        drawn = scores_of(y, z, weights, "test")
        found = evaluate(rule, drawn).per_label["A"]
        for metric in METRICS:
            hits[metric] += found[metric].low <= whole[metric].value <= found[metric].high
        labels = replace(drawn.require_labels(), weights=None)
        plain = evaluate(rule, replace(drawn, labels=labels)).per_label["A"]["prevalence"]
        blind += plain.low <= whole["prevalence"].value <= plain.high
    # Not significantly below 0.93, at 1 %.
    least = int(binom.ppf(0.01, DRAWS, 0.93))
    short = {m: h / DRAWS for m, h in hits.items() if h < least}
    assert not short
    assert blind < DRAWS / 2  # or there was nothing to weigh
