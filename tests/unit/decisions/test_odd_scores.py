"""Scores at the edge: constant, saturated, enormous, few; and the time that tuning takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Correction, Labels, Scores
from equipoise.decisions import Budget, Cost, Objective, Precision, Recall, tune
from equipoise.errors import DataError

RNG = np.random.default_rng(0)
Y = (RNG.random((200, 2)) < [0.4, 0.03]).astype(np.int8)
ODD = {
    "constant": np.full((200, 2), -1.0),
    "saturated": np.where(Y == 1, 700.0, -700.0),
    "reversed": np.where(Y == 1, -30.0, 30.0),
    "enormous": 1e9 * RNG.normal(size=(200, 2)),
    "tiny": 1e-9 * RNG.normal(size=(200, 2)) - 1,
    "two values": np.where(RNG.random((200, 2)) < 0.5, -3.0, 2.0),
}
OBJECTIVES: dict[str, str | Objective] = {
    "f1": "f1",
    "cost": Cost((1, 50)),
    "mcc": "mcc",
    "balanced_accuracy": "balanced_accuracy",
    "precision": Precision(at_least=0.9),
    "recall": Recall(at_least=0.9),
    "prevalence": "prevalence",
    "budget": Budget(flags_per_row=0.3),
}


# Every two of name, objective and kind meet in one that is not slow.
GRID = [
    pytest.param(name, objective, kind, marks=[pytest.mark.slow] * ((i + j + k) % 2))
    for i, name in enumerate(ODD)
    for j, objective in enumerate(OBJECTIVES)
    for k, kind in enumerate(("logits", "ranking"))
]


@pytest.mark.parametrize(("name", "objective", "kind"), GRID)
def test_odd_scores_give_a_rule(name: str, objective: str, kind: str) -> None:
    labels = Labels.from_array(Y, kind="multilabel")
    val = Scores.from_arrays(labels, split="val", **{kind: ODD[name]})  # type: ignore[arg-type]
    rule = tune(val, objective=OBJECTIVES[objective], calibration="isotonic")
    made = rule.apply(val)
    assert np.isfinite(made.probabilities).all()
    order = np.argsort(val.values, axis=0)
    sorted_ = np.take_along_axis(rule.log_odds(val), order, axis=0)
    assert (np.diff(sorted_, axis=0) >= 0).all()


@pytest.mark.parametrize("rows", [2, 3])
@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_a_handful_of_rows_gives_a_rule(rows: int, kind: Any) -> None:
    labels = Labels.from_array([1, 0, 1][:rows], kind=kind)
    val = Scores.from_arrays(
        labels, logits=RNG.normal(size=(rows, labels.num_classes)), split="val"
    )
    assert len(tune(val).apply(val).predictions) == rows


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_one_row_gives_no_rule(kind: Any) -> None:
    labels = Labels.from_array([1], kind=kind, names=["a", "b"][: 1 if kind == "multilabel" else 2])
    val = Scores.from_arrays(labels, logits=np.zeros((1, labels.num_classes)), split="val")
    with pytest.raises(DataError, match="at least two rows"):
        tune(val)


def test_rows_that_are_all_unknown_give_no_rule() -> None:
    labels = Labels.from_array(np.full((30, 2), -1), kind="multilabel")
    with pytest.raises(DataError, match="unknown throughout"):
        tune(Scores.from_arrays(labels, logits=RNG.normal(size=(30, 2)), split="val"))


def test_a_weight_that_was_not_expressed_is_said() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random((5000, 1)) < 0.1).astype(np.int8)
    z = 2 * (rng.normal(size=y.shape) + 2 * y) - 2 + np.log(0.1 / 0.9)
    labels = Labels.from_array(y, kind="multilabel")
    val = Scores.from_arrays(labels, logits=z, split="val").correct(
        Correction.from_pos_weight(49.0)
    )
    rule = tune(val)
    assert "weight 49 asked for, " in rule.notes[0]
    assert rule.calibrator.effective_weight[0] == pytest.approx(1, abs=0.25)
