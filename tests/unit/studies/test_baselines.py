"""Arms without training by gradients, each against what it says it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from equipoise import Labels, Split, evaluate, tune
from equipoise.errors import UsageError
from equipoise.studies.baselines import BASELINES, baseline_trial, estimator_baseline

N = 300
SPLIT = Split.from_parts(
    np.arange(160), np.arange(160, 230), np.arange(230, N), n_rows=N, seed=0, method="hand"
)
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, 4)) * [1, 10, 0.1, 1] + [0, 50, 0, 0]


def make_labels(kind: str, unknown: float = 0.0) -> Labels:
    rng = np.random.default_rng(5)
    signal = X[:, :1] + 0.3 * rng.normal(size=(N, 3))
    if kind == "multiclass":
        return Labels.from_array(np.digitize(signal[:, 0], [0.3, 1.2]), kind=kind)
    hot = (signal > [0.2, 0.8, 1.3]).astype(int)
    hot[rng.random(hot.shape) < unknown] = -1
    return Labels.from_array(hot, kind="multilabel")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_goes_the_whole_line(name: str, kind: str) -> None:
    if kind not in BASELINES[name].kinds:
        with pytest.raises(UsageError, match="be used on multilabel labels"):
            baseline_trial(name, X, make_labels(kind), SPLIT)
        return
    trial = baseline_trial(name, X, make_labels(kind), SPLIT)
    found = evaluate(tune(trial.scores["val"]), trial.scores["test"]).overall
    value = found["macro" if kind == "multilabel" else "overall"]
    metric = value["ap" if kind == "multilabel" else "balanced_accuracy"].value
    learned = name in ("nearest_neighbours", "logistic_regression")
    assert (metric > 0.6) == learned


def test_prevalence_and_all_negative_know_nothing() -> None:
    labels = make_labels("multilabel", unknown=0.2)
    trial = baseline_trial("prevalence", X, labels, SPLIT)
    train = labels.values[SPLIT.train]
    want = [((c == 1).sum() + 1) / ((c >= 0).sum() + 2) for c in train.T]
    np.testing.assert_allclose(trial.scores["test"].values, np.tile(want, (70, 1)))
    silent = baseline_trial("all_negative", X, labels, SPLIT)
    assert (silent.scores["test"].values < 0).all()
    classes = baseline_trial("prevalence", X, make_labels("multiclass"), SPLIT)
    np.testing.assert_allclose(classes.scores["val"].values.sum(1), 1.0)


def test_neighbours_are_scikit_learns_with_one_more_that_says_the_prevalence() -> None:
    labels = make_labels("multilabel")
    trial = baseline_trial("nearest_neighbours", X, labels, SPLIT, settings={"k": 7})
    scaler = StandardScaler().fit(X[:160])
    oracle = KNeighborsClassifier(7).fit(scaler.transform(X[:160]), labels.values[:160])
    shares = (labels.values[:160].sum(0) + 1) / 162
    said = np.stack([p[:, 1] for p in oracle.predict_proba(scaler.transform(X[230:]))], axis=1)
    np.testing.assert_allclose(trial.scores["test"].values, (7 * said + shares) / 8)


def test_unknown_entries_are_left_out_per_label() -> None:
    labels = make_labels("multilabel", unknown=0.3)
    trial = baseline_trial("logistic_regression", X, labels, SPLIT)
    truth = labels.values[:160, 1]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(X[:160][truth >= 0], truth[truth >= 0])
    np.testing.assert_allclose(
        trial.scores["val"].values[:, 1], model.predict_proba(X[160:230])[:, 1], atol=1e-8
    )


def test_a_label_without_positives_gets_its_prevalence() -> None:
    hot = make_labels("multilabel").values.copy()
    hot[:160, 2] = 0
    trial = baseline_trial(
        "logistic_regression", X, Labels.from_array(hot, kind="multilabel"), SPLIT
    )
    np.testing.assert_allclose(trial.scores["test"].values[:, 2], 1 / 162)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_any_classifier_is_an_arm_and_its_seed_is_ours(kind: str) -> None:
    labels = make_labels(kind)
    forest = estimator_baseline("forest", RandomForestClassifier(20, class_weight="balanced"))
    one, same, other = (
        baseline_trial(forest, X, labels, SPLIT, seed=seed).scores["test"].values
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    trial = baseline_trial(forest, X, labels, SPLIT, name="my forest")
    assert trial.method == "my forest"
    assert trial.scores["val"].score_kind == "probabilities"


def test_a_class_that_training_lacks_has_probability_zero() -> None:
    values = make_labels("multiclass").values.copy()
    values[:160] = np.minimum(values[:160], 1)
    labels = Labels.from_array(values, kind="multiclass")
    tree = estimator_baseline("tree", DecisionTreeClassifier(max_depth=2))
    scores = baseline_trial(tree, X, labels, SPLIT).scores["test"]
    assert (scores.values[:, 2] == 0).all()
    np.testing.assert_allclose(scores.values.sum(1), 1.0)


def test_margins_only_rank() -> None:
    ridge = estimator_baseline("ridge", RidgeClassifier())
    trial = baseline_trial(ridge, X, make_labels("multilabel"), SPLIT)
    assert trial.scores["val"].score_kind == "ranking"
    assert np.isfinite(tune(trial.scores["val"]).log_odds(trial.scores["test"])).all()
    with pytest.raises(UsageError, match=r"predict_proba for classes.*CalibratedClassifierCV"):
        baseline_trial(ridge, X, make_labels("multiclass"), SPLIT)


def test_resampling_in_a_pipeline_changes_what_is_learned() -> None:
    from imblearn import pipeline as pipes, under_sampling as sampling

    balanced = pipes.make_pipeline(
        StandardScaler(), sampling.RandomUnderSampler(random_state=0), LogisticRegression()
    )
    labels = make_labels("multilabel")
    arm = estimator_baseline("undersampled", balanced)
    treated = baseline_trial(arm, X, labels, SPLIT).scores["test"].values
    plain = baseline_trial("logistic_regression", X, labels, SPLIT).scores["test"].values
    assert (treated[:, 2].mean()) > 1.5 * plain[:, 2].mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: baseline_trial("neighbors", X, make_labels("multilabel"), SPLIT), "neighbours"),
        (
            lambda: baseline_trial(
                "prevalence", X, make_labels("multilabel"), SPLIT, settings={"k": 3}
            ),
            r"`prevalence\.k` must be a setting",
        ),
        (lambda: estimator_baseline("x", len), "be a scikit-learn classifier"),
    ],
)
def test_what_is_unknown_is_named(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
