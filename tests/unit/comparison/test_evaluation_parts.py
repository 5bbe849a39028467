"""Evaluation by the number of labels, the worst label, confusions and their picture."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle
from trial_factory import class_trial, label_trial

from equipoise.artifacts import Evaluation, Scores
from equipoise.comparison import count_confusions, evaluate
from equipoise.decisions import Cost, NetBenefit, tune
from equipoise.errors import LeakageError, UsageError
from equipoise.metrics import (
    expected_cost,
    expected_cost_of_classes,
    label_confusion,
    net_benefit,
)
from equipoise.report.pictures import draw_confusion


@pytest.fixture(scope="module")
def labelled() -> tuple[Scores, Scores]:
    scores = label_trial("none", 0, prevalence=(0.5, 0.4, 0.3, 0.3)).scores
    return scores["val"], scores["test"]


def test_rows_with_several_labels_are_judged_apart(labelled: tuple[Scores, Scores]) -> None:
    rule, test = tune(labelled[0]), labelled[1]
    found = evaluate(rule, test, by="label_count").by["label_count"]
    y, flags = test.require_labels().values, rule.apply(test).predictions
    count = (y == 1).sum(axis=1)
    assert list(found) == ["0", "1", "2", "3+"]
    assert sum(row["f1"].n for row in found.values()) == len(test)
    for name, rows in zip(found, [count == 0, count == 1, count == 2, count >= 3], strict=True):
        row = found[name]
        assert row["exact_match"].value == pytest.approx((y == flags)[rows].all(axis=1).mean())
        if name == "0":
            assert row["recall"].is_missing
            assert row["f1"].is_missing
            continue
        micro = oracle.f1_score(y[rows], flags[rows], average="micro")
        assert row["f1"].value == pytest.approx(micro)
        assert row["f1"].low < micro < row["f1"].high


def test_the_number_of_labels_is_for_labels(labelled: tuple[Scores, Scores]) -> None:
    classes = class_trial("none", 0).scores
    with pytest.raises(UsageError, match="several labels per row"):
        evaluate(tune(classes["val"]), classes["test"], by="label_count")
    with pytest.raises(UsageError, match="label_count"):
        evaluate(tune(labelled[0]), labelled[1], by="label_cont")


def test_an_evaluation_is_read_back_whole(labelled: tuple[Scores, Scores], tmp_path: Path) -> None:
    found = evaluate(tune(labelled[0]), labelled[1], by="label_count", train_counts=[500, 90, 9, 9])
    again = Evaluation.load(found.save(tmp_path / "evaluation.json"))
    assert str(again.by) == str(found.by)
    assert again.counts == found.counts
    worst = found.worst("auroc")
    assert worst is not None
    assert worst[1].value == min(row["auroc"].value for row in found.per_label.values())


def test_confusions_of_classes_and_of_labels(
    labelled: tuple[Scores, Scores], tmp_path: Path
) -> None:
    classes = class_trial("none", 0).scores
    rule = tune(classes["val"])
    table = count_confusions(rule, classes["test"])
    truth = classes["test"].require_labels().values
    decided = rule.apply(classes["test"]).predictions
    assert np.array_equal(table.counts, oracle.confusion_matrix(truth, decided))
    assert np.nansum(table.shares, axis=1) == pytest.approx(1)
    rule, test = tune(labelled[0]), labelled[1]
    shared = count_confusions(rule, test)
    flags = rule.apply(test).predictions
    assert np.array_equal(shared.counts, label_confusion(test.require_labels().values, flags))
    assert (shared.truth[-1], shared.said[-1]) == ("nothing missed", "nothing instead")
    with pytest.raises(LeakageError):
        count_confusions(rule, labelled[0])
    for found in (table, shared):
        path = draw_confusion(tmp_path / "c.svg", found.truth, found.said, found.counts)
        drawn = path.read_text(encoding="utf-8")
        assert "<svg" in drawn
        assert found.truth[0] in drawn
        assert f"{found.counts[0, 0]:,}" in drawn
    with pytest.raises(UsageError, match=r"end in \.svg"):
        draw_confusion(tmp_path / "c.png", table.truth, table.said, table.counts)


def test_worth_is_that_of_the_metrics(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    y = test.require_labels().values
    pairs = [[1, 9], [1, 4], [1, 1], [2, 1]]
    rule = tune(val, objective=Cost(pairs))
    found, made = evaluate(rule, test), rule.apply(test)
    assert found.evaluated_on["settings"]["break_even"] == pytest.approx([0.1, 0.2, 0.5, 2 / 3])
    for i, (name, (alarm, miss)) in enumerate(zip(test.names, pairs, strict=True)):
        row, t = found.per_label[name], alarm / (alarm + miss)
        truth, flags, p = y[:, i], made.predictions[:, i], made.probabilities[:, i]
        paid = expected_cost(truth, flags, false_positive=alarm, false_negative=miss)[0]
        assert row["expected_cost"].value == pytest.approx(paid)
        assert row["net_benefit"].value == pytest.approx(net_benefit(truth, p, [t])[0])
        share = truth.mean()
        assert row["net_benefit_all"].value == pytest.approx(share - (1 - share) * t / (1 - t))
        assert all(
            row[m].low < row[m].value < row[m].high for m in ("net_benefit", "expected_cost")
        )
    mean = np.mean([found.per_label[n]["net_benefit"].value for n in test.names])
    assert found.overall["macro"]["net_benefit"].value == pytest.approx(mean)
    plain = evaluate(tune(val), test)
    assert "net_benefit" not in plain.per_label["L0"]
    assert "net_benefit" in evaluate(tune(val), test, net_benefit_at=0.2).per_label["L0"]
    stated = tune(val, objective=NetBenefit(threshold_probability=0.3))
    assert evaluate(stated, test).evaluated_on["settings"]["break_even"] == [0.3] * 4
    with pytest.raises(UsageError, match="net_benefit_at"):
        evaluate(tune(val), test, net_benefit_at=1.0)


def test_classes_with_costs_have_their_expected_cost() -> None:
    classes = class_trial("none", 0).scores
    width = len(classes["test"].names)
    matrix = 3.0 * (1 - np.eye(width))
    matrix[0, 1] = 7
    rule = tune(classes["val"], objective=Cost(matrix))
    found = evaluate(rule, classes["test"]).overall["overall"]["expected_cost"]
    truth = classes["test"].require_labels().values
    paid = expected_cost_of_classes(truth, rule.apply(classes["test"]).predictions, matrix)
    assert found.value == pytest.approx(paid)
    assert found.low < paid < found.high


def test_threads_change_nothing(
    labelled: tuple[Scores, Scores], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = tune(labelled[0])
    alone = evaluate(rule, labelled[1], train_counts=[500, 90, 9, 9])
    # The name `evaluate` of the package is the function; its module is reached by name.
    monkeypatch.setattr(import_module("equipoise.comparison.evaluate"), "LARGE", 0)
    assert str(evaluate(rule, labelled[1], train_counts=[500, 90, 9, 9])) == str(alone)
