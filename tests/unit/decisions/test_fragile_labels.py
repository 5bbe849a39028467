"""Decisions nobody should ship: labels without positives, floods of a few, rules behind 0.5."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Labels, Scores
from equipoise.artifacts.scores import default_flags
from equipoise.decisions import (
    Budget,
    Cost,
    NetBenefit,
    Objective,
    Precision,
    Recall,
    Rescale,
    TopK,
    _labels,
    count_decided,
    parted_shares,
    tune,
)

RNG = np.random.default_rng(0)


def scores(n_positive: int, rows: int = 825, seed: int = 0, split: Any = "val") -> Scores:
    """Two labels: one with 200 positives and one with ``n_positive``, hardly told apart."""
    rng = np.random.default_rng(seed)
    y = np.zeros((rows, 2), dtype=np.int8)
    y[:200, 0], y[rng.permutation(rows)[:n_positive], 1] = 1, 1
    z = 1.5 * y - 2 + rng.normal(size=y.shape)
    z[:, 1] -= 4
    labels = Labels.from_array(y, kind="multilabel", names=["common", "rare"])
    return Scores.from_arrays(labels, logits=z, split=split)


FITTED: dict[str, str | Objective] = {
    "f1": "f1",
    "f2": "f2",
    "mcc": "mcc",
    "balanced_accuracy": "balanced_accuracy",
    "prevalence": "prevalence",
    "recall": Recall(at_least=0.9),
    "precision": Precision(at_least=0.5),
}
POLICIES: dict[str, Objective] = {
    "cost": Cost((1, 5)),
    "net_benefit": NetBenefit(threshold_probability=0.2),
    "top_k": TopK(k=1),
    "budget": Budget(flags_per_row=0.3),
}


@pytest.mark.parametrize("objective", FITTED)
def test_a_label_without_positives_is_never_flagged_by_a_fitted_cut(objective: str) -> None:
    val = scores(0)
    rule = tune(val, objective=FITTED[objective])
    assert rule.thresholds is not None
    assert rule.thresholds[1] == np.inf
    assert np.isfinite(rule.thresholds[0])
    assert rule.apply(scores(5, seed=1, split="new")).predictions[:, 1].sum() == 0
    assert rule.grades[1] == "D"
    assert "never flagged" in rule.notes[1]
    assert ("not promised" in rule.notes[1]) == (objective == "recall")


@pytest.mark.parametrize("objective", POLICIES)
def test_stated_policies_go_on_without_positives_and_are_unverified(objective: str) -> None:
    rule = tune(scores(0), objective=POLICIES[objective])
    assert "unverified" in rule.notes[1]
    assert rule.thresholds is not None
    assert rule.thresholds[1] < np.inf


def test_the_textbook_cut_goes_on_without_positives() -> None:
    rule = tune(scores(0), objective=Rescale([0.2, 0.01]))
    assert rule.thresholds is not None
    assert np.isfinite(rule.thresholds).all()


@pytest.mark.parametrize("n_positive", [1, 2, 4, 9])
@pytest.mark.parametrize("objective", ["f1", "mcc"])
def test_a_few_positives_never_flood(n_positive: int, objective: str) -> None:
    """Scores that know nothing: the best F1 in expectation would be to flag everybody."""
    rng = np.random.default_rng(n_positive)
    y = (np.arange(2000) < n_positive).astype(np.int8)
    val = Scores.from_arrays(
        Labels.from_array(y, kind="multilabel"), logits=rng.normal(size=2000) - 6, split="val"
    )
    rule = tune(val, objective=objective)
    assert rule.apply(val).predictions.sum() <= 3 * n_positive
    assert rule.grades == ("D",)


def told_apart(rows: int = 2000) -> tuple[Scores, np.ndarray]:
    """One label whose cut at 0.5 is right in nine rows of ten."""
    rng = np.random.default_rng(3)
    y = (rng.random(rows) < 0.4).astype(np.int8)
    z = np.where(rng.random(rows) < 0.9, 2.0 * y - 1, 1 - 2.0 * y) + 0.1 * rng.normal(size=rows)
    return Scores.from_arrays(Labels.from_array(y, kind="multilabel"), logits=z, split="val"), y


def cross_fitted_as(monkeypatch: pytest.MonkeyPatch, flags: np.ndarray) -> None:
    """Let cross-fitting say that what is tuned flags these rows."""
    monkeypatch.setattr(_labels, "_cross_fit", lambda *_: flags[:, None])


def test_a_cut_that_is_clearly_worse_than_the_default_gives_way_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    val, y = told_apart()
    cross_fitted_as(monkeypatch, np.random.default_rng(0).random(y.size) < 0.4)
    rule = tune(val)
    np.testing.assert_array_equal(rule.apply(val).predictions, default_flags(val))
    assert rule.cross_fitted[0] == rule.claimed[0] == pytest.approx(0.88, abs=0.03)
    assert "a tuned cut decides worse than 0.5 (0.4" in rule.notes[0]
    assert "0.5 is kept" in rule.notes[0]
    assert rule.grades == ("A",)


@pytest.mark.parametrize(("missed", "grade", "how"), [(2, "B", "no better"), (400, "D", "worse")])
def test_a_policy_behind_the_default_loses_its_grade(
    monkeypatch: pytest.MonkeyPatch, missed: int, grade: str, how: str
) -> None:
    val, y = told_apart()
    flags = default_flags(val)[:, 0].copy()
    flags[np.flatnonzero(flags & (y == 1))[:missed]] = False
    cross_fitted_as(monkeypatch, flags)
    rule = tune(val, objective=Cost((1.0, 1.0)))
    assert rule.grades == (grade,)
    assert f"decides {how} than 0.5 on the scores as they came" in rule.notes[0]


def test_a_cut_that_wins_is_let_alone() -> None:
    val, y = told_apart()
    moved = Scores.from_arrays(val.labels, logits=val.values - 3, split="val")
    rule = tune(moved)
    assert "0.5" not in rule.notes[0]
    assert rule.grades == ("A",)
    assert rule.apply(moved).predictions[y == 1].mean() > 0.85
    assert default_flags(moved).sum() == 0


def test_decided_and_expected_shares_part() -> None:
    rule = tune(scores(60))
    decided, expected, n = count_decided(rule, scores(60, seed=1, split="new"))
    assert set(decided) == {"common", "rare"}
    assert n == 825
    assert parted_shares(rule, decided, expected, n) == {}
    flood = parted_shares(rule, decided | {"rare": 500.0}, expected, n)
    assert list(flood) == ["rare"]
    assert flood["rare"].startswith("500 decided (60.6%) where")
    drought = parted_shares(rule, decided | {"common": 0.0}, expected, n)
    assert list(drought) == ["common"]


def test_what_flags_much_by_nature_is_held_against_its_validation_rows() -> None:
    rule = tune(scores(60), objective=Recall(at_least=0.99))
    decided, expected, n = count_decided(rule, scores(60, seed=1, split="new"))
    assert decided["rare"] > 3 * expected["rare"]
    assert parted_shares(rule, decided, expected, n) == {}
    assert rule.decided[1] == pytest.approx(decided["rare"] / n, abs=0.1)
    assert rule.prior == pytest.approx([200.5 / 826, 60.5 / 826])


@pytest.mark.parametrize("objective", ["f1", Cost((1, 5))], ids=["f1", "cost"])
def test_a_prior_is_not_counted_twice_for_a_label_without_positives(
    objective: str | Objective,
) -> None:
    """The formula's probabilities have the prior of their model, not that of no row in 2000."""
    rng = np.random.default_rng(0)
    share = np.array([0.2, 0.01])

    def drawn(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = (rng.random((2000, 2)) < seen).astype(np.int8)
        return y, rng.normal(size=y.shape) + 2 * y + np.log(share / (1 - share)) - 2 * share

    y, z = drawn(np.array([0.2, 0.0]))
    val = Scores.from_arrays(Labels.from_array(y, kind="multilabel"), logits=z, split="val")
    own = tune(val, objective=objective).apply(val).probabilities[:, 1].mean()
    for target in (0.01, 0.05):
        rule = tune(val, objective=objective, target_prior=[0.2, target])
        p = rule.apply(val).probabilities[:, 1]
        assert p.mean() == pytest.approx(target, rel=0.15)
        assert rule.prior_shift[1] == pytest.approx(
            np.log(target / (1 - target)) - np.log(own / (1 - own)), abs=0.01
        )


def test_a_prior_is_not_counted_twice_for_a_class_without_rows() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.7, 0.25, 0.05])
    y = rng.choice(2, 1000, p=[0.74, 0.26])
    z = rng.normal(size=(1000, 3)) + 2 * np.eye(3)[y] + np.log(shares)
    labels = Labels.from_array(y, kind="multiclass", names=["a", "b", "c"])
    val = Scores.from_arrays(labels, logits=z, split="val")
    rule = tune(val, target_prior=[0.7, 0.25, 0.05], calibration="formula", objective="accuracy")
    p = rule.apply(val).probabilities
    assert p[:, 2].mean() == pytest.approx(0.05, abs=0.03)
    assert (rule.apply(val).predictions == 2).mean() < 0.1
