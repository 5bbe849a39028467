"""Evaluation by the number of labels, the worst label, confusions and their picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle
from trial_factory import class_trial, label_trial

from equipoise.artifacts import Evaluation, Scores
from equipoise.comparison import count_confusions, evaluate
from equipoise.decisions import tune
from equipoise.errors import LeakageError, UsageError
from equipoise.metrics import label_confusion
from equipoise.report.confusion import draw_confusion


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
