"""Verdicts: the decision table, levels and looks, moderated spreads, the price of a choice."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import digamma, polygamma
from scipy.stats import norm, t as student
from trial_factory import label_trial

from equipoise.comparison import compare
from equipoise.comparison.gain import Design, what_would_settle
from equipoise.comparison.verdict import (
    LOOKS,
    VERDICTS,
    Levels,
    judge,
    levels_of,
    moderate,
    nominal_levels,
    regret_bound,
    words,
)
from equipoise.metrics.paired import PairedDifference, degrees_of_freedom

ONE = Levels.one_look(0.05, 0.05)
# value, error, whether the default rule improved -> verdict; 40 degrees of freedom, rope 0.01
TABLE = [
    (0.001, 0.003, True, "threshold only"),
    (0.001, 0.003, False, "no effect"),
    (0.0, 0.0, True, "threshold only"),  # the same model
    (0.0, 0.0, False, "no effect"),
    (0.005, 0.001, True, "threshold only"),  # proven, but practically equal
    (0.03, 0.005, False, "ranking gain"),
    (-0.03, 0.005, True, "harmful"),
    (-0.008, 0.006, True, "not worth it"),
    (-0.004, 0.008, False, "not worth it"),
    (0.02, 0.015, True, "undecided"),
    (0.0, 0.02, True, "undecided"),
    (0.1, math.nan, True, "undecided"),  # one seed
    (math.nan, math.nan, True, "undecided"),
]


@pytest.mark.parametrize(("value", "error", "lifted", "verdict"), TABLE)
def test_the_table(value: float, error: float, lifted: bool, verdict: str) -> None:
    found = judge([value], [error], [math.nan if math.isnan(error) else 40], ONE, 0.01)
    assert words(found, [lifted]).tolist() == [verdict]


def test_every_verdict_is_in_the_table() -> None:
    assert {row[-1] for row in TABLE} == set(VERDICTS)


@given(
    st.floats(-0.05, 0.05), st.floats(1e-4, 0.05), st.floats(1, 200), st.sampled_from([0.05, 0.01])
)
def test_what_is_judged_is_what_intervals_say(
    value: float, error: float, df: float, alpha: float
) -> None:
    found = judge([value], [error], [df], Levels.one_look(alpha, alpha), 0.01)
    wide = student.ppf(1 - alpha / 2, df) * error
    near = student.ppf(1 - alpha, df) * error
    assert found.gain[0] == (value - wide >= 0 and value > 0)
    assert found.harm[0] == (value + wide <= 0 and value < 0)
    assert found.below[0] == (value + near <= 0.01)
    assert found.above[0] == (value - near >= -0.01)


def test_several_remedies_step_down() -> None:
    p = np.array([0.012, 0.02, 0.04])
    values = student.isf(p / 2, 1e6) * 0.01
    found = judge(values, [0.01] * 3, 1e6, ONE, 0.001)
    assert found.gain.tolist() == [True, True, True]
    np.testing.assert_allclose(found.p_adjusted, [0.036, 0.04, 0.04], rtol=1e-6)
    apart = judge(
        values, [0.01] * 3, 1e6, Levels(0.025, 0.025, 0.05, steps_down=False, remedies=3), 0.001
    )
    assert apart.gain.tolist() == [True, False, False]


def test_looks_spend_what_they_may() -> None:
    """By simulation of the mean of independent seeds: 200,000 walks."""
    rng = np.random.default_rng(3)
    sums = rng.normal(size=(200_000, LOOKS[-1])).cumsum(axis=1)
    z = np.stack([sums[:, s - 1] / math.sqrt(s) for s in LOOKS], axis=1)
    for remedies in (1, 4):
        levels = [levels_of(s, LOOKS, remedies, 0.05) for s in LOOKS]
        for kind, total in (("gain", 0.025), ("harm", 0.025), ("bound", 0.05)):
            expected = total if kind == "bound" else total / remedies
            each = [getattr(v, kind) / (1 if kind == "bound" else remedies) for v in levels]
            crossed = (z > norm.isf(each)).any(axis=1).mean()
            assert abs(crossed - expected) < 4 * math.sqrt(expected / 200_000), kind


@pytest.mark.parametrize("most", [6, 11, 17])
def test_a_stop_between_looks_spends_no_more(most: int) -> None:
    times = [s / 20 for s in (*(s for s in LOOKS if s < most), most)]
    last = levels_of(most, LOOKS, 1, 0.05)
    assert 0.05 * (times[-1] - times[-2]) - 1e-12 < last.bound < 0.05 * times[-1] + 1e-12
    assert levels_of(20, None, 8, 0.05) == Levels.one_look(0.05, 0.05)


def test_one_look_is_read_at_what_it_spends() -> None:
    assert nominal_levels((1.0,), (0.05,)) == pytest.approx((0.05,), abs=1e-9)


def slow_moderation(s2: np.ndarray, d: float) -> tuple[float, float]:
    """d0 and s0^2 by the book, with a root finder of its own."""
    e = np.log(s2) - digamma(d / 2) + np.log(d / 2)
    beyond = e.var(ddof=1) - polygamma(1, d / 2)
    if beyond <= 0:
        return math.inf, float(np.exp(e.mean()))
    low, high = 1e-6, 1e7
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if polygamma(1, middle / 2) > beyond else (low, middle)
    return low, float(np.exp(e.mean() + digamma(low / 2) - np.log(low / 2)))


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 12), st.sampled_from([2, 4, 9]), st.floats(0, 2))
def test_moderation_by_the_book(seed: int, k: int, d: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    s2 = np.exp(spread * rng.normal(size=k)) * rng.chisquare(d, size=k) / d
    found, df = moderate(s2, d)
    d0, common = slow_moderation(s2, d)
    lent = min(d0, 8.0)
    np.testing.assert_allclose(df, d + lent, rtol=1e-5)
    np.testing.assert_allclose(found, (lent * common + d * s2) / (lent + d), rtol=1e-4)


def test_what_has_no_spread_is_left_as_it_is() -> None:
    found, df = moderate([0.0, 1.0, math.nan], 4)
    assert found[:2].tolist() == [0.0, 1.0]
    assert df.tolist() == [4, 4, 4]
    alone, _ = moderate([2.0], 4)
    assert alone.tolist() == [2.0]


def test_degrees_of_freedom_of_either_part_alone() -> None:
    assert float(degrees_of_freedom((2.0, 4), (0.0, 50))) == pytest.approx(4)
    assert float(degrees_of_freedom((0.0, 4), (2.0, 50))) == pytest.approx(50)
    assert math.isinf(float(degrees_of_freedom((0.0, 4), (0.0, 50))))


def test_regret_covers_the_best_of_several() -> None:
    """The one with the best estimate is taken: how much better the best may be is covered."""
    rng = np.random.default_rng(8)
    truth = np.array([0.0, 0.004, 0.008, 0.008])
    held, trials = 0, 4000
    for _ in range(trials):
        s = 0.006 * rng.normal(size=4)
        est = truth + s
        pick = int(est.argmax())
        rest = np.delete(np.arange(4), pick)
        bound = regret_bound(est[rest] - est[pick], [0.006 * math.sqrt(2)] * 3, [1e6] * 3, 0.05)
        held += bound >= truth.max() - truth[pick]
    assert held / trials > 0.95 - 2 * math.sqrt(0.05 * 0.95 / trials)
    assert regret_bound([], [], [], 0.05) == 0.0
    assert math.isnan(regret_bound([0.1], [math.nan], [3], 0.05))


def difference(value: float, spread: float, rows: float, seeds: int = 5) -> PairedDifference:
    per_seed = tuple(value + spread * v for v in np.linspace(-1, 1, seeds))
    variance = float(np.var(per_seed, ddof=1)) if seeds > 1 else math.nan
    return PairedDifference(value, per_seed, variance, rows, 1000, 100.0)


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
    assert re.fullmatch(f".*{words}.*", what_would_settle(pair, ONE, 0.05, 0.01))


def test_the_promised_seeds_settle_it() -> None:
    pair = difference(0.02, 0.03, 0.001)
    text = what_would_settle(pair, ONE, 0.05, 0.01)
    seeds = int(text.split("about ")[1].split()[0])
    more = PairedDifference(0.02, (0.02,) * seeds, pair.seed_variance, 0.001, 1000, 100.0)
    assert more.interval(0.95).low >= 0


def test_a_settled_arm_lends_the_spread_it_had() -> None:
    """What an earlier look made of it is not shrunk once more."""
    design = Design("macro_ap", 0.01, 0.95, None, looks=LOOKS)
    raw = {f"m{i}": difference(0.0, 0.01 * (i + 1), 0.001) for i in range(4)}
    once = design.moderated(raw)
    again = design.moderated({**once, "m0": raw["m0"]})
    assert again["m0"].seed_variance == pytest.approx(once["m0"].seed_variance)
    assert once["m0"].seed_variance > raw["m0"].seed_variance


@pytest.mark.parametrize(("seed", "strength"), [(0, 1.6), (1, 1.6), (0, 1.56), (2, 1.7)])
def test_what_is_recommended_follows_from_the_verdicts(seed: int, strength: float) -> None:
    """Arms that stop at different looks: the baseline gives way exactly to a ranking gain."""
    strengths = {"none": 1.5, "far": 0.8, "near": 1.5, "better": strength}
    seeds = {"none": 13, "far": 5, "near": 8, "better": 13}
    trials = [
        label_trial(method, 20 * seed + s, strength=strengths[method], noise=0.9)
        for method in strengths
        for s in range(seeds[method])
    ]
    found = compare(trials, looks=(5, 8, 13))
    gained = [a.method for a in found.arms if a.gain and a.gain.verdict == "ranking gain"]
    if gained:
        assert found.recommended in gained
        assert f"Use {found.recommended}: it beats none" in found.summary[0]
    else:
        assert found.recommended in ("none", "none + thresholds")
        assert "no remedy is shown to beat" in found.summary[0]
