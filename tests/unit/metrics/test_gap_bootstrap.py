"""The gap bootstrap draws what resampling rows draws."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from slow_metrics import slow_ap, slow_auc

from equipoise.errors import DataError
from equipoise.metrics import intervals
from equipoise.metrics.intervals import bootstrap_interval, gap_bootstrap
from equipoise.metrics.ranks import rank_positives


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_its_spread_is_that_of_resampled_rows(tied: bool) -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(400) < 0.1).astype(int)
    s = rng.normal(size=400) + 1.5 * y
    s = s.round(0) if tied else s
    drawn = gap_bootstrap(rank_positives(y, s), n_resamples=4000, seed=1)
    loop = []
    for _ in range(1500):
        rows = rng.integers(0, 400, 400)
        loop.append((average_precision_score(y[rows], s[rows]), roc_auc_score(y[rows], s[rows])))
    slow = np.array(loop)
    for column, fast in enumerate((drawn.average_precision, drawn.roc_auc)):
        assert fast.mean() == pytest.approx(
            slow[:, column].mean(), abs=4 * slow[:, column].std() / 38
        )
        assert fast.std() == pytest.approx(slow[:, column].std(), rel=0.08)


class Once:
    """A generator whose only draw is known."""

    def __init__(self, draw: list[int]) -> None:
        self.draw = draw

    def multinomial(self, total: int, p: np.ndarray, size: int) -> np.ndarray:
        assert (total, len(p)) == (7, len(self.draw))
        return np.array([self.draw] * size)


def test_one_draw_is_the_weighted_metric() -> None:
    """Cells in order: positives (two scores), then gap, tied, gap; empty ones left out."""
    y = np.array([0, 1, 0, 1, 1, 0, 0])
    s = np.array([5.0, 4.0, 4.0, 3.0, 3.0, 2.0, 1.0])
    weights = np.array([2.0, 0.0, 1.0, 3.0, 0.0, 1.0, 0.0])
    # Drawn: positives at 4 (0) and at 3 (3); negative above (2), tied with 4 (1), below (1).
    rng = Once([0, 3, 2, 1, 1])
    ap, auc, best = intervals._replicate(rank_positives(y, s), 1, 1.0, rng)  # type: ignore[arg-type]
    assert ap[0] == pytest.approx(slow_ap(y, s, weights))
    assert auc[0] == pytest.approx(slow_auc(y, s, weights))
    assert best[0] == pytest.approx(2 * 3 / (3 + 6))


def test_resamples_without_a_positive_are_counted() -> None:
    y = np.array([1, 0, 0, 0])
    drawn = gap_bootstrap(rank_positives(y, np.arange(4.0)), n_resamples=2000)
    share = (1 - 1 / 4) ** 4
    assert drawn.n_undefined / 2000 == pytest.approx(share, abs=0.04)
    assert np.isnan(drawn.best_f_beta).sum() == drawn.n_undefined
    found = bootstrap_interval(0.25, drawn.average_precision, n=4, n_positive=1)
    assert f"{drawn.n_undefined} of 2000 resamples held no positive" in str(found.reason)
    assert found.low <= 0.25 <= found.high


def test_the_same_seed_draws_the_same_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.2).astype(int)
    one = rank_positives(y, rng.normal(size=200))
    first, second = (gap_bootstrap(one, n_resamples=50, seed=3) for _ in range(2))
    assert np.array_equal(first.roc_auc, second.roc_auc)
    assert not np.array_equal(first.roc_auc, gap_bootstrap(one, n_resamples=50, seed=4).roc_auc)
    monkeypatch.setattr(intervals, "BLOCK", 1)
    assert np.array_equal(first.roc_auc, gap_bootstrap(one, n_resamples=50, seed=3).roc_auc)


def test_nothing_to_draw_from() -> None:
    with pytest.raises(DataError, match="hold a positive"):
        gap_bootstrap(rank_positives(np.zeros(3, dtype=int), np.arange(3.0)))
    nan = np.full(5, np.nan)
    assert bootstrap_interval(float("nan"), nan, n=3, n_positive=0).reason == "no positives"
