"""Evaluation: leakage, estimates beside scikit-learn, frequency groups, one class against all."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn import metrics as oracle
from trial_factory import class_trial, label_trial

from equipoise.artifacts import Labels, Scores
from equipoise.comparison import evaluate
from equipoise.decisions import tune
from equipoise.errors import DataError, LeakageError, ShapeError, UsageError
from equipoise.metrics import recall_at_fpr


@pytest.fixture(scope="module")
def labelled() -> tuple[Scores, Scores]:
    trial = label_trial("none", 0)
    return trial.scores["val"], trial.scores["test"]


@pytest.fixture(scope="module")
def classed() -> tuple[Scores, Scores]:
    trial = class_trial("none", 0)
    return trial.scores["val"], trial.scores["test"]


def as_test(scores: Scores) -> Scores:
    return dataclasses.replace(scores, split="test")


def without_ids(scores: Scores) -> Scores:
    labels = scores.require_labels()
    bare = Labels.from_array(labels.values, kind=labels.kind, names=labels.names)
    return Scores.from_arrays(bare, logits=scores.values, split=scores.split)


def test_rows_of_the_tuner_are_refused(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    rule = tune(val)
    with pytest.raises(LeakageError, match="the very rows it was tuned on"):
        evaluate(rule, as_test(val))
    ids = np.asarray(test.ids).copy()
    ids[5] = np.asarray(val.ids)[17]
    truth = dataclasses.replace(test.require_labels(), ids=ids)
    mixed = dataclasses.replace(test, ids=ids, labels=truth)
    with pytest.raises(LeakageError, match="got 1 of 600 rows in common"):
        evaluate(rule, mixed)
    text = dataclasses.replace(mixed, ids=ids.astype(str))
    with pytest.raises(LeakageError, match="1 of 600"):
        evaluate(rule, text)


@pytest.mark.parametrize("part", ["train", "val", "oof"])
def test_parts_that_were_seen_are_refused(labelled: tuple[Scores, Scores], part: str) -> None:
    val, test = labelled
    with pytest.raises(LeakageError, match=f"must be 'test', got '{part}'"):
        evaluate(tune(val), dataclasses.replace(test, split=part))


def test_the_overlap_says_what_was_compared(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    lone = "groups not made: no groups on either side"
    assert evaluate(tune(val), test).overlap == f"ids fine; {lone}; contents fine"
    for rule, judged, where in (
        (tune(val), without_ids(test), "here"),
        (tune(without_ids(val)), test, "where it was tuned"),
    ):
        expected = f"ids not made: no ids {where}; {lone}; contents fine"
        assert evaluate(rule, judged).overlap == expected
    with pytest.raises(LeakageError, match="very rows"):
        evaluate(tune(without_ids(val)), as_test(without_ids(val)))


def test_the_same_rows_in_another_order_are_refused_whatever_their_ids(
    labelled: tuple[Scores, Scores],
) -> None:
    val, _ = labelled
    order = np.random.default_rng(0).permutation(len(val))
    bare = without_ids(val)
    truth = dataclasses.replace(
        bare.require_labels(), ids=np.asarray([f"new{i}" for i in range(len(val))])
    )
    renamed = Scores.from_arrays(truth, logits=bare.values, split="val")
    for rule in (tune(val), tune(bare)):
        for again in (bare[order], renamed[order]):
            with pytest.raises(LeakageError, match="exactly the same scores"):
                evaluate(rule, as_test(again))


def test_some_rows_with_the_same_scores_are_found(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    mixed = without_ids(test).values.copy()
    mixed[:40] = val.values[:40]
    labels = without_ids(test).require_labels()
    found = evaluate(tune(val), Scores.from_arrays(labels, logits=mixed, split="test"))
    assert "contents found: 40 of 600 rows have exactly the same scores" in found.overlap


def test_ties_and_constants_are_no_evidence(labelled: tuple[Scores, Scores]) -> None:
    for make, why in ((lambda z: np.round(z), "tied"), (lambda z: 0 * z - 1, "constant")):
        one, two = (
            Scores.from_arrays(
                without_ids(s).require_labels(), logits=make(s.values), split=s.split
            )
            for s in labelled
        )
        overlap = evaluate(tune(one), two).overlap
        assert "contents not made" in overlap
        assert why in overlap


def test_groups_on_both_sides_are_found(labelled: tuple[Scores, Scores]) -> None:
    val, test = (
        dataclasses.replace(
            s,
            labels=dataclasses.replace(
                s.require_labels(), groups=np.asarray([f"{part}{i // 10}" for i in range(len(s))])
            ),
        )
        for s, part in zip(labelled, ("p", "q"), strict=True)
    )
    assert "groups fine" in evaluate(tune(val), test).overlap
    crossed = np.asarray(test.require_labels().groups).copy()
    crossed[:30] = ["p3"] * 10 + ["p4"] * 10 + ["p5"] * 10
    labels = dataclasses.replace(test.require_labels(), groups=crossed)
    overlap = evaluate(tune(val), dataclasses.replace(test, labels=labels)).overlap
    assert "groups found: 3 of 60 groups in common" in overlap


def test_estimates_are_those_of_scikit_learn(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    rule = tune(val)
    result, made = evaluate(rule, test), rule.apply(test)
    y, flags, p = test.require_labels().values, made.predictions, made.probabilities
    for column, name in enumerate(test.names):
        t, f, q = y[:, column], flags[:, column], p[:, column]
        expected = {
            "prevalence": t.mean(),
            "flagged": f.mean(),
            "ap": oracle.average_precision_score(t, test.values[:, column]),
            "auroc": oracle.roc_auc_score(t, q),
            "precision": oracle.precision_score(t, f),
            "recall": oracle.recall_score(t, f),
            "f1": oracle.f1_score(t, f),
            "log_loss": oracle.log_loss(t, q),
            "brier": oracle.brier_score_loss(t, q),
            "specificity": oracle.recall_score(t, f, pos_label=0),
            "balanced_accuracy": oracle.balanced_accuracy_score(t, f),
            "mcc": oracle.matthews_corrcoef(t, f),
            "brier_skill": 1 - np.mean((t - q) ** 2) / t.var(),
            "brier_positives": np.mean((1 - q[t == 1]) ** 2),
            "brier_negatives": np.mean(q[t == 0] ** 2),
            "calibration_ratio": q.mean() / t.mean(),
            "partial_auroc": oracle.roc_auc_score(t, test.values[:, column], max_fpr=0.1),
            "recall_at_fpr": recall_at_fpr(t, q, fpr=0.1),
            "precision_at_top": t[np.argsort(-q)[:60]].mean(),
        }
        row = result.per_label[name]
        found = {m: e.value for m, e in row.items()}
        assert found.pop("calibration_slope") == pytest.approx(1, abs=0.6)
        assert found.pop("calibration_intercept") == pytest.approx(0, abs=0.6)
        assert found == pytest.approx(expected)
        assert all(e.low < e.value < e.high for e in row.values())
        few = int(t.sum())
        method = "boyd" if few < 50 else "gap bootstrap, percentile" if few <= 200 else "influence"
        assert row["ap"].method == method
        assert row["auroc"].method == ("half rows" if few < 50 else "influence")
        tn, fp, fn, tp = oracle.confusion_matrix(t, f).ravel()
        assert result.counts[name] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    macro = result.overall["macro"]
    assert {"ap", "auroc", "f1", "mcc", "recall", "log_loss", "brier_skill"} < set(macro)
    for metric, estimate in macro.items():
        mean = np.mean([result.per_label[n][metric].value for n in test.names])
        assert estimate.value == pytest.approx(mean)
        assert estimate.low < estimate.value < estimate.high
    both = result.overall["samples"]
    assert both["f1"].value == pytest.approx(
        oracle.f1_score(y, flags, average="samples", zero_division=np.nan)
    )
    assert both["exact_match"].value == pytest.approx(oracle.accuracy_score(y, flags))
    micro = result.overall["micro"]
    assert micro["f1"].value == pytest.approx(oracle.f1_score(y, flags, average="micro"))
    assert micro["precision"].value == pytest.approx(
        oracle.precision_score(y, flags, average="micro")
    )
    assert result.n_evaluable["ap"] == 3
    assert result.evaluated_on["tuned_on"]["n_rows"] == 600


def test_classes_are_judged_one_against_the_rest(classed: tuple[Scores, Scores]) -> None:
    val, test = classed
    rule = tune(val, target_prior="uniform")
    result, p = evaluate(rule, test), rule.apply(test).probabilities
    y = test.require_labels().values
    for c, name in enumerate(test.names):
        row = result.per_label[name]
        assert row["auroc"].value == pytest.approx(oracle.roc_auc_score(y == c, p[:, c]))
        assert row["ap"].value == pytest.approx(oracle.average_precision_score(y == c, p[:, c]))
        assert row["log_loss"].value == pytest.approx(oracle.log_loss(y == c, p[:, c]))
        assert row["brier"].value == pytest.approx(np.mean((p[:, c] - (y == c)) ** 2))
    predicted = rule.apply(test).predictions
    overall = result.overall["overall"]
    assert overall["accuracy"].value == pytest.approx((predicted == y).mean())
    assert overall["balanced_accuracy"].value == pytest.approx(
        oracle.balanced_accuracy_score(y, predicted)
    )
    assert overall["log_loss"].value == pytest.approx(oracle.log_loss(y, p))


def test_saturated_classes_keep_their_order() -> None:
    """Rows whose posterior rounds to 1 are still ranked by how sure they are."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    z = np.stack([np.zeros(200), np.where(y == 1, 300, 100) + rng.normal(size=200)], axis=1)
    labels = Labels.from_array(y, kind="multiclass")
    val = Scores.from_arrays(labels, logits=rng.normal(size=(200, 2)), split="val")
    result = evaluate(tune(val), Scores.from_arrays(labels, logits=z, split="test"))
    assert result.per_label["1"]["auroc"].value == 1.0
    assert logsumexp(z, axis=1).min() > 40


def test_frequency_groups_are_macro_averages(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    result = evaluate(tune(val), test, train_counts=[500, 100, 5])
    assert list(result.groups) == ["head", "medium", "tail"]
    for group, name in zip(result.groups, test.names, strict=True):
        value = result.per_label[name]["ap"].value
        assert result.groups[group]["ap"].value == pytest.approx(value)
    two = evaluate(tune(val), test, train_counts=[500, 400, 5])
    assert list(two.groups) == ["head", "tail"]
    mean = (result.groups["head"]["ap"].value + result.groups["medium"]["ap"].value) / 2
    assert two.groups["head"]["ap"].value == pytest.approx(mean)
    assert evaluate(tune(val), test).groups == {}
    with pytest.raises(ShapeError, match="one count per class or label"):
        evaluate(tune(val), test, train_counts=[1, 2])


def test_what_cannot_be_judged_says_why(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    y = test.require_labels().values.copy()
    y[:, 0], y[:, 2] = 0, -1
    labels = Labels.from_array(y, kind="multilabel", names=test.names)
    result = evaluate(tune(val), Scores.from_arrays(labels, logits=test.values, split="test"))
    assert result.not_evaluable == {"L0": "no positives", "L2": "no positives"}
    assert result.per_label["L0"]["recall"].reason == "no positives"
    for metric in ("ap", "auroc", "f1"):
        missing = result.per_label["L0"][metric]
        assert missing.is_missing
        assert missing.reason == "no positives"
        assert result.n_evaluable[metric] == 1
        assert result.overall["macro"][metric].value == result.per_label["L1"][metric].value
    assert result.per_label["L0"]["log_loss"].value > 0
    assert result.per_label["L2"]["log_loss"].reason == "no known rows"
    micro = result.overall["micro"]["precision"].value
    assert micro < result.per_label["L1"]["precision"].value


def test_few_positives_bring_a_caution(labelled: tuple[Scores, Scores]) -> None:
    val, test = labelled
    y = test.require_labels().values.copy()
    y[np.flatnonzero(y[:, 1] == 1)[4:], 1] = 0
    labels = Labels.from_array(y, kind="multilabel", names=test.names)
    row = evaluate(
        tune(val), Scores.from_arrays(labels, logits=test.values, split="test")
    ).per_label["L1"]
    assert row["ap"].method == "boyd"
    assert "fewer than 10 positives" in str(row["ap"].reason)
    assert "fewer than 10 positives" in str(row["auroc"].reason)


def test_groups_of_rows_widen_the_intervals() -> None:
    trial = label_trial("none", 0)
    val, test = trial.scores["val"], trial.scores["test"]
    twice = np.repeat(np.arange(600), 2)
    y = test.require_labels().values[twice]
    plain = Labels.from_array(y, kind="multilabel", names=test.names)
    grouped = Labels.from_array(y, kind="multilabel", names=test.names, groups=twice)
    rule = tune(val)
    results = {}
    for name, labels in (("plain", plain), ("grouped", grouped)):
        scores = Scores.from_arrays(labels, logits=test.values[twice], split="test")
        results[name] = evaluate(rule, scores).overall["macro"]["auroc"]
    single = evaluate(rule, test).overall["macro"]["auroc"]
    width = {k: e.high - e.low for k, e in results.items()}
    assert width["grouped"] == pytest.approx(single.high - single.low, rel=0.01)
    assert width["plain"] < 0.75 * width["grouped"]
    assert results["grouped"].n == 600


def test_bad_calls(labelled: tuple[Scores, Scores], classed: tuple[Scores, Scores]) -> None:
    rule = tune(labelled[0])
    with pytest.raises(UsageError, match=r"confidence_level.* must lie in \(0, 1\)"):
        evaluate(rule, labelled[1], confidence_level=95)
    with pytest.raises(DataError, match="multilabel with columns"):
        evaluate(rule, classed[1])
    new = Scores.from_arrays(
        None, logits=labelled[1].values, kind="multilabel", names=labelled[1].names, split="new"
    )
    with pytest.raises(DataError, match="carry labels"):
        evaluate(rule, new)
