"""From scores to a rule: priors, evidence, cross-fitting, and a rule that lives on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, softmax

from equipoise.artifacts import Correction, DecisionRule, Labels, Scores
from equipoise.decisions import shift_prior, to_target_prior, tune
from equipoise.errors import DataError, ShapeError, UsageError


def label_scores(
    n: int = 2000, seed: int = 0, prevalence: tuple[float, ...] = (0.2, 0.05), **extra: object
) -> Scores:
    """Draw calibrated binormal scores: log-odds are known exactly."""
    rng = np.random.default_rng(seed)
    share = np.array(prevalence)
    y = (rng.random((n, share.size)) < share).astype(np.int8)
    x = rng.normal(size=y.shape) + 2.0 * y
    logits = 2.0 * x - 2.0 + np.log(share / (1 - share))
    options = {"logits": logits, "split": "val"} | extra
    labels = Labels.from_array(y, kind="multilabel", ids=np.arange(n) + 10**6 * seed)
    return Scores.from_arrays(labels, **options)  # type: ignore[arg-type]


def class_scores(
    counts: tuple[int, ...],
    train: tuple[float, ...],
    seed: int = 0,
    split: str = "val",
    known: bool = True,
) -> Scores:
    """Draw Gaussian classes; logits are the log-posterior at the training prior."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    centres = np.stack([np.cos(np.arange(len(counts))), np.sin(np.arange(len(counts)))], 1) * 1.8
    x = rng.normal(size=(y.size, 2)) + centres[y]
    logits = x @ centres.T - 0.5 * (centres**2).sum(1) + np.log(train)
    names = [f"c{i}" for i in range(len(counts))]
    labels = Labels.from_array(
        y, kind="multiclass", names=names, ids=np.arange(y.size) + seed * 10**6
    )
    prior = train if known else None
    correction = Correction.identity("multiclass", prior=prior)
    return Scores.from_arrays(labels, logits=logits, split=split, correction=correction)  # type: ignore[arg-type]


def test_a_calibrated_model_is_left_as_it_is() -> None:
    rule = tune(label_scores(20_000))
    assert rule.calibrator.method == ("platt", "platt")
    assert rule.calibrator.scale == pytest.approx(np.ones(2), abs=0.1)
    assert rule.calibrator.offset == pytest.approx(np.zeros(2), abs=0.15)
    assert rule.grades == ("A", "A")
    assert (rule.prior_shift == 0).all()
    test = label_scores(20_000, seed=1, split="test")
    p = rule.apply(test).probabilities
    np.testing.assert_allclose(p, expit(test.values), atol=0.05)


def test_the_cut_of_calibrated_scores_is_half_of_the_best_f1() -> None:
    rule = tune(label_scores(20_000))
    np.testing.assert_allclose(expit(rule.thresholds), rule.claimed / 2, atol=0.05)


@pytest.mark.parametrize("target", ["uniform", (0.02, 0.3)])
def test_label_probabilities_at_a_target_prior_are_bayes(target: object) -> None:
    scores = label_scores(20_000)
    rule = tune(scores, target_prior=target)  # type: ignore[arg-type]
    want = np.full(2, 0.5) if target == "uniform" else np.array(target)
    pi = scores.require_labels().prevalence
    p = expit(scores.values)
    bayes = want / pi * p / (want / pi * p + (1 - want) / (1 - pi) * (1 - p))
    np.testing.assert_allclose(rule.apply(scores).probabilities, bayes, atol=0.04)
    # At that prior the cut is half of the F1 it reaches there.
    np.testing.assert_allclose(expit(rule.thresholds), rule.claimed / 2, atol=0.06)


def test_claimed_f1_at_a_target_prior_is_that_of_rows_from_there() -> None:
    rule = tune(label_scores(20_000), target_prior=(0.5, 0.5))
    there = label_scores(20_000, seed=2, prevalence=(0.5, 0.5), split="test")
    flags = rule.thresholds is not None
    assert flags
    # The model was made at (0.2, 0.05): bring its logits back there before applying the rule.
    away = np.log(np.array([0.2, 0.05]) / np.array([0.8, 0.95]))
    scores = Scores.from_arrays(there.labels, logits=there.values + away, split="test")
    y, flag = there.require_labels().values, rule.apply(scores).predictions
    tp, wrong = ((y == 1) & (flag == 1)).sum(0), (y != flag).sum(0)
    np.testing.assert_allclose(2 * tp / (2 * tp + wrong), rule.claimed, atol=0.03)


@pytest.mark.parametrize("target", ["validation", "uniform", (0.2, 0.2, 0.6)])
@pytest.mark.parametrize("train", [(1 / 3, 1 / 3, 1 / 3), (0.9, 0.08, 0.02)])
def test_class_probabilities_at_a_target_prior_are_bayes(target: object, train: tuple) -> None:
    scores = class_scores((3000, 1500, 1500), train)
    rule = tune(scores, target_prior=target)  # type: ignore[arg-type]
    pi = np.array([0.5, 0.25, 0.25])
    named = {"validation": pi, "uniform": np.full(3, 1 / 3)}
    want = named[target] if isinstance(target, str) else np.asarray(target)
    bayes = softmax(scores.values - np.log(train) + np.log(want), axis=1)
    np.testing.assert_allclose(rule.apply(scores).probabilities, bayes, atol=0.04)
    assert rule.calibrator.scale[0] == pytest.approx(1, abs=0.08)


def test_long_tail_with_balanced_validation_is_close_to_bayes() -> None:
    train = np.array([0.9, 0.07, 0.02, 0.01])
    val = class_scores((200,) * 4, tuple(train))
    test = class_scores((3000,) * 4, tuple(train), seed=1, split="test")
    rule = tune(val, target_prior="uniform")
    y = test.require_labels().values
    reached = (rule.apply(test).predictions == y).mean()
    bayes = ((test.values - np.log(train)).argmax(1) == y).mean()
    naive = (test.values.argmax(1) == y).mean()
    assert bayes - 0.005 < reached <= bayes + 0.005
    assert naive < bayes - 0.1


def test_balanced_accuracy_needs_minus_log_prior() -> None:
    scores = class_scores((4000, 800, 200), (0.8, 0.16, 0.04))
    rule = tune(scores)
    test = class_scores((3000,) * 3, (0.8, 0.16, 0.04), seed=3, split="test")
    y = test.require_labels().values
    reached = (rule.apply(test).predictions == y).mean()
    bayes = ((test.values - np.log([0.8, 0.16, 0.04])).argmax(1) == y).mean()
    assert reached > bayes - 0.015
    plain = tune(scores, objective="accuracy")
    assert (plain.class_offset == 0).all()
    assert np.nanmean(plain.claimed) < np.nanmean(rule.claimed)


@pytest.mark.parametrize("part", ["train", "test", "new"])
def test_other_parts_are_refused(part: str) -> None:
    with pytest.raises(DataError, match=r"must be 'val' or 'oof', got .*never on the same rows"):
        tune(label_scores(100, split=part))


def test_out_of_fold_scores_are_welcome() -> None:
    assert tune(label_scores(100, split="oof")).tuned_on["split"] == "oof"


def test_scores_without_truth_are_refused() -> None:
    bare = Scores.from_arrays(None, logits=[[1.0]], kind="multilabel", split="val")
    with pytest.raises(DataError, match="carry labels"):
        tune(bare)


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("unifrom", UsageError, "'validation', 'uniform' or a list"),
        ((0.5,), ShapeError, r"\(2\), got \(1,\)"),
        ((0.5, 1.0), UsageError, r"shares in \(0, 1\)"),
        ((0.5, float("nan")), UsageError, r"shares in \(0, 1\)"),
        (("a", "b"), DataError, "be numbers"),
    ],
)
def test_target_priors_that_are_none(target: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        tune(label_scores(50), target_prior=target)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="sum to 1, got"):
        to_target_prior((0.3, 0.3), np.array([0.5, 0.5]), "multiclass")


def test_objectives_belong_to_kinds() -> None:
    with pytest.raises(UsageError, match="F-beta"):
        tune(label_scores(50), objective="accuracy")
    with pytest.raises(UsageError, match="balanced_accuracy"):
        tune(class_scores((20, 20), (0.5, 0.5)), objective="f1")


def test_shifting_there_and_back_is_nothing() -> None:
    a, b = np.array([0.2, 0.8]), np.array([0.6, 0.4])
    for kind in ("multilabel", "multiclass"):
        there = shift_prior(a, b, kind)  # type: ignore[arg-type]
        np.testing.assert_allclose(there, -shift_prior(b, a, kind), atol=1e-15)  # type: ignore[arg-type]
        assert (shift_prior(a, a, kind) == 0).all()  # type: ignore[arg-type]


def test_claims_on_noise_are_higher_than_cross_fitted_ones() -> None:
    gaps = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = (rng.random((300, 8)) < 0.1).astype(np.int8)
        labels = Labels.from_array(y, kind="multilabel")
        rule = tune(Scores.from_arrays(labels, logits=rng.normal(size=y.shape), split="val"))
        gaps.append(np.nanmean(rule.claimed) - np.nanmean(rule.cross_fitted))
    assert np.mean(gaps) > 0


def test_class_claims_on_noise_are_higher_too() -> None:
    gaps = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = Labels.from_array(rng.choice(4, 120, p=[0.7, 0.1, 0.1, 0.1]), kind="multiclass")
        rule = tune(Scores.from_arrays(labels, logits=rng.normal(size=(120, 4)), split="val"))
        gaps.append(np.nanmean(rule.claimed) - np.nanmean(rule.cross_fitted))
    assert np.mean(gaps) > 0


@pytest.mark.parametrize(
    ("n_positive", "grade"), [(9, "D"), (10, "C"), (49, "C"), (50, "B"), (99, "B"), (100, "A")]
)
def test_grades_change_at_ten_fifty_and_a_hundred_positives(n_positive: int, grade: str) -> None:
    y = (np.arange(400) < n_positive).astype(np.int8)
    labels = Labels.from_array(y, kind="multilabel")
    # No cut does better than 0.5 here, so the number of positives alone makes the grade.
    logits = 8.0 * y - 4.0 + 0.1 * np.random.default_rng(0).normal(size=y.size)
    assert tune(Scores.from_arrays(labels, logits=logits, split="val")).grades == (grade,)


def test_labels_without_positives_and_unknown_ones() -> None:
    scores = label_scores(300, prevalence=(0.3, 0.2, 0.2, 0.2))
    y = scores.require_labels().values.copy()
    y[:, 1] = np.where(y[:, 1] == 1, 0, y[:, 1])
    y[:, 2] = -1
    y[np.flatnonzero(y[:, 3] == 1)[2:], 3] = 0
    labels = Labels.from_array(y, kind="multilabel")
    rule = tune(Scores.from_arrays(labels, logits=scores.values, split="val"))
    assert np.isnan(rule.claimed).tolist() == [False, True, True, False]
    assert np.isnan(rule.cross_fitted).tolist() == [False, True, True, False]
    assert rule.grades == ("B", "D", "D", "D")
    assert rule.notes[1] == "no validation positives: never flagged"
    assert rule.notes[2] == "no known validation rows: never flagged"
    assert "fewer than 3" in rule.notes[3]
    assert rule.thresholds is not None
    assert np.isfinite(rule.thresholds).tolist() == [True, False, False, True]
    assert rule.apply(scores).predictions[:, [1, 2]].sum() == 0
    assert rule.calibrator.method == ("platt", "formula", "formula", "formula")


def test_classes_without_rows_are_nan() -> None:
    labels = Labels.from_array([0, 1] * 30, kind="multiclass", names=["a", "b", "c"])
    logits = np.random.default_rng(0).normal(size=(60, 3))
    rule = tune(Scores.from_arrays(labels, logits=logits, split="val"))
    assert np.isnan(rule.claimed).tolist() == [False, False, True]
    assert ["no validation rows" in note for note in rule.notes] == [False, False, True]


def test_one_group_cannot_be_cross_fitted() -> None:
    for kind, values in (("multilabel", [1, 0] * 20), ("multiclass", [1, 0] * 20)):
        labels = Labels.from_array(values, kind=kind, groups=["same"] * 40)  # type: ignore[arg-type]
        logits = np.random.default_rng(0).normal(size=(40, labels.num_classes))
        rule = tune(Scores.from_arrays(labels, logits=logits, split="val"))
        assert np.isnan(rule.cross_fitted).all()
        assert not np.isnan(rule.claimed).any()


def test_groups_never_cross_folds() -> None:
    from equipoise.decisions._folds import deal_folds

    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 200)
    y = (rng.random((200, 3)) < 0.1).astype(int)
    grouped = deal_folds(Labels.from_array(y, kind="multilabel", groups=groups), 0)
    assert sorted(np.concatenate(grouped).tolist()) == list(range(200))
    for fold in grouped:
        assert not set(groups[fold]) & set(np.delete(groups, fold))
    spread = [y[fold].sum(0) for fold in deal_folds(Labels.from_array(y, kind="multilabel"), 0)]
    assert np.ptp(spread, axis=0).max() <= 4


@pytest.mark.parametrize("kind", ["ranking", "probabilities"])
def test_other_kinds_of_scores(kind: str) -> None:
    base = label_scores(3000)
    values = 100 * base.values + 7 if kind == "ranking" else expit(base.values)
    scores = Scores.from_arrays(base.labels, split="val", **{kind: values})  # type: ignore[arg-type]
    rule, same = tune(scores), tune(base)
    assert (rule.correction is None) == (kind == "ranking")
    np.testing.assert_allclose(
        rule.apply(scores).probabilities, same.apply(base).probabilities, atol=0.03
    )
    agree = rule.apply(scores).predictions == same.apply(base).predictions
    assert agree.mean() > 0.97


def test_outputs_without_inverse_are_calibrated_from_scratch() -> None:
    lost = Correction("multilabel", exactness="none")
    base = label_scores(3000)
    val = Scores.from_arrays(base.labels, logits=base.values, split="val", correction=lost)
    rule = tune(val)
    assert rule.correction is None
    new = Scores.from_arrays(None, logits=base.values[:5], split="new", kind="multilabel")
    assert rule.apply(new).predictions.shape == (5, 2)


@pytest.mark.parametrize("make", [label_scores, lambda: class_scores((50, 30, 9), (0.5, 0.3, 0.2))])
def test_a_reloaded_rule_decides_alike(make: object, tmp_path: Path) -> None:
    scores = make()  # type: ignore[operator]
    rule = tune(scores, target_prior="uniform")
    again = DecisionRule.load(rule.save(tmp_path / "rule.json"))
    one, two = rule.apply(scores), again.apply(scores)
    assert np.array_equal(one.probabilities, two.probabilities)
    assert np.array_equal(one.predictions, two.predictions)


def test_the_seed_decides() -> None:
    one, two, other = (tune(label_scores(300), seed=s) for s in (1, 1, 2))
    assert one.to_dict() == two.to_dict()
    assert one.to_dict() != other.to_dict()


def test_a_rule_is_served_by_numpy_alone(tmp_path: Path) -> None:
    path = tune(label_scores(300)).save(tmp_path / "rule.json")
    code = f"""
import sys
from equipoise.artifacts import DecisionRule, Scores
rule = DecisionRule.load({str(path)!r})
new = Scores.from_arrays(None, logits=[[0.0, 1.0]], split="new", kind="multilabel")
print(rule.apply(new).predictions.tolist())
heavy = {{"torch", "sklearn", "scipy", "polars", "pandas", "matplotlib", "lightning", "keras"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"
    assert done.stdout.splitlines()[0].startswith("[[")
