"""A column of "yes" and "no" is two classes: every kind of model answers with a column for each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from equipoise.boosting import families
from equipoise.boosting.families import Task

BOOSTED = {"rounds": 40, "patience": 5, "learning_rate": 0.1}
"""What these tests ask of a booster."""


def _task(settings: dict[str, float]) -> Task:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=600) > 1.2).astype(np.int64)
    return Task(x[:400], y[:400], 2, x_val=x[400:], y_val=y[400:], settings=settings)


def test_histogram_boosting_of_two_classes_says_what_scikit_learn_says() -> None:
    task = _task(BOOSTED)
    made = families.fit_hist(task)
    assert task.x_val is not None
    p = softmax(made.outputs(task.x_val), axis=1)
    np.testing.assert_allclose(p, made.model.predict_proba(task.x_val), atol=1e-12)


def test_histogram_boosting_of_two_classes_keeps_outputs_of_the_rows_that_stop_it() -> None:
    task = _task(BOOSTED)
    of_val = families.fit_hist(task).of_val
    assert of_val is not None
    assert task.y_val is not None
    assert of_val.shape == (200, 2)
    said = softmax(of_val, axis=1)[np.arange(200), task.y_val]
    base = np.mean(task.y_val)
    entropy = -(base * np.log(base) + (1 - base) * np.log1p(-base))
    assert -np.log(said).mean() < entropy


@pytest.mark.parametrize("names", [["no", "yes"], ["yes", "no"]])
def test_two_classes_agree_with_one_output(names: list[str]) -> None:
    """The two columns differ by the log odds that one output says."""
    task = _task(BOOSTED)
    flip = names[0] == "yes"
    y = 1 - task.y if flip else task.y
    two = families.fit_hist(Task(task.x, y, 2, settings=BOOSTED)).outputs(task.x)
    one = families.fit_hist(Task(task.x, task.y, 1, settings=BOOSTED)).outputs(task.x)
    apart = two[:, 1] - two[:, 0]
    np.testing.assert_allclose(-apart if flip else apart, one[:, 0], atol=1e-6)
