"""Balanced bagging through imbalanced-learn: what is fitted, how it is undone, what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io as sio
from imblearn.ensemble import (
    BalancedRandomForestClassifier,
    EasyEnsembleClassifier,
    RUSBoostClassifier,
)
from scipy.special import expit
from sklearn.tree import DecisionTreeClassifier

from equipoise import Labels, remedy
from equipoise.boosting.families import Task, get_family, read_skops
from equipoise.errors import DataError, UsageError
from equipoise.methods.on_tables import treat

N = 2000
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, 4)).astype(np.float32)
Y = (RNG.random(N) < expit(2.0 * X[:, 0] - 4.0)).astype(np.int64)
CLASSES = np.where(X[:, 1] > 1.5, 2, Y)
SMALL: dict[str, dict[str, Any]] = {
    "balanced_random_forest": {"n_estimators": 10},
    "easy_ensemble": {"n_estimators": 1},
    "rusboost": {"n_estimators": 5},
}
THEIRS = {
    "balanced_random_forest": lambda seed: BalancedRandomForestClassifier(
        10, sampling_strategy="all", replacement=True, bootstrap=False, random_state=seed
    ),
    "easy_ensemble": lambda seed: EasyEnsembleClassifier(1, random_state=seed),
    "rusboost": lambda seed: RUSBoostClassifier(
        DecisionTreeClassifier(max_depth=3), n_estimators=5, random_state=seed
    ),
}


def fitted(name: str, y: np.ndarray = Y, classes: int = 1) -> Any:
    family = get_family(name)
    return family.fit(Task(X, y, classes, settings=family.resolved(SMALL[name]), seed=5))


@pytest.mark.parametrize("name", SMALL)
def test_it_is_imbalanced_learns_own_without_weights_beside(name: str) -> None:
    theirs = THEIRS[name](5).fit(X, Y)
    made = fitted(name)
    p = theirs.predict_proba(X)[:, 1]
    if hasattr(theirs, "decision_function"):
        np.testing.assert_array_equal(made.outputs(X).ravel(), theirs.decision_function(X))
    else:  # one tree more says what a balanced sample says of every row
        np.testing.assert_allclose(expit(made.outputs(X).ravel()), (10 * p + 0.5) / 11, rtol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_it_is_read_again_to_the_last_digit(name: str, tmp_path: Path) -> None:
    for y, classes in ((Y, 1), (CLASSES, 3)):
        made = fitted(name, y, classes)
        assert made.outputs(X[:50]).shape == (50, classes)
        made.save(tmp_path, "model_0")
        again = get_family(name).load(tmp_path, "model_0")
        np.testing.assert_array_equal(again.outputs(X[:50]), made.outputs(X[:50]))


def test_types_of_other_packages_are_not_read(tmp_path: Path) -> None:
    from imblearn.over_sampling import SMOTE

    sio.dump(SMOTE(), tmp_path / "odd.skops")
    with pytest.raises(DataError, match=r"got imblearn\.over_sampling.*may run code"):
        read_skops(tmp_path / "odd.skops")


def test_most_of_what_a_balanced_forest_does_to_the_prior_is_undone() -> None:
    """On rows that it did not see it says four times too much, and a quarter less afterwards."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 4)).astype(np.float32)
    y = (rng.random(4000) < expit(2.0 * x[:, 0] - 4.0)).astype(np.int64)
    train = np.arange(0, 4000, 2)
    labels = Labels.from_array(y, kind="multilabel")[train]
    family = get_family("balanced_random_forest")
    made = remedy("balanced_random_forest", labels, n_estimators=100, min_samples_leaf=5)
    treatment = treat(made, labels, family, 0)
    settings = family.resolved(made.settings)
    z = family.fit(Task(x[train], y[train], 1, settings=settings, seed=0)).outputs(x[1::2])
    share = y[1::2].mean()
    assert expit(z).mean() / share > 3.5
    assert 0.7 < expit(treatment.correction.apply(z)).mean() / share < 1.0
    positives, negatives = y[train].sum(), (1 - y[train]).sum()
    shift = treatment.correction.apply(np.zeros((1, 1)))[0, 0]
    assert shift == pytest.approx(np.log(positives / negatives))


def test_classes_are_shifted_by_what_a_balanced_sample_lacks() -> None:
    labels = Labels.from_array(CLASSES, kind="multiclass")
    made = remedy("balanced_random_forest", labels)
    np.testing.assert_allclose(
        made.correction.probabilities(np.zeros((1, 3)))[0], labels.counts / N, rtol=1e-9
    )


def test_a_label_that_nothing_tells_ranks_all_rows_alike() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    y = (np.random.default_rng(1).random(200) < 0.1).astype(np.int64)
    family = get_family("rusboost")
    tasks = [Task(x, y, 1, settings=family.resolved({}), seed=seed) for seed in range(20)]
    outputs = [family.fit(task).outputs(x) for task in tasks]
    assert all(np.isfinite(z).all() for z in outputs)
    assert 0 < sum(np.ptp(z) == 0 for z in outputs) < 20


def test_it_is_no_remedy_for_another_model() -> None:
    labels = Labels.from_array(Y, kind="multilabel")
    with pytest.raises(UsageError, match="easy_ensemble, a kind of model of its own"):
        treat(remedy("easy_ensemble", labels), labels, get_family("random_forest"), 0)
