"""Probabilities in steps: what one of them may say, and what a rule makes of forests and trees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import expit
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score, log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from equipoise.artifacts import Correction, DecisionRule, Evidence, Labels, Scores
from equipoise.decisions import tune
from equipoise.decisions.evidence import count_steps, measure_evidence
from equipoise.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 15, 50, 100, 120, 1000, 10_000])
def test_steps_of_votes_are_counted(k: int) -> None:
    votes = np.append(RNG.integers(0, k + 1, 500), [0, k, 1]) / k
    assert count_steps(votes) == k
    assert count_steps(votes.astype(np.float32).astype(np.float64)) == k


def test_continuous_scores_have_no_steps() -> None:
    p = RNG.beta(1, 9, 5000)
    assert count_steps(p) == np.inf
    assert count_steps(p.astype(np.float32).astype(np.float64)) == np.inf
    labels = Labels.from_array((RNG.random(5000) < p).astype(int), kind="multilabel")
    assert measure_evidence(Scores.from_arrays(labels, probabilities=p, split="val")) is None
    rule = tune(Scores.from_arrays(labels, probabilities=p, split="val"))
    assert rule.evidence is None


def test_ends_of_continuous_scores_are_as_far_as_their_neighbours() -> None:
    """Averages of leaves: hardly any on a grid, but exact zeros where all leaves are pure."""
    p = np.append(np.zeros(400), RNG.uniform(0.01, 0.03, 400))
    assert count_steps(p) == pytest.approx(1 / np.median(p[400:]))
    saturated = expit(RNG.normal(size=4000) * 8).astype(np.float32).astype(np.float64)
    assert (saturated == 1).any()
    assert count_steps(saturated) > 1e5


@given(
    k=st.integers(1, 200),
    share=st.floats(0.001, 0.999),
    votes=st.lists(st.integers(0, 200), min_size=2, max_size=40, unique=True),
)
def test_the_order_is_kept_and_the_limit_is_the_formula(
    k: int, share: float, votes: list[int]
) -> None:
    p = np.sort(np.minimum(np.array(votes), k)) / k
    made = Evidence(np.array([float(k)]), np.array([share])).log_odds(p[:, None], "multilabel")
    expected = (k * p + share) / (k + 1)
    np.testing.assert_allclose(expit(made[:, 0]), expected, rtol=1e-9)
    assert (np.diff(made[:, 0])[np.diff(p) > 0] > 0).all()


def test_classes_are_limited_to_the_same_formula() -> None:
    share = np.array([0.7, 0.2, 0.1])
    p = np.array([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]])
    made = np.exp(Evidence(np.full(3, 4.0), share).log_odds(p, "multiclass"))
    np.testing.assert_allclose(made, (4 * p + share) / 5, rtol=1e-12)
    np.testing.assert_allclose(made.sum(1), 1, rtol=1e-12)


def test_without_a_limit_a_column_is_as_it_was() -> None:
    p = RNG.random((50, 2))
    made = Evidence(np.array([np.inf, 10.0]), np.array([0.1, 0.1])).log_odds(p, "multilabel")
    np.testing.assert_allclose(expit(made[:, 0]), p[:, 0], rtol=1e-12)


@pytest.mark.parametrize("bad", [{"steps": [0.0]}, {"steps": [-1.0]}, {"prior": [0.0]}])
def test_evidence_that_is_none(bad: dict[str, list[float]]) -> None:
    fields = {"steps": [10.0], "prior": [0.1]} | bad
    with pytest.raises(DataError, match="evidence"):
        Evidence(np.array(fields["steps"]), np.array(fields["prior"]))


def test_scores_with_a_correction_are_drawn_to_their_own_mean() -> None:
    y = (RNG.random(1000) < 0.1).astype(int)
    p = RNG.integers(0, 11, 1000) / 10
    labels = Labels.from_array(y, kind="multilabel")
    undo = Correction.from_pos_weight([9.0])
    found = measure_evidence(
        Scores.from_arrays(labels, probabilities=p, split="val", correction=undo)
    )
    assert found is not None
    assert found.prior == pytest.approx([p.mean()], abs=1e-3)


def split_of(prevalence: float) -> tuple[np.ndarray, ...]:
    flip = 0.1 if prevalence > 0.1 else 0.01
    x, y = make_classification(
        4000, n_informative=5, weights=[1 - prevalence], flip_y=flip, random_state=0
    )
    return x[:2000], y[:2000], x[2000:], y[2000:]


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(50, random_state=0),
        KNeighborsClassifier(15),
        pytest.param(KNeighborsClassifier(15, weights="distance"), marks=pytest.mark.slow),
        DecisionTreeClassifier(random_state=0),
    ],
    ids=["forest", "neighbours", "weighted", "tree"],
)
@pytest.mark.parametrize("prevalence", [0.2, 0.02])
def test_a_rule_decides_no_worse_than_the_model_alone(model: object, prevalence: float) -> None:
    from equipoise.studies.estimator import DecisionRuleClassifier

    x, y, new, truth = split_of(prevalence)
    tuned = DecisionRuleClassifier(model).fit(x, y)
    own = tuned.estimator_
    alone, decided = (f1_score(truth, m.predict(new)) for m in (own, tuned))
    assert decided > alone - 0.02
    assert tuned.rule_.evidence is not None
    assert "0 and 1" in tuned.rule_.notes[0]
    clipped = np.clip(own.predict_proba(new), 1e-15, 1)
    assert log_loss(truth, tuned.predict_proba(new)) <= log_loss(truth, clipped)


def test_a_rule_on_votes_comes_back_from_its_file(tmp_path: object) -> None:
    from pathlib import Path

    y = (RNG.random(500) < 0.2).astype(int)
    p = np.clip(np.round(0.2 + 0.3 * y + 0.2 * RNG.normal(size=500), 1), 0, 1)
    val = Scores.from_arrays(Labels.from_array(y, kind="multilabel"), probabilities=p, split="val")
    rule = tune(val)
    again = DecisionRule.load(rule.save(Path(str(tmp_path), "rule.json")))
    assert again.evidence is not None
    assert again.evidence.steps.tolist() == [10.0]
    np.testing.assert_array_equal(again.log_odds(val), rule.log_odds(val))
    logits = np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(1 - p, 1e-12))
    as_logits = Scores.from_arrays(val.labels, logits=logits, split="val", check_kind=False)
    np.testing.assert_allclose(rule.log_odds(as_logits), rule.log_odds(val), atol=1e-8)
