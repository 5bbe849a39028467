"""Records of objectives: what each refuses, that names stand for them, and what rules store."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import DecisionRule, Labels, Scores
from equipoise.decisions import (
    BalancedAccuracy,
    Budget,
    Cost,
    FBeta,
    MacroF1,
    NetBenefit,
    Objective,
    Precision,
    Recall,
    Rescale,
    TopK,
    tune,
)
from equipoise.decisions.objectives import RECORDS, find_objective, to_objective
from equipoise.decisions.thresholds import plug_in_threshold, tune_threshold
from equipoise.errors import DataError, EquipoiseError, ShapeError, UsageError

MATRIX = [[0.0, 1.0, 2.0], [5.0, 0.0, 1.0], [9.0, 9.0, 0.0]]
# Record, its kind, and name, measure and parameters as a rule stores them.
STORED: list[tuple[Objective, Any, str, str, dict[str, Any]]] = [
    (FBeta(), "multilabel", "f1", "f1", {}),
    (FBeta(0.5), "multilabel", "f0.5", "f0.5", {}),
    (Cost((1, 9)), "multilabel", "cost", "cost", {"costs": [1.0, 9.0]}),
    (Cost([(1, 1), (1, 5), (2, 1)]), "multilabel", "cost", "cost",
     {"costs": [[1.0, 1.0], [1.0, 5.0], [2.0, 1.0]]}),
    (Precision(0.6, 0.9), "multilabel", "precision", "precision",
     {"at_least": 0.6, "confidence_level": 0.9}),
    (Recall(0.8), "multilabel", "recall", "recall", {"at_least": 0.8}),
    (NetBenefit(0.2), "multilabel", "net_benefit", "net_benefit",
     {"threshold_probability": 0.2}),
    (Budget(0.3), "multilabel", "budget", "f1", {"budget": 0.3}),
    (TopK(2), "multilabel", "top_k", "f1", {"k": 2}),
    (Rescale(), "multilabel", "rescale", "f1", {}),
    (Rescale([0.3, 0.1, 0.02]), "multilabel", "rescale", "f1", {"train_prior": [0.3, 0.1, 0.02]}),
    (BalancedAccuracy(), "multilabel", "balanced_accuracy", "balanced_accuracy", {}),
    (BalancedAccuracy(free_offsets=True), "multiclass", "balanced_accuracy", "recall", {}),
    (MacroF1(free_offsets=False), "multiclass", "macro_f1", "f1", {}),
    (Cost(MATRIX), "multiclass", "cost", "cost", {"costs": MATRIX}),
    (Rescale((0.6, 0.3, 0.1)), "multiclass", "rescale", "recall",
     {"train_prior": [0.6, 0.3, 0.1]}),
]  # fmt: skip
NAMES = {
    "multilabel": ("f1", "balanced_accuracy", "mcc", "prevalence", "rescale"),
    "multiclass": ("balanced_accuracy", "accuracy", "macro_f1", "rescale"),
}


def scores(kind: Any) -> Scores:
    rng = np.random.default_rng(0)
    if kind == "multilabel":
        y = (rng.random((300, 3)) < [0.3, 0.1, 0.05]).astype(int)
        z = rng.normal(size=y.shape) + 2 * y - 1
    else:
        y = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
        z = rng.normal(size=(300, 3)) + 2 * np.eye(3)[y]
    return Scores.from_arrays(Labels.from_array(y, kind=kind), logits=z, split="val")


@pytest.mark.parametrize(("objective", "kind", "name", "measure", "parameters"), STORED)
def test_a_rule_stores_what_was_asked_for(
    objective: Objective, kind: Any, name: str, measure: str, parameters: dict[str, Any],
    tmp_path: Any,
) -> None:  # fmt: skip
    rule = tune(scores(kind), objective=objective)
    again = DecisionRule.load(rule.save(tmp_path / "rule.json"))
    assert (again.objective, again.measure, dict(again.parameters)) == (name, measure, parameters)


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_its_record(kind: Any) -> None:
    for name in NAMES[kind]:
        record = find_objective(name)
        assert record is not None
        assert (
            tune(scores(kind), objective=name).to_dict()
            == tune(scores(kind), objective=record()).to_dict()
        )
    default = tune(scores(kind)).to_dict()
    assert default == tune(scores(kind), objective=NAMES[kind][0]).to_dict()


@pytest.mark.parametrize("objective", [o for o, *_ in STORED], ids=repr)
def test_records_are_values(objective: Objective) -> None:
    """As scikit-learn's clone, a grid of parameters or a process pool needs them to be."""
    again = copy.deepcopy(objective)
    assert again == objective == pickle.loads(pickle.dumps(objective))  # noqa: S301
    assert hash(again) == hash(objective)
    assert eval(repr(objective)) == objective  # noqa: S307
    assert objective != FBeta(7)
    with pytest.raises((AttributeError, TypeError)):
        objective.beta = 2.0  # type: ignore[attr-defined]


def test_costs_and_shares_are_equal_however_they_came() -> None:
    assert Cost((1, 9)) == Cost([1.0, 9.0]) == Cost(np.array([1, 9]))
    assert Cost(MATRIX) == Cost(np.array(MATRIX)) != Cost((1, 9))
    assert Rescale([0.5]) == Rescale(np.array([0.5])) != Rescale()


WRONG: list[tuple[Callable[[], Objective], type[EquipoiseError], str]] = [
    (lambda: FBeta(0), UsageError, "`beta` must be > 0, got 0."),
    (lambda: Precision(1), UsageError, "`at_least` must lie in (0, 1), got 1."),
    (lambda: Precision(0.9, 0), UsageError, "`confidence_level` must lie in (0, 1), got 0."),
    (lambda: Recall(-0.1), UsageError, "`at_least` must lie in (0, 1), got -0.1."),
    (lambda: NetBenefit(1), UsageError, "`threshold_probability` must lie in (0, 1), got 1."),
    (lambda: Budget(0), UsageError, "`flags_per_row` must be > 0, got 0."),
    (lambda: TopK(0), UsageError, "`k` must be a whole number in 1..L, of L labels, got 0."),
    (lambda: TopK(True), UsageError, "`k` must be a whole number in 1..L, of L labels, got True."),
    (lambda: Cost((1, -1)), UsageError, "`costs` must be finite and > 0, got [1.0, -1.0]."),
    (lambda: Cost(3), ShapeError, "`costs` must have 1 or 2 dimension(s), got shape ()."),
    (lambda: Cost(("a", "b")), DataError, "`costs` must be numbers, got dtype <U1."),
    (lambda: Rescale([0.2, 1.2]), UsageError, "`train_prior` must hold shares in (0, 1), got"),
    (lambda: Rescale([[0.2]]), ShapeError, "`train_prior` must have 1 dimension(s), got shape"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG)
def test_a_record_checks_itself(
    make: Callable[[], Objective], error: type[EquipoiseError], text: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(text)


UNFIT: list[tuple[Any, Any, type[EquipoiseError], str]] = [
    ("precision", "multilabel", UsageError, "parameters, got 'precision'. Give Precision("),
    ("cost", "multiclass", UsageError, "got 'cost'. Give Cost(costs=...)."),
    ("top_k", "multilabel", UsageError, "Give TopK(k=...)."),
    ("budget", "multilabel", UsageError, "Give Budget(flags_per_row=...)."),
    ("net_benefit", "multilabel", UsageError, "Give NetBenefit(threshold_probability=...)."),
    ("precision", "multiclass", UsageError, "of balanced_accuracy, accuracy, macro_f1, cost"),
    ("macro_f2", "multiclass", UsageError, "Did you mean `macro_f1`?"),
    (Recall(0.9), "multiclass", UsageError, "for multiclass, got Recall(at_least=0.9)."),
    (MacroF1(), "multilabel", UsageError, "up to f10 for multilabel, got MacroF1("),
    (Recall, "multilabel", UsageError, "be an objective or the name of one"),
    (2.0, "multilabel", UsageError, "Give a name such as 'f1', or a record"),
    (Budget(3.5), "multilabel", UsageError, "`flags_per_row` must be at most the 3 labels"),
    (TopK(4), "multilabel", UsageError, "`k` must be a whole number in 1..3, got 4."),
    (Cost(MATRIX), "multilabel", ShapeError, "have shape (2,) or (3, 2), got (3, 3)."),
    (Cost((1, 2)), "multiclass", ShapeError, "`costs` must have 2 dimension(s)"),
    (Cost([[0, 1], [1, 0]]), "multiclass", ShapeError, "have shape (3, 3), got (2, 2)."),
    (Cost([(1, 1), (1, 0), (1, 1)]), "multilabel", UsageError, "be finite and > 0"),
    (Rescale([0.2]), "multilabel", ShapeError, "`train_prior` must have shape (3,), got (1,)."),
    (Rescale([0.2, 0.2, 0.2]), "multiclass", UsageError, "`train_prior` must sum to 1, got 0.6"),
    (BalancedAccuracy(False), "multilabel", UsageError, "`free_offsets` must be left out"),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "kind", "error", "text"), UNFIT)
def test_what_fits_no_labels_or_classes_is_refused(
    objective: Any, kind: Any, error: type[EquipoiseError], text: str
) -> None:
    with pytest.raises(error) as caught:
        to_objective(objective, kind, 3)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_record_is_known_by_its_name() -> None:
    made = {o.name: type(o) for o, *_ in STORED}
    for name, record in RECORDS.items():
        assert find_objective(name) is record
        assert made.get(name, record) is record


@pytest.mark.parametrize("beta", [0.5, 1, 2.0, 10, 0.00001])
def test_a_beta_is_spelt_so_that_it_can_be_read(beta: float) -> None:
    assert to_objective(FBeta(beta).name, "multilabel", 1) == FBeta(beta)


def test_a_threshold_of_one_label_knows_every_objective_that_gives_one() -> None:
    val = scores("multilabel")
    z, y = val.values[:, 0], val.require_labels().values[:, 0] == 1
    rng = np.random.default_rng(0)
    certain = tune_threshold(z, y, rng, objective=Precision(at_least=0.5))
    assert y[z >= certain].mean() > 0.5
    assert np.isinf(tune_threshold(z, y, rng, objective=Precision(at_least=0.999)))
    for objective in (Budget(0.5), TopK(1), "rescale"):
        with pytest.raises(UsageError, match="give a threshold of one label"):
            tune_threshold(z, y, rng, objective=objective)
        with pytest.raises(UsageError, match="give a threshold of one label"):
            plug_in_threshold(z, objective=objective)
