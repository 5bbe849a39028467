"""Models of tables count rows by their weights, as if each stood there so often."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

import equipoise as eq
from equipoise.artifacts import Labels
from equipoise.boosting.families import FAMILIES, get_family
from equipoise.boosting.preparation import Preparation
from equipoise.errors import UsageError
from equipoise.methods.on_tables import Treatment, treat
from equipoise.studies.fitted import Fit

# Without penalties and least leaves, which weights of mean 1 meet otherwise than counts do.
BOOSTED = {"rounds": 25, "learning_rate": 0.2}
SETTINGS = {
    "lightgbm": {**BOOSTED, "min_data_in_leaf": 1, "num_leaves": 6, "min_sum_hessian_in_leaf": 0.0},
    "xgboost": {**BOOSTED, "max_depth": 3, "reg_lambda": 0.0, "min_child_weight": 0.0},
    "catboost": {**BOOSTED, "depth": 3, "subsample": 1.0},
    "hist_gradient_boosting": {**BOOSTED, "min_samples_leaf": 1, "max_leaf_nodes": 6},
    "random_forest": {"n_estimators": 40, "min_samples_leaf": 20},
    "logistic_regression": {"inverse_strength": 1e6},
}
INSTALLED = [name for name in SETTINGS if FAMILIES[name].is_installed]


def rows(kind: str, n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole numbers, so that copies change no histogram; weights that go with the truth."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, (n, 3)).astype(np.float32)
    odds = 0.8 * (x[:, 0] - 3) - 1.5
    y = (rng.random(n) < expit(odds)).astype(int)
    if kind == "multiclass":
        y = y + (rng.random(n) < 0.3)
    return x, y, rng.integers(1, 4, n) + 2 * (y == 0)


def shares(odds: np.ndarray, kind: str) -> np.ndarray:
    return expit(odds) if kind == "multilabel" else softmax(odds, axis=1)


def fitted(
    name: str, kind: str, method: str, *, weighted: bool, blind: bool = False
) -> tuple[np.ndarray, Treatment]:
    """Natural log-odds at all rows, of a model on weighted or repeated ones, or on neither."""
    x, y, weight = rows(kind)
    weight = np.ones_like(weight) if blind else weight
    at = np.arange(len(x)) if weighted else np.repeat(np.arange(len(x)), weight)
    labels = Labels.from_array(y[at], kind=kind, weights=1.0 * weight if weighted else None)
    family = get_family(name)
    treatment = treat(eq.remedy(method, labels), labels, family, 0)
    settings = family.resolved(SETTINGS[name])
    fit = Fit(family, treatment, settings, 0, 1, rounds=[25] if "rounds" in settings else None)
    (part,) = fit.all(x[at], labels, Preparation(family.style, None, {}, ()))
    return treatment.correction.apply(part.outputs(x)), treatment


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
@pytest.mark.parametrize("name", INSTALLED)
def test_a_model_on_weighted_rows_is_that_of_repeated_ones(name: str, kind: str) -> None:
    one, _ = fitted(name, kind, "none", weighted=True)
    other, _ = fitted(name, kind, "none", weighted=False)
    # LightGBM's least leaf, and penalties and noise of CatBoost, go by rows; a forest draws them.
    exact = name in ("xgboost", "hist_gradient_boosting", "logistic_regression")
    gap = np.abs(one - other)
    if name == "random_forest":
        gap = np.abs(shares(one, kind) - shares(other, kind))
    assert gap.max() < 0.005 if exact else gap.mean() < 0.15
    blind = np.abs(one - fitted(name, kind, "none", weighted=False, blind=True)[0])
    if name != "random_forest":
        assert blind.mean() > max(2 * gap.mean(), 0.2)


@pytest.mark.parametrize("method", ["focal", "pos_weight", "asymmetric"])
@pytest.mark.parametrize("name", [n for n in INSTALLED if FAMILIES[n].takes_losses])
def test_losses_of_their_own_take_weights(name: str, method: str) -> None:
    one, treatment = fitted(name, "multilabel", method, weighted=True)
    assert treatment.loss is not None
    other, _ = fitted(name, "multilabel", method, weighted=False)
    gap = np.abs(one - other)
    assert gap.max() < 0.005 if name == "xgboost" else gap.mean() < 0.15


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("method", ["none", "pos_weight", "weighted_sampling"])
def test_probabilities_are_those_of_the_population(name: str, method: str) -> None:
    _, y, weight = rows("multilabel")
    odds, _ = fitted(name, "multilabel", method, weighted=True)
    share = np.average(y, weights=weight)
    assert share < 0.75 * y.mean()
    mean = np.average(expit(odds[:, 0]), weights=weight)
    if method == "none":
        assert mean == pytest.approx(share, rel=0.15)
    # The inverse of a weight is short where trees leave residuals.
    assert abs(mean - share) < abs(mean - y.mean())


def test_rows_that_an_arm_makes_itself_have_no_weights() -> None:
    _, y, weight = rows("multilabel")
    labels = Labels.from_array(y, kind="multilabel", weights=weight)
    pytest.importorskip("imblearn")
    for method in ("smote", "balanced_random_forest"):
        remedy = eq.remedy(method, labels)
        family = get_family(remedy.model or "logistic_regression")
        with pytest.raises(UsageError, match="rows that have weights"):
            treat(remedy, labels, family, 0)
