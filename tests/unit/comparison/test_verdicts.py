"""The verdict's decision table, and what would settle an undecided one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from equipoise.artifacts import Estimate
from equipoise.comparison import decide
from equipoise.comparison.gain import VERDICTS, what_would_settle
from equipoise.metrics.paired import PairedDifference


def at(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high)


UP, FLAT = at(0.05, 0.15), at(-0.05, 0.15)
TABLE = [
    (at(-0.008, 0.006), at(-0.006, 0.004), UP, "threshold only"),
    (at(-0.008, 0.006), at(-0.006, 0.004), FLAT, "no effect"),
    (at(-0.008, 0.006), at(-0.006, 0.004), Estimate(math.nan), "no effect"),
    (at(0.001, 0.009), at(0.002, 0.008), UP, "threshold only"),  # proven, but practically equal
    (at(-0.02, 0.01), at(-0.010, 0.010), FLAT, "no effect"),  # the edges belong to the region
    (at(0.01, 0.05), at(0.015, 0.045), FLAT, "ranking gain"),
    (at(-0.05, -0.01), at(-0.045, -0.015), UP, "harmful"),
    (at(-0.01, 0.05), at(-0.005, 0.045), UP, "undecided"),
    (at(-0.05, 0.05), at(-0.04, 0.04), UP, "undecided"),
    (Estimate(0.1), Estimate(0.1), UP, "undecided"),  # one seed
    (Estimate(math.nan), Estimate(math.nan), UP, "undecided"),
]


@pytest.mark.parametrize(("primary", "near", "default", "verdict"), TABLE)
def test_the_table(primary: Estimate, near: Estimate, default: Estimate, verdict: str) -> None:
    assert decide(primary, near, default, rope=0.01) == verdict


def test_every_verdict_is_in_the_table() -> None:
    assert {row[-1] for row in TABLE} == set(VERDICTS)


def difference(value: float, spread: float, rows: float, seeds: int = 5) -> PairedDifference:
    per_seed = tuple(value + spread * v for v in np.linspace(-1, 1, seeds))
    variance = float(np.var(per_seed, ddof=1)) if seeds > 1 else math.nan
    return PairedDifference(value, per_seed, variance, 0.0, rows, 1000)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (difference(0.02, 0.03, 0.001), "needs about .* seeds"),
        (difference(0.02, 0.001, 0.02), "needs about .* times the rows"),
        (difference(0.02, 0.001, 0.02, seeds=1), "at least 2 seeds"),
        (difference(math.nan, 0.001, 0.02), "needs more seeds or rows"),
    ],
)
def test_what_would_settle_it(pair: PairedDifference, words: str) -> None:
    import re

    assert re.fullmatch(f".*{words}.*", what_would_settle(pair, 0.95, 0.01))


def test_the_promised_seeds_settle_it() -> None:
    pair = difference(0.02, 0.03, 0.001)
    text = what_would_settle(pair, 0.95, 0.01)
    seeds = int(text.split("about ")[1].split()[0])
    more = PairedDifference(0.02, (0.02,) * seeds, pair.seed_variance, 0.0, 0.001, 1000)
    assert more.interval(0.95).low >= 0
