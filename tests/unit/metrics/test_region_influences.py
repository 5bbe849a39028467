"""Partial area, recall at a rate and precision at the top: values, derivatives, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from slow_metrics import slow_influence
from test_metric_sweep import rows

from equipoise.metrics import (
    Influence,
    half_row_interval,
    influence_interval,
    partial_roc_auc,
    precision_at_top,
    ratio_influence,
    recall_at_fpr,
    roc_auc_influence,
    share_interval,
    wilson_interval,
)
from equipoise.metrics.influence import region_influences
from equipoise.metrics.ranks import rank_positives


def region(y: np.ndarray, s: np.ndarray, rate: float, share: float) -> dict[str, Influence]:
    ranks = rank_positives(y, s)
    return region_influences(y, ranks, ranks.cells(s), max_fpr=rate, top_fraction=share)


def slow_partial(y: np.ndarray, s: np.ndarray, w: np.ndarray, limit: float) -> float:
    """Area under straight lines between weighted points of the curve, up to the limit."""
    pos, neg = w[y == 1].sum(), w[y == 0].sum()
    area, x, height = 0.0, 0.0, 0.0
    for cut in sorted(set(s[y >= 0].tolist()), reverse=True):
        right = w[(y == 0) & (s >= cut)].sum() / neg
        up = w[(y == 1) & (s >= cut)].sum() / pos
        if right > limit:
            end = height + (up - height) * (limit - x) / (right - x)
            area, x = area + (limit - x) * (height + end) / 2, limit
            break
        area, x, height = area + (right - x) * (height + up) / 2, right, up
    area += max(limit - x, 0.0)
    least = limit * limit / 2
    return float(0.5 * (1 + (area - least) / (limit - least)))


@given(rows(), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_values_are_those_of_the_metrics(
    data: tuple[np.ndarray, np.ndarray], rate: float, share: float
) -> None:
    y, s = data
    found = region(y, s, rate, share)
    assert found["partial_auroc"].value == pytest.approx(partial_roc_auc(y, s, max_fpr=rate))
    assert found["recall_at_fpr"].value == pytest.approx(recall_at_fpr(y, s, fpr=rate))
    assert found["precision_at_top"].value == pytest.approx(precision_at_top(y, s, fraction=share))
    for part in found.values():
        assert part.rows.sum() == pytest.approx(0, abs=1e-12)
        assert (part.rows[y < 0] == 0).all()


@given(rows(), st.sampled_from([0.137, 0.437, 0.837]))
@settings(max_examples=25)
def test_the_partial_area_has_its_derivative(
    data: tuple[np.ndarray, np.ndarray], rate: float
) -> None:
    # These rates are no ratio of small numbers: no point of the curve lies on the limit.
    y, s = data
    slow = slow_influence(lambda y, s, w: slow_partial(y, s, w, rate), y, s)
    found = region(y, s, rate, 0.5)["partial_auroc"]
    np.testing.assert_allclose(found.rows, slow, rtol=0, atol=1e-7)


def test_errors_are_those_of_fresh_samples(rng: np.random.Generator) -> None:
    """600 negatives and 200 positives, so that the cut moves too."""
    y = (np.arange(800) < 200).astype(np.int8)
    drawn = [region(y, rng.normal(size=800) + 1.2 * y, 0.1, 0.1) for _ in range(400)]
    for name in drawn[0]:
        spread = np.std([d[name].value for d in drawn])
        error = np.mean([d[name].standard_error() for d in drawn])
        assert error == pytest.approx(spread, rel=0.15), name


def test_one_sided_labels_have_no_region() -> None:
    for y in (np.zeros(4, np.int8), np.ones(4, np.int8)):
        found = region(y, np.arange(4.0), 0.1, 0.1)
        assert all(np.isnan(part.value) for part in found.values())


def test_the_interval_of_few_positives_is_wider_and_knows_its_edges() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(200) < 6).astype(np.int8)
    auroc = roc_auc_influence(y, rng.normal(size=200) + 2 * y)
    plain, found = influence_interval(auroc), half_row_interval(auroc, y)
    assert found.high - found.low > 1.1 * (plain.high - plain.low)
    assert (found.method, found.n, found.n_positive) == ("half rows", 200, 6)
    assert "fewer than 10 positives" in str(found.reason)
    mirrored = half_row_interval(Influence(1 - auroc.value, -auroc.rows), y)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high))
    perfect = half_row_interval(roc_auc_influence(y, 1.0 * y), y)
    assert perfect.value == perfect.high == 1
    assert 0.4 < perfect.low < 0.8
    worst = half_row_interval(roc_auc_influence(y, -1.0 * y), y)
    assert worst.value == worst.low == 0
    assert worst.high == pytest.approx(1 - perfect.low)
    alone = half_row_interval(roc_auc_influence([1, 0], [0.9, 0.1]), np.array([1, 0]))
    assert 0 < alone.low < 0.5
    assert half_row_interval(roc_auc_influence([0, 0], [0.9, 0.1]), np.zeros(2, int)).is_missing


def test_with_many_rows_half_a_row_is_nothing(rng: np.random.Generator) -> None:
    y = (np.arange(20_000) < 5000).astype(np.int8)
    auroc = roc_auc_influence(y, rng.normal(size=20_000) + y)
    plain, found = influence_interval(auroc), half_row_interval(auroc, y)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=2e-4)


@given(st.integers(1, 29))
def test_a_share_with_a_fixed_cut_has_wilsons_interval(hits: int) -> None:
    part = ratio_influence(np.arange(30) < hits, np.ones(30))
    found, expected = share_interval(part, 30), wilson_interval(hits, 30)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert share_interval(Influence(float("nan"), part.rows), 30, reason="why").reason == "why"
    sure = share_interval(Influence(1.0, 0 * part.rows), 30)
    assert sure.low == pytest.approx(wilson_interval(30, 30).low)
