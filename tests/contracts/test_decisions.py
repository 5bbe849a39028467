"""Laws of every rule: monotone, honest about its rows, nothing where nothing changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from equipoise.artifacts import Correction, Labels, Scores
from equipoise.decisions import tune
from equipoise.errors import LeakageError

KINDS = ["multilabel", "multiclass"]
SCORE_KINDS = ["logits", "probabilities", "ranking"]

every = pytest.mark.parametrize(
    ("kind", "score_kind"), [(k, s) for k in KINDS for s in SCORE_KINDS]
)

labels_alone = pytest.mark.parametrize(
    ("kind", "score_kind"), [("multilabel", s) for s in SCORE_KINDS]
)
classes_alone = pytest.mark.parametrize(
    ("kind", "score_kind"), [("multiclass", s) for s in SCORE_KINDS]
)


def scores(kind: str, score_kind: str, split: str = "val", seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    if kind == "multilabel":
        y = (rng.random((400, 3)) < [0.3, 0.1, 0.02]).astype(int)
        z = rng.normal(size=y.shape) + 2 * y - 1
    else:
        y = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
        z = rng.normal(size=(400, 3)) + 2 * np.eye(3)[y]
    labels = Labels.from_array(y, kind=kind, ids=np.arange(400) + 1000 * seed)  # type: ignore[arg-type]
    if score_kind == "probabilities":
        odds = np.exp(z)
        z = odds / (odds.sum(1, keepdims=True) if kind == "multiclass" else 1 + odds)
    return Scores.from_arrays(labels, split=split, **{score_kind: z})  # type: ignore[arg-type]


@every
@pytest.mark.parametrize("part", ["train", "test", "new"])
def test_decisions_are_made_on_validation_rows(kind: str, score_kind: str, part: str) -> None:
    with pytest.raises(LeakageError):
        tune(scores(kind, score_kind, part))


@every
def test_probabilities_are_probabilities(kind: str, score_kind: str) -> None:
    val = scores(kind, score_kind)
    for target in ("validation", "uniform"):
        p = tune(val, target_prior=target).apply(val).probabilities
        assert p.shape == (400, 3)
        assert ((p >= 0) & (p <= 1)).all()
        if kind == "multiclass":
            np.testing.assert_allclose(p.sum(1), 1.0)


@labels_alone
def test_calibration_keeps_the_order_of_labels(kind: str, score_kind: str) -> None:
    val = scores(kind, score_kind)
    p = tune(val).log_odds(val)
    for column in range(3):
        order = np.argsort(val.values[:, column])
        assert (np.diff(p[order, column]) >= 0).all()


@labels_alone
def test_a_higher_threshold_flags_less(kind: str, score_kind: str) -> None:
    val = scores(kind, score_kind)
    rule = tune(val)
    assert rule.thresholds is not None
    higher = dataclasses.replace(rule, thresholds=rule.thresholds + 0.5)
    assert (higher.apply(val).predictions <= rule.apply(val).predictions).all()


@every
def test_the_validation_prior_as_target_changes_nothing(kind: str, score_kind: str) -> None:
    rule = tune(scores(kind, score_kind), target_prior="validation")
    assert (rule.prior_shift == 0).all()
    assert rule.target_prior == "validation"


@classes_alone
def test_temperature_leaves_argmax_alone(kind: str, score_kind: str) -> None:
    val = scores(kind, score_kind)
    p = tune(val, objective="accuracy", calibration="platt").apply(val)
    assert np.array_equal(p.probabilities.argmax(1), val.values.argmax(1))
    assert np.array_equal(p.predictions, val.values.argmax(1))


@every
def test_decisions_of_a_row_do_not_depend_on_its_neighbours(kind: str, score_kind: str) -> None:
    val, test = scores(kind, score_kind), scores(kind, score_kind, "test", 1)
    rule = tune(val)
    whole, part = rule.apply(test), rule.apply(test[[7, 3]])
    assert np.array_equal(whole.predictions[[7, 3]], part.predictions)
    np.testing.assert_allclose(whole.probabilities[[7, 3]], part.probabilities, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_shift_is_undone(kind: str) -> None:
    """The same model, seen through a weighted loss with its correction, decides the same."""
    val = scores(kind, "logits")
    away = np.array([1.0, 2.0, -1.5])
    undo = Correction(kind, ({"op": "offset", "offset": (-away).tolist()},))  # type: ignore[arg-type]
    moved = Scores.from_arrays(val.labels, logits=val.values + away, split="val", correction=undo)
    one, two = tune(val).apply(val), tune(moved).apply(moved)
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-5)
    assert np.array_equal(one.predictions, two.predictions)
