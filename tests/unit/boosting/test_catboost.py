"""CatBoost as one of the models: its own loss or another, categories, rounds, files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from equipoise import losses
from equipoise.boosting.families import Task, get_family
from equipoise.boosting.objectives import LabelObjective, grid
from equipoise.losses.slopes import label_slopes

catboost = pytest.importorskip("catboost")
FAMILY = get_family("catboost")
N, TRAIN = 900, 600
RNG = np.random.default_rng(0)
PLACES = RNG.integers(0, 30, N)
X = np.c_[RNG.normal(size=(N, 2)), PLACES, RNG.normal(size=N)].astype(np.float32)
Y = (RNG.random(N) < expit(X[:, 0] + 3.0 * (PLACES % 3 == 0) - 2.5)).astype(np.int64)
X[::11, 0] = np.nan
X[::13, 2] = np.nan
QUICK = {"rounds": 40, "patience": 8, "learning_rate": 0.2}


def task(**changes: Any) -> Task:
    given = Task(X[:TRAIN], Y[:TRAIN], 1, categorical=(2,), x_val=X[TRAIN:], y_val=Y[TRAIN:],
                 settings=FAMILY.resolved(QUICK), seed=3)  # fmt: skip
    return replace(given, **changes)


def direct(rounds: int, weight: Any = None) -> Any:
    """The same booster by CatBoost's own words, with numbers, then categories as text."""
    words = np.where(np.isnan(X[:, 2]), -1, np.nan_to_num(X[:, 2])).astype(int)
    rows = catboost.FeaturesData(X[:, [0, 1, 3]], words.astype("S").astype(object)[:, None])
    first = catboost.FeaturesData(
        X[:TRAIN, [0, 1, 3]], words[:TRAIN].astype("S").astype(object)[:, None]
    )
    settings = {k: v for k, v in FAMILY.resolved(QUICK).items() if k not in ("rounds", "patience")}
    model = catboost.CatBoost({
        "loss_function": "Logloss", "iterations": rounds, "random_seed": 3, "thread_count": 1,
        "bootstrap_type": "Bernoulli", "leaf_estimation_method": "Newton",
        "allow_writing_files": False, "logging_level": "Silent", **settings,
    })  # fmt: skip
    return model.fit(catboost.Pool(first, Y[:TRAIN], weight=weight)), rows


def log_loss(z: np.ndarray, y: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(y == 1, -z, z)).mean())


@pytest.mark.parametrize("weight", [1.0, 6.0])
def test_it_stops_where_the_true_probability_of_validation_rows_is_best(weight: float) -> None:
    """Every number of rounds is tried by hand, with rows that are not looked at while boosting."""
    weights = None if weight == 1 else np.where(Y[:TRAIN] == 1, weight, 1.0)
    shift = None if weight == 1 else np.array([-np.log(weight)])
    made = FAMILY.fit(task(weight=weights, shift=shift))
    model, rows = direct(QUICK["rounds"], weights)
    tried = [
        log_loss(
            model.predict(rows, prediction_type="RawFormulaVal", ntree_end=r)[TRAIN:]
            - np.log(weight),
            Y[TRAIN:],
        )
        for r in range(1, QUICK["rounds"] + 1)
    ]
    best = int(np.argmin(tried)) + 1
    stopped = next(
        (r for r in range(1, len(tried)) if r - int(np.argmin(tried[:r])) > QUICK["patience"]),
        len(tried),
    )
    assert made.rounds == (best if best <= stopped else int(np.argmin(tried[:stopped])) + 1)
    expected = model.predict(rows, prediction_type="RawFormulaVal", ntree_end=made.rounds)
    np.testing.assert_allclose(made.outputs(X).ravel(), expected, rtol=1e-12)
    assert made.of_val.shape == (N - TRAIN, 1)


def test_rounds_that_are_given_are_fitted_without_validation_rows() -> None:
    made = FAMILY.fit(task(x_val=None, y_val=None, settings=FAMILY.resolved({"rounds": 7})))
    assert (made.rounds, made.of_val) == (7, None)


def test_the_plain_loss_as_another_one_is_its_own() -> None:
    zero, one = label_slopes(losses.BCELoss(), 1, grid())
    objective = LabelObjective.of(zero[:, 0], one[:, 0], float(Y[:TRAIN].mean()))
    # Numbers alone: how categories are encoded depends on the loss.
    x = np.nan_to_num(X[:, [0, 1, 3]])
    numbers = task(x=x[:TRAIN], x_val=None, y_val=None, categorical=(), objective=objective)
    own = FAMILY.fit(numbers)
    settings = {k: v for k, v in FAMILY.resolved(QUICK).items() if k not in ("rounds", "patience")}
    native = catboost.CatBoost({
        "loss_function": "Logloss", "iterations": QUICK["rounds"], "random_seed": 3,
        "thread_count": 1, "bootstrap_type": "Bernoulli", "leaf_estimation_method": "Newton",
        "leaf_estimation_iterations": 1, "allow_writing_files": False, "logging_level": "Silent",
        **settings,
    })  # fmt: skip
    native.fit(catboost.Pool(x[:TRAIN], Y[:TRAIN], baseline=np.full(TRAIN, own.start)))
    expected = native.predict(x, prediction_type="RawFormulaVal") + own.start
    np.testing.assert_allclose(own.outputs(x).ravel(), expected, atol=1e-3)


def test_a_loss_of_a_label_stops_by_the_true_probability_behind_it() -> None:
    zero, one = label_slopes(losses.SigmoidFocalLoss(gamma=2.0), 1, grid())
    objective = LabelObjective.of(zero[:, 0], one[:, 0], float(Y[:TRAIN].mean()))
    made = FAMILY.fit(task(objective=objective))
    found = objective.log_losses(made.outputs(X[TRAIN:]).ravel(), Y[TRAIN:]).mean()
    never = objective.log_losses(np.full(N - TRAIN, made.start), Y[TRAIN:]).mean()
    assert found < 0.95 * never
    assert 1 <= made.rounds <= QUICK["rounds"]


def test_categories_are_its_own_business_and_new_ones_say_nothing_false() -> None:
    made = FAMILY.fit(task())
    without = FAMILY.fit(task(x=X[:TRAIN, [0, 1, 3]], x_val=X[TRAIN:, [0, 1, 3]], categorical=()))
    z = made.outputs(X[TRAIN:]).ravel()
    assert log_loss(z, Y[TRAIN:]) < 0.9 * log_loss(without.outputs(X[TRAIN:, [0, 1, 3]]).ravel(),
                                                   Y[TRAIN:])  # fmt: skip
    new = X[TRAIN:].copy()
    new[:, 2] = 99
    assert np.isfinite(made.outputs(new)).all()
    assert made.outputs(new).std() < made.outputs(X[TRAIN:]).std()


@pytest.mark.parametrize("several", [False, True])
def test_it_is_read_again_to_the_last_digit(several: bool, tmp_path: Path) -> None:
    y = Y + np.where(PLACES > 25, 2, 0) * (1 - Y)
    y[y == 1] = 0 if several else 1
    given = task() if not several else task(y=y[:TRAIN], y_val=y[TRAIN:], classes=3)
    zero, one = label_slopes(losses.SigmoidFocalLoss(gamma=2.0), 1, grid())
    objective = LabelObjective.of(zero[:, 0], one[:, 0], float(Y[:TRAIN].mean()))
    made = FAMILY.fit(given if several else replace(given, objective=objective))
    assert made.save(tmp_path, "model_0") == ["model_0.cbm", "model_0.json"]
    again = FAMILY.load(tmp_path, "model_0")
    np.testing.assert_array_equal(again.outputs(X), made.outputs(X))
    assert made.outputs(X).shape == (N, 3 if several else 1)
    assert json.loads((tmp_path / "model_0.json").read_text())["categorical"] == [2]
    if several:  # training rows lack class 1: it is never likely
        assert (made.outputs(X)[:, 1] < made.outputs(X).max(1)).all()
