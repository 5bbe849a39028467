"""Two sets of scores on the same rows: paired differences by hand, and who wins."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn import metrics as oracle
from trial_factory import class_trial, label_trial

from equipoise.artifacts import Labels, Scores
from equipoise.comparison import compare_scores
from equipoise.errors import DataError


@pytest.fixture(scope="module")
def two() -> tuple[Scores, Scores]:
    good, bad = (label_trial("none", 0, noise=noise).scores["test"] for noise in (0.3, 2.0))
    return good, bad


def test_differences_are_those_of_scikit_learn(two: tuple[Scores, Scores]) -> None:
    good, bad = two
    found, y = compare_scores(good, bad), good.require_labels().values
    metrics = {"ap": oracle.average_precision_score, "auroc": oracle.roc_auc_score}
    for metric, slow in metrics.items():
        gaps = [
            slow(y[:, c], good.values[:, c]) - slow(y[:, c], bad.values[:, c]) for c in range(3)
        ]
        each = [found.per_label[n][metric].value for n in good.names]
        assert each == pytest.approx(gaps)
        assert found.macro[metric].value == pytest.approx(np.mean(gaps))
        assert found.n_evaluable[metric] == 3
    assert set(found.macro) == {"ap", "auroc", "log_loss", "brier"}
    assert found.verdict["auroc"] == "higher"
    assert compare_scores(bad, good).verdict["auroc"] == "lower"
    assert compare_scores(good, good).verdict["auroc"] == "practically equal"


def test_a_pair_is_surer_than_two_alone(two: tuple[Scores, Scores]) -> None:
    good = two[0]
    noise = 0.05 * np.random.default_rng(3).normal(size=good.values.shape)
    found = compare_scores(good, dataclasses.replace(good, values=good.values + noise), rope=0.001)
    gap = found.macro["auroc"]
    assert gap.high - gap.low < 0.02
    factor = (1.959964 + 0.841621) / 1.959964
    assert found.smallest_detectable["auroc"] == pytest.approx(factor * (gap.high - gap.low) / 2)


def test_labels_that_cannot_be_judged_are_left_out(two: tuple[Scores, Scores]) -> None:
    y = two[0].require_labels().values.copy()
    y[:, 1] = 0
    labels = Labels.from_array(y, kind="multilabel", names=two[0].names)
    one, other = (Scores.from_arrays(labels, logits=s.values, split="test") for s in two)
    found = compare_scores(one, other)
    assert found.per_label["L1"]["ap"].reason == "no positives"
    assert found.n_evaluable == {"ap": 2, "auroc": 2, "log_loss": 3, "brier": 3}


def test_classes_and_scores_that_only_rank(two: tuple[Scores, Scores]) -> None:
    classes = class_trial("none", 0).scores["test"]
    assert compare_scores(classes, classes).macro["log_loss"].value == 0
    labels = two[0].require_labels()
    ranking = Scores.from_arrays(labels, ranking=two[0].values, split="test")
    assert set(compare_scores(ranking, two[1]).macro) == {"ap", "auroc"}


def test_other_rows_are_refused(two: tuple[Scores, Scores]) -> None:
    good, bad = two
    with pytest.raises(DataError, match="same labels row by row"):
        compare_scores(good, bad[::-1])
    with pytest.raises(DataError, match="must hold"):
        compare_scores(good, class_trial("none", 0).scores["test"])
    moved = dataclasses.replace(bad, ids=np.char.add("x", np.asarray(bad.ids)))
    with pytest.raises(DataError, match="same ids"):
        compare_scores(good, moved)
