"""Class offsets by exact line search beside brute force, and costs of classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from equipoise.artifacts import Labels, Scores
from equipoise.decisions import BalancedAccuracy, Cost, MacroF1, Rescale, tune
from equipoise.decisions._offsets import (
    _means,
    class_values,
    free_offsets,
    pick_strength,
    strength_counts,
)
from equipoise.errors import UsageError


def data(seed: int, rows: int = 150, decimals: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.choice(4, rows, p=[0.6, 0.25, 0.1, 0.05])
    return (rng.normal(size=(rows, 4)) + 1.5 * np.eye(4)[y]).round(decimals), y


def mean_of(
    measure: str, y: np.ndarray, decided: np.ndarray, weight: np.ndarray | None = None
) -> float:
    score = recall_score if measure == "recall" else f1_score
    return float(
        score(
            y,
            decided,
            labels=np.unique(y),
            average="macro",
            zero_division=0,
            sample_weight=weight,
        )
    )


@pytest.mark.parametrize("measure", ["recall", "f1"])
def test_values_per_class_are_those_of_scikit_learn(measure: str) -> None:
    z, y = data(0)
    found = class_values("recall" if measure == "recall" else "f1", y, z.argmax(1), 4)
    assert np.nanmean(found) == pytest.approx(mean_of(measure, y, z.argmax(1)))
    assert np.isnan(class_values(measure, y, z.argmax(1), 5)[4])


# Every class on data of its own; each on those of the others is slow.
LINES = [
    pytest.param(seed, c, marks=[pytest.mark.slow] * (seed != c))
    for seed in range(4)
    for c in range(4)
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("measure", ["recall", "f1"])
@pytest.mark.parametrize(("seed", "c"), LINES)
def test_the_line_search_is_exact(measure: str, seed: int, c: int, weighted: bool) -> None:
    z, y = data(seed, rows=60)
    own = np.random.default_rng(seed).uniform(0.2, 3, 60) if weighted else np.ones(60)
    others = z.copy()
    others[:, c] = -np.inf
    rival = others.argmax(1)
    lead = others.max(1) - z[:, c]
    order = np.argsort(lead)
    counts = np.bincount(y, own, minlength=4)
    fast = _means(y[order], rival[order], own[order], c, counts, measure)
    for k in range(61):
        decided = rival.copy()
        decided[order[:k]] = c
        assert fast[k] == pytest.approx(mean_of(measure, y, decided, own))


@pytest.mark.parametrize("measure", ["recall", "f1"])
@pytest.mark.parametrize("decimals", [6, 0])
def test_offsets_reach_a_coordinate_maximum(measure: str, decimals: int) -> None:
    z, y = data(1, decimals=decimals)
    b = free_offsets(z, y, np.zeros(4), measure)
    reached = mean_of(measure, y, (z + b).argmax(1))
    assert reached >= mean_of(measure, y, z.argmax(1))
    assert b.mean() == pytest.approx(0, abs=1e-12)
    for c in range(4):
        for step in np.linspace(-4, 4, 81):
            other = b + step * np.eye(4)[c]
            assert mean_of(measure, y, (z + other).argmax(1)) <= reached + 1e-9


def class_scores(seed: int = 0, rows: int = 400) -> Scores:
    z, y = data(seed, rows)
    return Scores.from_arrays(Labels.from_array(y, kind="multiclass"), logits=z, split="val")


@pytest.mark.parametrize("objective", [BalancedAccuracy, MacroF1])
def test_free_offsets_claim_more_and_prove_less(
    objective: type[BalancedAccuracy] | type[MacroF1],
) -> None:
    gaps = []
    for seed in range(6):
        free = tune(class_scores(seed), objective=objective(free_offsets=True))
        shared = tune(class_scores(seed), objective=objective(free_offsets=False))
        assert np.mean(free.claimed) >= np.mean(shared.claimed) - 1e-9
        assert "cross-fitted" in free.notes[0]
        gaps.append(np.mean(free.claimed) - np.mean(free.cross_fitted))
    assert np.mean(gaps) > 0


def test_costs_decide_by_the_least_expected_cost() -> None:
    val = class_scores()
    costs = np.array([[0, 1, 1, 1], [2, 0, 2, 2], [5, 5, 0, 5], [20, 20, 20, 0]], dtype=float)
    rule = tune(val, objective=Cost(costs))
    made = rule.apply(val)
    for p, decided in zip(made.probabilities, made.predictions, strict=True):
        expected = [sum(p[y] * costs[y, k] for y in range(4)) for k in range(4)]
        assert expected[decided] == pytest.approx(min(expected))
    y = val.require_labels().values
    for c in range(4):
        paid = costs[c, made.predictions[y == c]].mean()
        assert rule.claimed[c] == pytest.approx(paid)
    equal = tune(val, objective=Cost(1 - np.eye(4)))
    assert np.array_equal(
        equal.apply(val).predictions, tune(val, objective="accuracy").apply(val).predictions
    )


def test_rescale_divides_by_the_training_shares() -> None:
    val, shares = class_scores(), np.array([0.6, 0.25, 0.1, 0.05])
    rule = tune(val, objective=Rescale(shares))
    want = (np.exp(val.values) / shares).argmax(1)
    assert np.array_equal(rule.apply(val).predictions, want)
    assert rule.calibrator.method == ("formula",) * 4
    assert "unbiased sample" in rule.notes[0]


def test_a_mistake_must_not_be_cheaper_than_being_right() -> None:
    with pytest.raises(UsageError, match="least where the decision is right"):
        tune(class_scores(), objective=Cost(np.eye(4)))


@pytest.mark.parametrize("measure", ["recall", "f1"])
def test_the_strength_is_chosen_on_rows_that_were_not_fitted(measure: str) -> None:
    rng = np.random.default_rng(3)
    y = rng.choice(3, 600, p=[0.8, 0.15, 0.05])
    values = np.log(rng.dirichlet([1, 1, 1], 600)) + 1.5 * np.eye(3)[y]
    target = np.array([0.8, 0.15, 0.05])
    halves = np.arange(600) < 300, np.arange(600) >= 300
    counts = [strength_counts(values[half], y[half], target) for half in halves]
    hits, flagged = (sum(pair) for pair in zip(*counts, strict=True))
    found = pick_strength(hits, flagged, np.bincount(y), measure)
    reached = {}
    for tau in np.round(np.arange(0, 2.01, 0.05), 2):
        decided = (values - tau * np.log(target)).argmax(1)
        per_class = []
        for c in range(3):
            hit = ((decided == c) & (y == c)).sum()
            below = (
                (y == c).sum()
                if measure == "recall"
                else 0.5 * ((y == c).sum() + (decided == c).sum())
            )
            per_class.append(hit / below)
        reached[tau] = np.mean(per_class)
    assert reached[found] == pytest.approx(max(reached.values()))


def test_tau_of_the_rule_is_that_of_the_other_folds() -> None:
    rng = np.random.default_rng(4)
    y = rng.choice(4, 400, p=[0.85, 0.08, 0.05, 0.02])
    values = rng.normal(size=(400, 4)) + 2 * np.eye(4)[y] + np.log([0.85, 0.08, 0.05, 0.02])
    labels = Labels.from_array(y, kind="multiclass")
    scores = Scores.from_arrays(labels, logits=values, split="val")
    rule = tune(scores, calibration="platt")
    share = np.log(labels.counts / 400)
    tau = -rule.class_offset / share
    assert np.ptp(tau) < 0.2
    claimed, crossed = np.nanmean(rule.claimed), np.nanmean(rule.cross_fitted)
    assert claimed == pytest.approx(crossed, abs=0.1)
