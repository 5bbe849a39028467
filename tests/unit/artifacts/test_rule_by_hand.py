"""Cuts that a person has set: the rule says so, claims nothing, and keeps what it was made on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equipoise import DecisionRule, Labels, Scores, tune
from equipoise.decisions import shift_prior
from equipoise.errors import DataError, UsageError


def val(kind: str) -> Scores:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300) if kind == "multiclass" else rng.integers(0, 2, (300, 3))
    labels = Labels.from_array(y, kind=kind, names=["A", "B", "C"])
    return Scores.from_arrays(labels, logits=rng.normal(size=(300, 3)), split="val")


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_a_rule_set_by_hand_says_so_and_is_read_again(kind: str, tmp_path: Path) -> None:
    scores = val(kind)
    rule = tune(scores)
    cuts = np.array([-1.0, 0.5, np.inf if kind == "multilabel" else 2.0])
    made = rule.set_by_hand(cuts)
    again = DecisionRule.load(made.save(tmp_path / "rule.json"))
    assert again.to_dict() == made.to_dict()
    assert (again.objective, set(again.notes)) == ("by_hand", {"cut set by hand"})
    assert "cut set by hand" in str(again)
    assert again.claimed.size == again.cross_fitted.size == again.decided.size == 0
    assert again.tuned_on == rule.tuned_on
    assert again.rows.to_dict() == rule.rows.to_dict()
    np.testing.assert_array_equal(again.log_odds(scores), rule.log_odds(scores))
    odds = rule.log_odds(scores)
    want = odds >= cuts if kind == "multilabel" else np.argmax(odds + cuts, axis=1)
    np.testing.assert_array_equal(again.apply(scores).predictions, want)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_another_prior_moves_probabilities_and_is_stated(kind: str) -> None:
    scores = val(kind)
    rule = tune(scores)
    prior = np.array([0.2, 0.3, 0.5])
    made = rule.set_by_hand(np.zeros(3), target_prior=prior)
    np.testing.assert_allclose(
        made.prior_shift - rule.prior_shift, shift_prior(rule.prior, prior, rule.kind)
    )
    assert made.target_prior == (0.2, 0.3, 0.5)
    np.testing.assert_array_equal(made.prior, prior)


def test_what_does_not_fit_is_refused() -> None:
    rule = tune(val("multilabel"))
    with pytest.raises(DataError, match="thresholds"):
        rule.set_by_hand(np.zeros(2))
    unstated = DecisionRule(**{
        name: getattr(rule, name) for name in rule.__slots__ if name != "prior"
    })  # fmt: skip
    with pytest.raises(UsageError, match="a prior that the rule states"):
        unstated.set_by_hand(np.zeros(3), target_prior=np.full(3, 0.5))


def test_the_tuner_does_not_know_it_as_an_objective() -> None:
    with pytest.raises(UsageError, match="objective"):
        tune(val("multilabel"), objective="by_hand")
