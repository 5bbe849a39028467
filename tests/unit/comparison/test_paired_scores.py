"""Two sets of scores on the same rows: paired differences by hand, and who wins."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm
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


def slow_delong(y: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
    """Equations (4) to (6) with loops over all pairs."""
    pos, neg = np.flatnonzero(y == 1), np.flatnonzero(y == 0)

    def psi(x: float, other: float) -> float:
        return 1.0 if other < x else 0.5 if other == x else 0.0

    v10, v01, area = [], [], []
    for s in (one, two):
        table = np.array([[psi(s[i], s[j]) for j in neg] for i in pos])
        v10.append(table.mean(axis=1))
        v01.append(table.mean(axis=0))
        area.append(table.mean())
    total = np.cov(np.array(v10)) / pos.size + np.cov(np.array(v01)) / neg.size
    variance = total[0, 0] + total[1, 1] - 2 * total[0, 1]
    return float(2 * norm.sf(abs(area[0] - area[1]) / math.sqrt(variance)))


@pytest.mark.parametrize("seed", range(5))
def test_equal_areas_are_tested_after_delong(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(80) < 0.25).astype(int)
    z = np.round(2 * y + rng.normal(size=(2, 80)), 1)  # with ties
    labels = Labels.from_array(y, kind="multilabel", names=["A"])
    one, two = (Scores.from_arrays(labels, logits=v, split="test") for v in z)
    found = compare_scores(one, two)
    assert found.auroc_p["A"] == pytest.approx(slow_delong(y, *z))
    assert compare_scores(one, one).auroc_p["A"] == 1.0


def test_areas_of_rows_in_groups_and_of_too_few_rows() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat(rng.random(60) < 0.3, 2).astype(int)
    z = np.repeat(2.0 * y[::2] + rng.normal(size=(2, 60)), 2, axis=1)
    groups = np.arange(120) // 2
    apart, joined = (
        [
            Scores.from_arrays(
                Labels.from_array(y, kind="multilabel", names=["A"], groups=held),
                logits=v,
                split="test",
            )
            for v in z
        ]
        for held in (None, groups)
    )
    # Each row twice: groups have twice the variance that rows seem to have.
    assert compare_scores(*joined).auroc_p["A"] > compare_scores(*apart).auroc_p["A"]
    y[:] = 0
    y[0] = 1
    one = Labels.from_array(y, kind="multilabel", names=["A"])
    lone = [Scores.from_arrays(one, logits=v, split="test") for v in z]
    assert math.isnan(compare_scores(*lone).auroc_p["A"])


def test_a_pair_prints_a_short_table() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((400, 40)) < 0.3).astype(int)
    labels = Labels.from_array(y, kind="multilabel")
    one, two = (
        Scores.from_arrays(labels, logits=k * y - 1 + rng.normal(size=y.shape), split="test")
        for k in (2, 1)
    )
    found = compare_scores(one, two)
    lines = str(found).splitlines()
    assert lines[2].startswith("macro of 40")
    assert str(found.macro["ap"]) in lines[2]
    assert found.verdict["ap"] in lines[2]
    assert str(found.per_label["0"]["ap"]) in lines[3]
    assert lines[-2].startswith("10 more labels")
    assert len(lines) == 35
