"""Classes: calibration and offsets are those that win on cross-fitted rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from equipoise.artifacts import Correction, Labels, Scores
from equipoise.decisions import BalancedAccuracy, tune

TAIL = np.geomspace(1, 1 / 19, 10)
CENTRES = 0.9 * np.random.default_rng(0).normal(size=(10, 8))


def tail_scores(per_class: int, seed: int, split: str, known: bool = False) -> Scores:
    """Balanced rows, scored by the Bayes rule of a 19:...:1 training prior."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(10), per_class)
    x = CENTRES[y] + rng.normal(size=(y.size, 8))
    prior = TAIL / TAIL.sum()
    z = x @ CENTRES.T - 0.5 * (CENTRES**2).sum(1) + np.log(prior)
    correction = Correction.identity("multiclass", prior=tuple(prior) if known else None)
    labels = Labels.from_array(y, kind="multiclass")
    return Scores.from_arrays(labels, logits=z, split=split, correction=correction)  # type: ignore[arg-type]


def recall(scores: Scores, decided: np.ndarray) -> float:
    y = scores.require_labels().values
    return float(np.mean([(decided[y == c] == c).mean() for c in range(10)]))


def test_a_long_tail_is_not_left_as_it_is() -> None:
    """Balanced validation rows under a long-tail model: the usual strength moves nothing."""
    val, test = tail_scores(60, 1, "val"), tail_scores(500, 2, "test")
    raw = recall(test, test.values.argmax(1))
    rule = tune(val)
    tuned = recall(test, rule.apply(test).predictions)
    known = tune(tail_scores(60, 1, "val", known=True))
    best = recall(test, known.apply(test).predictions)
    usual = tune(val, calibration="platt", objective=BalancedAccuracy(free_offsets=False))
    assert recall(test, usual.apply(test).predictions) == pytest.approx(raw)
    assert tuned > raw + 0.05
    assert tuned > best - 0.02
    assert "fit a share of" in rule.notes[0]
    assert "these rows hold 0.1" in rule.notes[0]
    assert any("log loss" in note for note in rule.notes)


def test_one_offset_per_class_is_taken_where_it_wins_without_calibration() -> None:
    val, test = tail_scores(60, 1, "val"), tail_scores(500, 2, "test")
    rule = tune(val, calibration="platt")
    assert rule.class_offset is not None
    assert np.ptp(rule.class_offset) > 1
    assert recall(test, rule.apply(test).predictions) > recall(test, test.values.argmax(1)) + 0.03
    assert rule.notes[0].count("one offset per class:") == 1


def test_where_nothing_is_to_be_won_the_simple_way_stays() -> None:
    rng = np.random.default_rng(0)
    kept = 0
    for seed in range(5):
        y = rng.choice(4, 400, p=[0.7, 0.15, 0.1, 0.05])
        x = np.random.default_rng(seed).normal(size=(400, 4)) + 2 * np.eye(4)[y]
        z = 2 * x + np.log([0.7, 0.15, 0.1, 0.05])
        labels = Labels.from_array(y, kind="multiclass")
        rule = tune(Scores.from_arrays(labels, logits=z, split="val"))
        assert rule.class_offset is not None
        tau = -rule.class_offset / np.log(labels.counts / 400)
        kept += rule.calibrator.method[0] == "platt" and float(np.ptp(tau)) < 0.2
    assert kept >= 4


def test_scores_of_another_prior_are_named_only_then() -> None:
    known = tune(tail_scores(60, 1, "val", known=True))
    plain = tune(tail_scores(60, 1, "val"))
    z = tail_scores(60, 1, "val").values - np.log(TAIL)
    labels = tail_scores(60, 1, "val").require_labels()
    right = tune(Scores.from_arrays(labels, logits=log_softmax(z, axis=1), split="val"))
    assert sum("fit a share of" in note for note in plain.notes) >= 2
    assert not any("fit a share of" in note for note in right.notes)
    assert known.names == plain.names
