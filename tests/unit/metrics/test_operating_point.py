"""What one cut means: the numbers of an evaluation, and slow derivatives at a declared share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from equipoise import Labels, Scores, evaluate, tune
from equipoise.artifacts.estimate import Estimate
from equipoise.decisions import Cost
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.metrics import Influence, influence_interval, operating_point, wilson_interval
from equipoise.metrics.operating_point import POINT_METRICS


def rows(n: int = 400, seed: int = 0, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return y, (rng.normal(size=n) + 1.5 * y > 0.8).astype(int)


def same(found: Estimate, want: Estimate) -> None:
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), atol=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_numbers_are_those_of_an_evaluation(grouped: bool) -> None:
    def scores(part: str, seed: int) -> Scores:
        rng = np.random.default_rng(seed)
        y = (rng.random(500) < 0.15).astype(int)
        groups = [f"{part}{g}" for g in rng.integers(0, 60, 500)] if grouped else None
        labels = Labels.from_array(y, kind="multilabel", names=["A"], groups=groups)
        logits = rng.normal(size=500) + 2 * y - 2.5
        return Scores.from_arrays(labels, logits=logits, split=part)

    rule, test = tune(scores("val", 1), objective=Cost((1.0, 6.0))), scores("test", 2)
    labels = test.require_labels()
    flags = rule.apply(test).predictions[:, 0]
    found = operating_point(labels.values[:, 0], flags, costs=(1, 6), groups=labels.groups)
    judged = evaluate(rule, test).per_label["A"]
    for name in ("precision", "recall", "flagged", "f1"):
        same(found[name], judged[name])
    same(found["cost"], judged["expected_cost"])


def value_at(y: np.ndarray, flag: np.ndarray, w: np.ndarray, share: float, name: str) -> float:
    """Return a metric at a declared share, from rows with weights: the definition."""
    hit = (w * y * flag).sum() / (w * y).sum()
    wrong = (w * (1 - y) * flag).sum() / (w * (1 - y)).sum()
    a, b = share * hit, (1 - share) * wrong
    return {
        "found": a, "missed": share - a, "false_alarms": b, "passed": 1 - share - b,
        "precision": a / (a + b), "recall": hit, "flagged": a + b, "f1": 2 * a / (share + a + b),
        "net_benefit": a - b / 4, "cost": b + 4 * (share - a),
    }[name]  # fmt: skip


@pytest.mark.parametrize("name", POINT_METRICS)
def test_in_groups_at_a_declared_share_influences_are_derivatives(name: str) -> None:
    y, flag = rows(120)
    groups = np.random.default_rng(5).integers(0, 30, 120)
    share, n, step = 0.04, y.size, 1e-5
    slopes = np.zeros(n)
    for i in range(n):
        up, down = np.ones(n), np.ones(n)
        up[i], down[i] = 1 + step, 1 - step
        slopes[i] = (
            value_at(y, flag, up, share, name) - value_at(y, flag, down, share, name)
        ) / (2 * step)  # fmt: skip
    moved = Influence(value_at(y, flag, np.ones(n), share, name), slopes)
    found = operating_point(y, flag, costs=(1, 4), prevalence=share, groups=groups)[name]
    codes = np.unique(groups, return_inverse=True)[1]
    scale = {"net_benefit": "identity", "cost": "log"}.get(name, "logit")
    want = influence_interval(moved, groups=codes, scale=scale)
    np.testing.assert_allclose(
        [found.value, found.low, found.high], [want.value, want.low, want.high], rtol=1e-6
    )


def test_at_a_declared_share_both_sides_keep_their_wilson_intervals() -> None:
    y, flag = rows(120)
    share = 0.04
    found = operating_point(y, flag, costs=(1, 4), prevalence=share)
    hit = wilson_interval(int((y & flag).sum()), int(y.sum()))
    wrong = wilson_interval(int(((1 - y) & flag).sum()), int((1 - y).sum()))
    same(found["recall"], hit)
    for name, side, weight in (("found", hit, share), ("false_alarms", wrong, 1 - share)):
        for end in ("value", "low", "high"):
            assert getattr(found[name], end) == pytest.approx(weight * getattr(side, end))

    def precision(r: float, f: float) -> float:
        return share * r / (share * r + (1 - share) * f)

    value = precision(hit.value, wrong.value)
    down = value - precision(hit.low, wrong.value), value - precision(hit.value, wrong.high)
    up = precision(hit.high, wrong.value) - value, precision(hit.value, wrong.low) - value
    assert found["precision"].value == pytest.approx(value)
    assert found["precision"].low == pytest.approx(value - math.hypot(*down))
    assert found["precision"].high == pytest.approx(value + math.hypot(*up))


def test_the_declared_share_of_the_rows_changes_values_by_nothing() -> None:
    y, flag = rows()
    here, there = operating_point(y, flag), operating_point(y, flag, prevalence=y.mean())
    for name in POINT_METRICS:
        assert here[name].value == pytest.approx(there[name].value, abs=1e-12)
    # The share itself no longer adds to the error.
    assert there["found"].high - there["found"].low < here["found"].high - here["found"].low


@pytest.mark.slow
def test_intervals_at_a_declared_share_hold_what_they_promise() -> None:
    rng, share = np.random.default_rng(3), 0.02
    hit, wrong, draws = 0.6, 0.1, 1500
    a, b = share * hit, (1 - share) * wrong
    truth = {"precision": a / (a + b), "f1": 2 * a / (share + a + b), "flagged": a + b,
             "cost": b + 4 * (share - a), "net_benefit": a - b / 4}  # fmt: skip
    inside = dict.fromkeys(truth, 0)
    for _ in range(draws):
        y = (rng.random(600) < 0.15).astype(int)
        flag = (rng.random(600) < np.where(y == 1, hit, wrong)).astype(int)
        found = operating_point(y, flag, costs=(1, 4), prevalence=share)
        for name, value in truth.items():
            inside[name] += found[name].low <= value <= found[name].high
    # Within three standard errors of 1,500 draws around 95 %.
    for count in inside.values():
        assert abs(count / draws - 0.95) < 3 * math.sqrt(0.95 * 0.05 / draws)


def test_what_cannot_be_judged_says_why() -> None:
    none = operating_point([0, 0, 0, -1], [0, 1, 0, 1])
    assert (none["recall"].reason, none["f1"].reason) == ("no positives", "no positives")
    assert none["false_alarms"].value == pytest.approx(1 / 3)
    assert operating_point([0, 1], [0, 0])["precision"].reason == "nothing flagged"
    declared = operating_point([0, 0], [0, 1], prevalence=0.1)
    assert {e.reason for e in declared.values()} == {"no positives"}
    assert operating_point([1, 1], [0, 1], prevalence=0.1)["cost"].reason == "no negatives"
    nothing = operating_point([-1, -1], [0, 1])
    assert all(math.isnan(e.value) and e.reason == "no known rows" for e in nothing.values())


def test_wrong_use_is_refused() -> None:
    y, flag = rows(20)
    with pytest.raises(DataError, match="flags 0 or 1"):
        operating_point(y, flag * 0.5 + 0.2)
    with pytest.raises(ShapeError, match="One flag per entry"):
        operating_point(y, flag[:-1])
    with pytest.raises(UsageError, match="costs"):
        operating_point(y, flag, costs=(0, 1))
    with pytest.raises(UsageError, match="prevalence"):
        operating_point(y, flag, prevalence=1.0)
    with pytest.raises(ShapeError, match="One group per row"):
        operating_point(y, flag, groups=[1, 2])
