"""Intervals and paired differences against formulas by hand and explicit loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2, norm, t as student

from equipoise.errors import DataError, UsageError
from equipoise.metrics import (
    Influence,
    boyd_interval,
    half_row_interval,
    holm,
    influence_interval,
    pair_over_seeds,
    ratio_influence,
    roc_auc_influence,
    share_interval,
    wilson_interval,
)
from equipoise.metrics.intervals import average_precision_way

Z95 = 1.959963984540054


@given(st.integers(0, 50), st.integers(1, 50), st.floats(0.5, 0.99))
def test_wilson_solves_its_equation(hits: int, n: int, level: float) -> None:
    hits = min(hits, n)
    found = wilson_interval(hits, n, confidence_level=level)
    z = norm.ppf(0.5 + level / 2)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for bound in (found.low, found.high):
        inside = 0 < bound < 1 and bound != found.value
        if inside:  # the bounds are where |p_hat - p| = z sqrt(p (1 - p) / n)
            assert abs(hits / n - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / n))


def test_ten_flags_without_error_promise_little() -> None:
    assert wilson_interval(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert wilson_interval(0, 0).is_missing


@pytest.mark.parametrize(("ap", "positives"), [(0.4, 20), (0.05, 12), (0.9, 49)])
def test_boyd_by_hand(ap: float, positives: int) -> None:
    found = boyd_interval(ap, positives, n=1000)
    eta, tau = math.log(ap / (1 - ap)), 1 / math.sqrt(positives * ap * (1 - ap))
    for bound, sign in ((found.low, -1), (found.high, 1)):
        assert bound == pytest.approx(1 / (1 + math.exp(-(eta + sign * Z95 * tau))))
    assert found.reason is None


def test_boyd_at_the_edges() -> None:
    perfect = boyd_interval(1.0, 5, n=100)
    assert perfect.low < 1.0 == perfect.value == perfect.high
    assert "fewer than 10 positives" in str(perfect.reason)
    assert boyd_interval(0.5, 0, n=100).is_missing


def test_an_interval_from_influence_on_the_logit_scale() -> None:
    share = ratio_influence([1, 1, 0, 1], np.ones(4))
    error = share.standard_error()
    found = influence_interval(share, n_positive=60)
    reach = Z95 * error / (0.75 * 0.25)
    assert found.low == pytest.approx(1 / (1 + math.exp(-(math.log(3) - reach))))
    assert found.high == pytest.approx(1 / (1 + math.exp(-(math.log(3) + reach))))
    plain = influence_interval(share, scale="identity")
    assert (plain.low + plain.high) / 2 == pytest.approx(0.75)
    assert plain.high - plain.low == pytest.approx(2 * Z95 * error)


def test_few_positives_bring_their_own_caution() -> None:
    share = ratio_influence([1, 1, 0, 1], np.ones(4))
    assert "fewer than 10" in str(influence_interval(share, n_positive=9).reason)
    assert influence_interval(share, n_positive=10).reason is None


@pytest.mark.parametrize(
    ("n_positive", "rows", "without", "in_groups"),
    [
        (0, "boyd", "boyd", "influence"),
        (9, "boyd", "boyd", "influence"),
        (10, "boyd", "boyd", "influence"),
        (49, "boyd", "boyd", "influence"),
        (50, "bootstrap", "influence", "influence"),
        (199, "bootstrap", "influence", "influence"),
        (200, "bootstrap", "influence", "influence"),
        (201, "influence", "influence", "influence"),
    ],
)
def test_which_interval_goes_with_how_many_positives(
    n_positive: int, rows: str, without: str, in_groups: str
) -> None:
    assert average_precision_way(n_positive, resampled=True) == rows
    assert average_precision_way(n_positive, resampled=False) == without
    for resampled in (True, False):
        found = average_precision_way(n_positive, resampled=resampled, grouped=True)
        assert found == in_groups


@pytest.mark.parametrize(("n_positive", "cautious"), [(1, True), (9, True), (10, False)])
def test_every_interval_is_cautious_below_ten_positives(n_positive: int, cautious: bool) -> None:
    y = (np.arange(100) < n_positive).astype(int)
    auroc = roc_auc_influence(y, np.cos(np.arange(100)))
    share = ratio_influence(y, np.ones(100))
    for found in (
        boyd_interval(0.4, n_positive, n=100),
        half_row_interval(auroc, y),
        influence_interval(share, n_positive=n_positive),
        share_interval(share, 100, n_positive=n_positive),
    ):
        assert ("fewer than 10 positives" in str(found.reason)) == cautious


def test_a_perfect_score_still_has_an_interval() -> None:
    found = influence_interval(ratio_influence(np.ones(20), np.ones(20)), n_positive=20)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.05 ** (1 / 20))
    none = influence_interval(ratio_influence(np.zeros(20), np.ones(20)))
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 20))


def test_a_missing_value_says_why() -> None:
    found = influence_interval(ratio_influence([0], [0]), reason="no positives")
    assert found.is_missing
    assert found.reason == "no positives"
    with pytest.raises(UsageError, match="confidence_level"):
        influence_interval(ratio_influence([1], [1]), confidence_level=95)


def slow_holm(p: list[float], alpha: float) -> tuple[list[float], set[int]]:
    """Step down by the book: reject while p_(k) <= alpha / (m - k + 1)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, rejected, going = [0.0] * len(p), set(), True
    for k, i in enumerate(order):
        adjusted[i] = min(1.0, max((len(p) - j) * p[order[j]] for j in range(k + 1)))
        going = going and p[i] <= alpha / (len(p) - k)
        if going:
            rejected.add(i)
    return adjusted, rejected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_by_the_book(p: list[float], alpha: float) -> None:
    adjusted, levels = holm(p, alpha=alpha)
    slow, rejected = slow_holm(p, alpha)
    assert adjusted == pytest.approx(slow)
    # An interval at its level excludes 0 exactly where the test rejects.
    assert {i for i in range(len(p)) if p[i] <= levels[i]} == rejected


def test_holm_leaves_nan_out() -> None:
    adjusted, levels = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == 0.02
    assert math.isnan(adjusted[1])
    assert levels.tolist() == [0.025, 0.05, 0.05]
    assert [len(part) for part in holm([])] == [0, 0]
    many = np.array([[0.01, 0.04, 0.2], [0.03, 0.001, 0.2]])
    for row, adjusted, levels in zip(many, *holm(many), strict=True):
        alone = holm(row)
        assert (adjusted.tolist(), levels.tolist()) == (alone[0].tolist(), alone[1].tolist())


def influences(values: list[list[float]]) -> list[Influence]:
    return [ratio_influence(v, np.ones(len(v))) for v in values]


def test_pairing_by_an_explicit_loop(rng: np.random.Generator) -> None:
    seeds, n = 4, 30
    a, b = rng.normal(size=(2, seeds, n))
    found = pair_over_seeds(influences(a.tolist()), influences(b.tolist()))
    gaps = [a[s].mean() - b[s].mean() for s in range(seeds)]
    mean = sum(gaps) / seeds
    s2 = sum((g - mean) ** 2 for g in gaps) / (seeds - 1)
    row = [sum(a[s][i] - b[s][i] for s in range(seeds)) / seeds for i in range(n)]
    rows2 = sum((r - mean) ** 2 for r in row) / n**2 * n / (n - 1)
    error = math.sqrt(s2 / seeds + rows2)
    centred = [r - mean for r in row]
    carried = sum(c**2 for c in centred) ** 2 / sum(c**4 for c in centred)
    # The upper bound of the seed part at 95 % (four seeds), in the degrees of freedom alone.
    most = (seeds - 1) / chi2.ppf(0.05, seeds - 1) * s2 / seeds
    df = (most + rows2) ** 2 / (most**2 / (seeds - 1) + rows2**2 / carried)
    assert found.value == pytest.approx(mean)
    assert found.per_seed == pytest.approx(gaps)
    assert found.standard_error == pytest.approx(error)
    low_high = found.interval(0.95)
    assert found.df == pytest.approx(df)
    reach = student.ppf(0.975, df) * error
    assert (low_high.low, low_high.high) == pytest.approx((mean - reach, mean + reach))
    assert found.p_value == pytest.approx(2 * student.sf(abs(mean) / error, df))
    excludes = low_high.low > 0 or low_high.high < 0
    assert excludes == (found.p_value < 0.05)


def test_cross_fitted_rows_by_an_explicit_loop(rng: np.random.Generator) -> None:
    seeds, n = 3, 40
    gaps = rng.normal(size=(seeds, n)) + rng.normal(size=n)
    found = pair_over_seeds(
        influences(gaps.tolist()), influences([[0.0] * n] * seeds), crossed=True
    )
    own = [[(v - row.mean()) / n for v in row] for row in gaps]
    mean = [sum(own[s][i] for s in range(seeds)) / seeds for i in range(n)]
    joint = sum(v * v for v in mean) * n / (n - 1)
    single = sum(sum(v * v for v in row) * n / (n - 1) for row in own) / seeds
    endless = max((seeds * joint - single) / (seeds - 1), joint / 4)
    assert found.row_error**2 == pytest.approx(max(joint, 2 * endless))


def test_pairing_with_groups(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 3, 20))
    groups = np.repeat(np.arange(5), 4)
    found = pair_over_seeds(influences(a.tolist()), influences(b.tolist()), groups=groups)
    row = np.mean([x.rows - y.rows for x, y in zip(*map(influences, (a, b)), strict=True)], axis=0)
    sums = [row[groups == g].sum() for g in range(5)]
    assert found.row_error == pytest.approx(math.sqrt(sum(v * v for v in sums) * 5 / 4))
    assert found.n_rows == 5


def test_equal_methods_differ_by_exactly_zero() -> None:
    one = influences([[1, 0, 1], [1, 1, 1]])
    found = pair_over_seeds(one, one)
    assert found.p_value == 1.0
    assert (found.interval(0.95).low, found.interval(0.95).high) == (0.0, 0.0)


def test_one_seed_has_no_interval_and_nan_no_value() -> None:
    one = influences([[1, 0, 1]])
    alone = pair_over_seeds(one, influences([[0, 0, 1]]))
    assert math.isnan(alone.interval(0.95).low)
    assert math.isnan(alone.p_value)
    assert math.isnan(alone.smallest_detectable())
    undefined = pair_over_seeds([Influence(math.nan, np.zeros(3))] * 2, one * 2)
    assert undefined.interval(0.95).is_missing
    assert undefined.interval(0.95).reason
    assert math.isnan(undefined.p_value)
    with pytest.raises(DataError, match="one value per seed"):
        pair_over_seeds(one, one * 2)


def test_what_more_seeds_and_rows_would_do(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 3, 4000))
    pair = pair_over_seeds(influences(a.tolist()), influences((b + 0.01).tolist()))
    now = pair.interval(0.95).high - pair.value
    n = pair.seeds_for(0.5 * now, 0.95)
    assert n is not None
    assert student.ppf(0.975, pair.df_with(n)) * pair.error_with(n) <= 0.5 * now
    assert student.ppf(0.975, pair.df_with(n - 1)) * pair.error_with(n - 1) > 0.5 * now
    assert pair.seeds_for(1e-9, 0.95) is None
    assert pair.row_factor_for(now / 2, 0.95) == pytest.approx(4.0)
