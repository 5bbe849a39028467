"""The scikit-learn estimator: its protocol, classes and labels, and what it buys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

import equipoise as eq
from equipoise.errors import DataError, UsageError

DecisionRuleClassifier = eq.DecisionRuleClassifier
X, Y = make_multilabel_classification(1200, n_classes=5, n_labels=1, random_state=0)
TRAIN, TEST = slice(0, 600), slice(600, None)


@pytest.mark.filterwarnings("ignore")
def test_it_keeps_scikit_learns_protocol() -> None:
    # As for scikit-learn's own TunedThresholdClassifierCV: a tuned cut is not 0.5. And weights are
    # no repetitions: a row that stands for two is no more certain than it is once.
    same = "check_sample_weight_equivalence_on_{}_data"
    check_estimator(
        DecisionRuleClassifier(LogisticRegression()),
        expected_failed_checks={
            "check_classifiers_train": "predict is not argmax of proba",
            same.format("dense"): "weights are no repetitions",
            same.format("sparse"): "weights are no repetitions",
        },
        on_skip=None,
    )


@pytest.mark.parametrize(
    "base",
    [
        OneVsRestClassifier(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        RandomForestClassifier(50, random_state=0),
        OneVsRestClassifier(LinearSVC()),
    ],
    ids=lambda base: type(base).__name__,
)
def test_several_labels_gain_f1(base: object) -> None:
    plain = base.fit(X[TRAIN], Y[TRAIN])  # type: ignore[attr-defined]
    tuned = DecisionRuleClassifier(base).fit(X[TRAIN], Y[TRAIN])
    found = tuned.predict(X[TEST])
    assert found.shape == Y[TEST].shape
    before = f1_score(Y[TEST], plain.predict(X[TEST]), average="macro")
    assert f1_score(Y[TEST], found, average="macro") > before
    p = tuned.predict_proba(X[TEST])
    np.testing.assert_allclose(p.mean(0), Y[TEST].mean(0), atol=0.06)
    cut = np.array([p[found[:, c] == 1, c].min() for c in range(5)])
    assert (p[found == 0] < np.broadcast_to(cut, p.shape)[found == 0]).all()


def test_a_label_with_hardly_a_positive_does_not_stop_the_fit() -> None:
    rare = Y.copy()
    rare[:, 4] = 0
    rare[3, 4] = 1
    tuned = DecisionRuleClassifier(RandomForestClassifier(20, random_state=0))
    tuned.fit(X[TRAIN], rare[TRAIN])
    assert tuned.rule_.grades[4] == "D"
    assert tuned.predict(X[TEST]).shape == (600, 5)


def test_several_classes_gain_balanced_accuracy() -> None:
    x, codes = make_classification(
        3000, n_classes=4, n_informative=6, weights=[0.7, 0.2, 0.07, 0.03], random_state=0
    )
    y = np.array(["d", "a", "c", "b"])[codes]
    base = make_pipeline(StandardScaler(), LogisticRegression())
    plain = base.fit(x[:1500], y[:1500])
    tuned = DecisionRuleClassifier(base).fit(x[:1500], y[:1500])
    assert set(tuned.predict(x[1500:])) <= set("abcd")
    gained = balanced_accuracy_score(y[1500:], tuned.predict(x[1500:]))
    assert gained > balanced_accuracy_score(y[1500:], plain.predict(x[1500:])) + 0.05
    np.testing.assert_allclose(tuned.predict_proba(x[:5]).sum(1), 1.0)


def test_a_classifier_fitted_before_is_left_alone() -> None:
    base = LogisticRegression().fit(X[:400], Y[:400, 0])
    tuned = DecisionRuleClassifier(base, cv="prefit", objective="f2").fit(X[400:800], Y[400:800, 0])
    assert tuned.estimator_ is base
    assert tuned.rule_.tuned_on["split"] == "val"
    assert tuned.rule_.objective == "f2"


SEVERAL: list[Any] = [
    "mcc",
    eq.FBeta(2.0),
    eq.BalancedAccuracy(),
    eq.Precision(at_least=0.5),
    eq.Recall(at_least=0.9),
    eq.Cost((1, 9)),
    eq.NetBenefit(threshold_probability=0.2),
    eq.Budget(flags_per_row=0.5),
    eq.TopK(k=2),
    eq.Rescale(Y[TRAIN].mean(0)),
]


@pytest.mark.parametrize("objective", SEVERAL, ids=repr)
def test_every_objective_is_taken_cloned_and_decided_by(objective: Any) -> None:
    base = OneVsRestClassifier(LogisticRegression())
    model = clone(DecisionRuleClassifier(base, cv=3, objective=objective))
    assert model.get_params()["objective"] == objective
    model.fit(X[TRAIN], Y[TRAIN])
    assert model.rule_.objective == getattr(objective, "name", objective)
    found = model.predict(X[TEST])
    assert 0 < found.mean() < 1
    if isinstance(objective, eq.TopK):
        assert (found.sum(1) == 2).all()
    if isinstance(objective, eq.Budget):
        assert found.sum() == 300
    plain = clone(model).set_params(objective=None).fit(X[TRAIN], Y[TRAIN])
    assert plain.rule_.objective == "f1"


def test_objectives_are_searched_as_other_parameters_are() -> None:
    grid = {"objective": ["f1", eq.Recall(0.8), eq.Recall(0.95)]}
    search = GridSearchCV(DecisionRuleClassifier(cv=2), grid, scoring="recall", cv=2)
    assert search.fit(X[TRAIN], Y[TRAIN, 0]).best_params_ == {"objective": eq.Recall(0.95)}


@pytest.mark.parametrize(
    "objective",
    [
        "accuracy",
        eq.MacroF1(free_offsets=True),
        eq.BalancedAccuracy(free_offsets=False),
        eq.Cost(9.0 * (1 - np.eye(3))),
        eq.Rescale([0.5, 0.3, 0.2]),
    ],
    ids=repr,
)
def test_every_objective_of_classes_is_taken(objective: Any) -> None:
    x, y = make_classification(400, n_classes=3, n_informative=6, random_state=0)
    model = clone(DecisionRuleClassifier(cv=2, objective=objective)).fit(x, y)
    assert model.rule_.objective == getattr(objective, "name", objective)
    assert set(model.predict(x)) == {0, 1, 2}


def test_an_objective_without_its_parameters_says_how_to_give_them() -> None:
    with pytest.raises(UsageError, match=r"Give Precision\(at_least=...\)"):
        DecisionRuleClassifier(objective="precision", cv=2).fit(X, Y[:, 0])


def test_groups_stay_in_one_fold() -> None:
    groups = np.arange(600) // 3
    seen: list[np.ndarray] = []

    class Spy(LogisticRegression):
        def fit(self, rows: np.ndarray, y: np.ndarray) -> Spy:
            seen.append(rows[:, -1])
            return super().fit(rows, y)

    rows = np.column_stack([X[TRAIN], groups])
    DecisionRuleClassifier(Spy(max_iter=5000)).fit(rows, Y[TRAIN, 0], groups=groups)
    assert len(seen) == 6
    for part in seen[1:]:
        assert (np.unique(part, return_counts=True)[1] == 3).all()


def test_wrong_use_is_named() -> None:
    with pytest.raises(UsageError, match="`estimator` must take several labels, got Logistic"):
        DecisionRuleClassifier(LogisticRegression()).fit(X, Y)
    with pytest.raises(UsageError, match="`cv` must be 'prefit' or a whole number >= 2, got 1"):
        DecisionRuleClassifier(cv=1).fit(X, Y[:, 0])
    with pytest.raises(DataError, match="`y` must hold more than one class, got 1 class"):
        DecisionRuleClassifier().fit(X, np.zeros(1200))


def test_copies_share_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    from equipoise.studies import estimator

    seen = []

    def spy(scores: Any, **settings: Any) -> Any:
        seen.append(scores)
        return eq.tune(scores, **settings)

    monkeypatch.setattr(estimator, "tune", spy)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 3)), rng.integers(0, 2, 150)
    # Pure noise: a nearest neighbour is right for what it remembers, and by chance for the rest.
    for data, groups in (
        (np.repeat(x, 3, axis=0), None),
        (np.repeat(x, 3, axis=0), np.arange(450)),
    ):
        model = DecisionRuleClassifier(KNeighborsClassifier(1), seed=0)
        model.fit(data, np.repeat(y, 3), groups=groups)
        right = (seen[-1].values[:, 0] > 0.5) == np.repeat(y, 3)
        assert 0.3 < right.mean() < 0.7  # 150 coins; memory would make it 1.0


def test_weights_move_the_rule_to_the_population() -> None:
    rows, y = make_classification(4000, weights=[0.9], class_sep=0.8, random_state=1)
    kept = (y == 1) | (np.random.default_rng(0).random(y.size) < 0.1)
    weight = np.where(y == 1, 1.0, 10.0)
    whole = DecisionRuleClassifier(LogisticRegression()).fit(rows, y)
    told = DecisionRuleClassifier(LogisticRegression()).fit(
        rows[kept], y[kept], sample_weight=weight[kept]
    )
    blind = DecisionRuleClassifier(LogisticRegression()).fit(rows[kept], y[kept])
    share = [float(m.predict_proba(rows)[:, 1].mean()) for m in (whole, told, blind)]
    assert share[1] == pytest.approx(share[0], abs=0.015)
    assert share[2] > 2 * share[0]
    flagged = [float(m.predict(rows).mean()) for m in (whole, told, blind)]
    assert flagged[1] == pytest.approx(flagged[0], abs=0.05)
    assert abs(flagged[2] - flagged[0]) > abs(flagged[1] - flagged[0])
    none = np.where(np.arange(y.size) < 2000, weight, 0.0)
    half = DecisionRuleClassifier(LogisticRegression()).fit(rows, y, sample_weight=none)
    again = DecisionRuleClassifier(LogisticRegression()).fit(
        rows[:2000], y[:2000], sample_weight=weight[:2000]
    )
    np.testing.assert_array_equal(half.predict(rows), again.predict(rows))


def test_a_classifier_without_weights_says_so() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    made = DecisionRuleClassifier(KNeighborsClassifier())
    with pytest.raises(UsageError, match="sample_weight"):
        made.fit(X[:100], Y[:100], sample_weight=np.ones(100))
    inner = make_pipeline(StandardScaler(), LogisticRegression())
    DecisionRuleClassifier(inner).fit(X[:200], Y[:200, 0], sample_weight=np.ones(200))
