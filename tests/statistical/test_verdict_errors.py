"""How often praise, blame and "not worth it" are wrong, over 2,000 simulated comparisons each.

Seeds, numbers and bounds were fixed before the first run. "Not significantly above .05" is a
one-sided binomial bound at 99 % over 2,000 independent studies; where several remedies of a study
are counted, their errors are correlated, so that the number of studies is what counts.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.verdict_power import ROPE, Noise, Verdicts, draw, judge_fixed, judge_looks

pytestmark = pytest.mark.slow
STUDIES = 2000
MOST = 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / STUDIES)
SCHEMES = (3, 5, 8, 20, "auto")


def judged(truth: float, arms: int, log_sd: float, scheme: int | str, stream: int) -> Verdicts:
    # The same draws for all schemes: they are compared on the same studies.
    rng = np.random.default_rng([stream, arms, int(10 * log_sd)])
    drawn, rows = draw(rng, np.full(arms, truth), STUDIES, Noise(log_sd=log_sd))
    return judge_looks(drawn, rows) if isinstance(scheme, str) else judge_fixed(drawn, rows, scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("log_sd", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("arms", [1, 3, 8, 20])
def test_remedies_that_do_nothing_are_rarely_praised_or_blamed(
    arms: int, log_sd: float, scheme: int | str
) -> None:
    found = judged(0.0, arms, log_sd, scheme, 1901)
    wrong = np.isin(found.said, ["ranking gain", "harmful"]).any(axis=1).mean()
    assert wrong <= MOST, wrong


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("log_sd", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("arms", [1, 3, 8, 20])
def test_a_gain_worth_having_is_rarely_called_not_worth_it(
    arms: int, log_sd: float, scheme: int | str
) -> None:
    """At a true gain of exactly the region's end, per remedy."""
    found = judged(ROPE, arms, log_sd, scheme, 1902)
    wrong = np.isin(found.said, ["not worth it", "no effect", "harmful"]).mean()
    assert wrong <= MOST, wrong


def test_power_and_seeds_of_studies_that_stop_by_themselves() -> None:
    for sd in (0.008, 0.010):
        rng = np.random.default_rng([1903, int(1000 * sd)])
        truth = np.zeros(8)
        truth[0] = 0.02
        drawn, rows = draw(rng, truth, STUDIES, Noise(seed_sd=sd))
        found = judge_looks(drawn, rows)
        assert (found.said[:, 0] == "ranking gain").mean() >= 0.90
        nothing = found.said[:, 1:]
        assert (nothing != "undecided").mean() >= 0.75
        assert found.seeds[:, 1:].mean() <= 12
