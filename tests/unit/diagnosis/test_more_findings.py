"""What findings say in numbers, against closed forms and by hand."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from equipoise.artifacts import Finding, Labels, Scores, Split
from equipoise.decisions import tune
from equipoise.diagnosis import (
    ClassTable,
    Material,
    Setup,
    check_history,
    diagnose,
    read_setup,
    run_checks,
)
from equipoise.diagnosis.class_table import is_count, predicted_counts, read_class_table
from equipoise.diagnosis.row_checks import _labelled_share
from equipoise.diagnosis.score_checks import implied_weight
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.labels import class_weights

FOUR = {"A": 19000, "B": 65000, "C": 38000, "D": 105000}


def of_setup(setup: Setup, **options: Any) -> dict[str, Finding]:
    given = options or {"counts": FOUR, "n_rows": 224000}
    return {f.code: f for f in diagnose(**given, more=Material(setups=(setup,)))}


@pytest.mark.parametrize("weight", [0.1, 1.0, 3.0, 40.0])
def test_the_implied_weight_is_the_one_that_was_used(weight: float) -> None:
    rng = np.random.default_rng(0)
    prob = expit(1.5 * rng.normal(size=200_000) - 2)
    y = (rng.random(prob.size) < prob).astype(int)
    labels = Labels.from_array(y, kind="multilabel", names=["A"])
    z = np.log(prob / (1 - prob)) + math.log(weight)
    scores = Scores.from_arrays(labels, logits=z, split="val")
    assert implied_weight(scores, 0) == pytest.approx(weight, rel=0.03)


def test_weights_say_what_an_output_of_one_half_stands_for() -> None:
    found = of_setup(Setup(pos_weight=[10.79, 2.45, 4.90, 1.13]))["EQ330"]
    cuts = found.evidence["true_probability_at_output_half"]
    assert cuts["A"] == pytest.approx(1 / 11.79)
    assert cuts == pytest.approx({n: c / 224000 for n, c in FOUR.items()}, abs=1e-3)
    neg_over_pos = of_setup(Setup(pos_weight=[10.79, 2.45, 4.90, 1.13]))
    assert "EQ334" not in neg_over_pos
    occurrences = of_setup(Setup(pos_weight=[11.95, 3.49, 5.97, 2.16]))["EQ334"]
    assert occurrences.evidence["occurrences"] == 227_000
    rows = [224000 / n for n in FOUR.values()]
    assert "EQ334" not in of_setup(Setup(pos_weight=rows))


def test_class_balanced_weights_near_inverse_frequency() -> None:
    counts = {str(c): c for c in range(190, 0, -20)}
    counts["10"] = counts.pop("10", 10)
    found = of_setup(Setup(beta=0.999), counts=counts, kind="multiclass")["EQ333"]
    assert found.evidence["inverse_frequency"] == pytest.approx(19.0)
    assert found.evidence["ratio"] == pytest.approx(17.4, abs=0.05)


@pytest.mark.parametrize("scale", [1, 100, 10_000])
@pytest.mark.parametrize(("beta", "code"), [(1 - 1e-12, "EQ333"), (0.5, "EQ343")])
def test_the_beta_that_is_advised_does_something(scale: int, beta: float, code: str) -> None:
    counts = {"a": 90 * scale, "b": 70 * scale, "c": 6 * scale}
    found = of_setup(Setup(beta=beta), counts=counts, kind="multiclass")[code]
    said = re.search(r"beta = ([\d.]+) ", found.suggests[0])
    assert said is not None
    advised = float(said[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = class_weights(counts, method="effective_number", beta=advised)
    assert made.max() / made.min() == pytest.approx(15**0.5, rel=0.02)
    again = of_setup(Setup(beta=advised), counts=counts, kind="multiclass")
    assert not {"EQ333", "EQ343"} & set(again)


def test_a_planned_rate_that_falls_at_once() -> None:
    found = of_setup(Setup(lr=1e-4, lr_factor=0.1, epochs=4))["EQ308"]
    assert found.evidence["rates"] == pytest.approx([1e-4, 1e-5, 1e-6, 1e-7])
    assert found.evidence["epoch"] == 2
    for slow in (
        Setup(lr=1e-4, lr_factor=0.5, epochs=8),
        Setup(lr=1e-4, lr_factor=0.1, lr_every=30, epochs=90),
        Setup(lr=1e-4),
    ):
        assert "EQ308" not in of_setup(slow)


def test_batches_that_miss_a_label() -> None:
    found = of_setup(Setup(batch_size=32), counts={"A": 2, "B": 500}, n_rows=1000)["EQ335"]
    row = found.evidence["labels"]["A"]
    assert row["expected"] == pytest.approx(0.064)
    assert row["share_without"] == pytest.approx(0.998**32)
    assert "B" not in found.evidence["labels"]
    helped = Setup(batch_size=32, sampler="WeightedRandomSampler")
    assert "EQ335" not in of_setup(helped, counts={"A": 2}, n_rows=1000)


def test_swapped_columns_give_the_predicted_counts() -> None:
    hits, support = np.array([43, 35, 22, 46]), 50
    predicted = np.array([52, 49, 39, 60])
    recall, precision = hits / support, np.round(hits / predicted, 2)
    table = ClassTable.from_columns(("a", "b", "c", "d"), 50, {"x": precision}, {"x": recall})
    (found,) = [f for f in diagnose(more=Material(classes=table)) if f.code == "EQ342"]
    assert np.abs(np.array(found.evidence["predicted"]) - predicted).max() < 1.0
    assert found.evidence["recall"] == pytest.approx(recall.tolist())
    right = ClassTable.from_columns(("a", "b", "c", "d"), 50, {"x": recall}, {"x": precision})
    assert not [f for f in diagnose(more=Material(classes=right)) if f.code == "EQ342"]
    # Of 100 rows every number with two decimals is a count: nothing can be told.
    blind = ClassTable.from_columns(("a", "b", "c", "d"), 100, {"x": precision}, {"x": recall})
    assert not [f for f in diagnose(more=Material(classes=blind)) if f.code == "EQ342"]


def test_noise_is_that_of_the_binomial() -> None:
    one, two = [0.7] * 10, [0.716] * 10
    names = tuple("abcdefghij")
    table = ClassTable.from_columns(names, 50, {"one": one, "two": two})
    (found,) = [f for f in diagnose(more=Material(classes=table)) if f.code == "EQ341"]
    half = found.evidence["pairs"]["one against two"]["half_width"]
    assert half == pytest.approx(1.96 * math.sqrt((0.21 + 0.716 * 0.284) / 500), rel=1e-3)


def test_counts_and_their_rounding() -> None:
    assert is_count(np.array([0.333, 0.33, 0.3]), np.full(3, 3.0), 2).tolist() == [
        True,
        True,
        False,
    ]
    counts = predicted_counts(np.array([0.5, 0.0]), np.array([0.25, 0.0]), np.full(2, 10.0))
    assert counts[0] == 20
    assert np.isnan(counts[1])


def test_wrong_tables_and_set_ups() -> None:
    with pytest.raises(ShapeError, match="hold one number per class, 2, got 3"):
        ClassTable.from_columns(("a", "b"), 50, {"x": [0.1, 0.2, 0.3]})
    with pytest.raises(DataError, match="at least one test row"):
        ClassTable.from_columns(("a", "b"), 0, {"x": [0.1, 0.2]})
    with pytest.raises(DataError, match=r"lie in \[0, 1\]"):
        ClassTable.from_columns(("a", "b"), 50, {"x": [-0.1, 0.2]})
    with pytest.raises(UsageError, match=r"`activation` must be one of"):
        Setup(activation="sigmod")
    with pytest.raises(UsageError, match="`beta` must lie"):
        Setup(beta=1.0)
    with pytest.raises(UsageError, match="be a list or a mapping"):
        read_setup({"pos_weight": 3})
    with pytest.raises(UsageError, match="be a mapping"):
        read_setup(["loss"])  # type: ignore[arg-type]


def test_class_weights_may_go_by_number_or_by_name() -> None:
    by_number = Setup(class_weight={0: 9.0, 1: 1.0}).weights(["A", "B"])
    by_name = Setup(class_weight={"A": 9.0, "B": 1.0}).weights(["A", "B"])
    assert by_number == by_name == {"class_weight": ("rows", {"A": 9.0, "B": 1.0})}


def test_a_sigmoid_applied_twice_is_seen_in_a_set_up() -> None:
    found = of_setup(Setup(activation="sigmoid", applied="sigmoid"))
    assert "[0.5, 0.731]" in found["EQ303"].message
    assert "EQ303" not in of_setup(Setup(activation="none", applied="sigmoid"))


def test_labels_that_exclude_each_other() -> None:
    hot = np.array([[1, 0]] * 50 + [[0, 1]] * 50)
    hot = np.vstack([hot, np.zeros((1, 2), dtype=int)])
    (found,) = [
        f for f in diagnose(Labels.from_array(hot, kind="multilabel", names=["L", "R"]))
        if f.code == "EQ109"
    ]  # fmt: skip
    assert found.evidence["never"] == [["L", "R", 2500 / 101]] or found.evidence["never"] == [
        ("L", "R", 2500 / 101)
    ]
    assert found.evidence["always"] == []


def test_anecdotes_say_what_they_can_support() -> None:
    (found,) = [f for f in diagnose(counts={"A": 5, "B": 900}, n_rows=1000) if f.code == "EQ102"]
    assert found.evidence["half_width"] == {"A": pytest.approx(0.33, abs=0.005)}
    assert "takes about 96" in found.message


def test_rules_are_seen_on_test_rows_of_a_split_too() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.3).astype(int)
    ids = np.array([f"row {i}" for i in range(300)])
    labels = Labels.from_array(y, kind="multilabel", names=["A"], ids=ids)
    val = Scores.from_arrays(labels[:100], logits=2.0 * y[:100] - 1, split="val")
    rule = tune(val)
    rows = np.arange(300)
    for test, shared in ((rows[80:], 20), (rows[100:], 0)):
        split = Split.from_parts(rows[: test[0]], [], test, n_rows=300, seed=0, method="hand")
        found = diagnose(labels, split=split, more=Material(rule=rule))
        seen = [f.evidence["shared"] for f in found if f.code == "EQ207"]
        assert seen == ([shared] if shared else [])


def test_history_of_any_framework_is_looked_at() -> None:
    rows = tuple(
        {"loss": loss, "lr": 0.1**e} for e, loss in enumerate([0.7, 0.5, 0.45, 0.44, 0.44, 0.44])
    )
    codes = [f.code for f in diagnose(more=Material(history=rows))]
    assert codes == [f.code for f in check_history(rows)] == ["EQ308"]


def test_a_check_that_cannot_be_made_is_skipped_and_the_others_are_not() -> None:
    results = run_checks(
        Material(counts={"A": 10, "B": 500}, n_rows=1000, setups=(Setup(pos_weight=[1.0]),))
    )
    why = "one weight per label, 2, got 1"
    assert {r.code for r in results if why in r.reason} == {"EQ330", "EQ331", "EQ334", "EQ343"}
    assert all(r.status == "not made" for r in results if r.reason)
    assert "found" in {r.status for r in results}


def test_what_a_setup_does_not_say_is_not_called_fine() -> None:
    results = {
        r.code: r
        for r in run_checks(
            Material(counts={"A": 10, "B": 500}, n_rows=1000, setups=(Setup(loss="bce"),))
        )
    }
    for code, said in (("EQ312", "class_weight"), ("EQ330", "pos_weight"), ("EQ308", "lr")):
        assert results[code].status == "not made"
        assert said in results[code].reason
    assert not any(r.status == "fine" and r.reason for r in results.values())


def test_a_rule_beside_rows_that_cannot_be_compared_is_not_called_fine() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((200, 1)) < 0.3).astype(np.int8)
    labels = Labels.from_array(y, kind="multilabel")

    def scores(z: np.ndarray, split: str) -> Scores:
        return Scores.from_arrays(labels, logits=z, split=split)  # type: ignore[arg-type]

    z = 2.0 * y - 1 + rng.normal(size=y.shape)
    rule = tune(scores(z, "val"))
    new = rng.normal(size=y.shape)

    def status(values: np.ndarray) -> str:
        found = run_checks(Material(scores=scores(values, "test"), rule=rule))
        return {r.code: r.status for r in found}["EQ207"]

    assert status(z[::-1]) == "found"
    assert status(new) == "fine"
    assert status(np.round(new)) == "not made"


PIANO = {"22": 4702, "0": 1749, "20": 2660, "3": 940}


def weights_of(class_weight: Any, names: tuple[str, ...]) -> dict[str, float]:
    return dict(Setup(class_weight=class_weight).weights(names)["class_weight"][1])


def test_weights_belong_to_the_labels_that_their_keys_name() -> None:
    """Labels 22, 0, 20, 3 in order of counts: key 20 is the label of that name, not a place."""
    keys = {0: 607.0, 3: 1132.0, 20: 399.4, 22: 226.0}
    assert weights_of(keys, tuple(PIANO)) == {"0": 607.0, "3": 1132.0, "20": 399.4, "22": 226.0}
    # A label without positives, which the counts leave out, keeps its key.
    assert weights_of(keys | {7: 1.0}, tuple(PIANO))["20"] == 399.4
    assert weights_of({0: 1.0, 1: 5.0}, ("cat", "dog")) == {"cat": 1.0, "dog": 5.0}
    assert weights_of({"dog": 5.0, "cat": 1.0}, ("cat", "dog")) == {"cat": 1.0, "dog": 5.0}


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({1: 2.0, 2: 3.0}, ("22", "0", "20")),
        ({0: 2.0, 2: 3.0}, ("cat", "dog")),
        ({"cat": 2.0, 1: 3.0}, ("cat", "dog")),
        ({"cat": 2.0, "hog": 3.0}, ("cat", "dog")),
        ({"a": 2.0, "b": 3.0}, ("A", "B")),
    ],
)
def test_keys_that_may_mean_two_things_are_refused(keys: Any, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="class_weight"):
        weights_of(keys, names)


def test_probabilities_that_are_weighted_are_no_missing_labels() -> None:
    rng = np.random.default_rng(1)
    for trial in range(20):
        odds = rng.normal(-4, 2 + trial / 10, 3000)
        y = (rng.random(3000) < expit(odds)).astype(int)
        labels = Labels.from_array(y, kind="multilabel", names=["A"])
        weighted = Scores.from_arrays(labels, logits=odds + np.log(5 * trial + 1), split="val")
        assert "EQ110" not in [f.code for f in diagnose(scores=weighted)]


def test_the_share_of_marked_positives_is_found() -> None:
    rng = np.random.default_rng(2)
    odds = rng.normal(-4, 4, 20_000)
    y = rng.random(20_000) < expit(odds)
    marked = y & (rng.random(20_000) < 0.6)
    seen = _labelled_share(2 * odds + 3, marked)
    assert seen.share == pytest.approx(0.6, abs=0.05)
    assert seen.missing == pytest.approx((y & ~marked).sum(), rel=0.1)
    assert _labelled_share(2 * odds + 3, y).statistic < 10


def test_positives_of_one_group_count_once() -> None:
    y = np.repeat([0, 1], [300, 45])
    alone = Labels.from_array(y, kind="multilabel", names=["A"])
    patients = ["p1"] * 345
    patients[:300] = [f"p{2 + i // 3}" for i in range(300)]
    grouped = Labels.from_array(y, kind="multilabel", names=["A"], groups=patients)
    assert "EQ102" not in {f.code for f in diagnose(alone)}
    found = {f.code: f for f in diagnose(grouped)}["EQ102"]
    assert "fewer than 10 groups with positives: A (45 in 1)" in found.message
    assert found.evidence["independent"] == {"A": 1}


@pytest.mark.parametrize(("alpha", "cuts"), [([0.75, 0.5], [0.25, 0.5]), ([9.0, 1.0], [0.1, 0.5])])
def test_an_alpha_per_label_is_answered_for_both_sides(
    alpha: list[float], cuts: list[float]
) -> None:
    counts = {"A": 100, "B": 500}
    found = of_setup(Setup(loss="focal", alpha=alpha), counts=counts, n_rows=1000)["EQ344"]
    assert list(found.evidence["true_probability_at_output_half"].values()) == pytest.approx(cuts)
    for side in ("positive", "both"):
        said = Setup(loss="focal", alpha=alpha, alpha_on=side)
        assert "EQ344" not in of_setup(said, counts=counts, n_rows=1000)
    assert "EQ344" not in of_setup(
        Setup(loss="focal", alpha=alpha), counts=counts, kind="multiclass"
    )


def test_a_long_class_table_is_the_wide_one(tmp_path: Path) -> None:
    wide = ["class,none_recall,none_precision,focal_recall,focal_precision", "a,0.5,0.6,0.4,0.7"]
    wide += ["b,0.2,0.3,0.1,0.9"]
    long = ["run,class,recall,precision", "none,a,0.5,0.6", "none,b,0.2,0.3", "focal,a,0.4,0.7"]
    long += ["focal,b,0.1,0.9"]
    tables = []
    for lines in (wide, long):
        (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        tables.append(read_class_table(tmp_path / "t.csv", 50))
    assert tables[0].names == tables[1].names == ("a", "b")
    for part in ("recall", "precision"):
        first, second = (getattr(table, part) for table in tables)
        assert list(first) == list(second)
        assert all(np.array_equal(first[run], second[run]) for run in first)
    (tmp_path / "t.csv").write_text("class,recall\na,0.5\na,0.4\n")
    with pytest.raises(DataError, match="one row per class, got 'a' several times"):
        read_class_table(tmp_path / "t.csv", 50)


def test_what_is_no_labels_is_told_how_to_become_some() -> None:
    with pytest.raises(UsageError, match=r"`labels` must be Labels, got ndarray. Make them first"):
        diagnose(np.zeros(3))  # type: ignore[arg-type]


def test_a_loss_whose_name_says_logits() -> None:
    setup = Setup(loss="BCEWithLogitsLoss", activation="sigmoid")
    assert "EQ301" in of_setup(setup)


def test_balanced_class_weights_are_those_of_the_counts() -> None:
    counts = {"a": 900, "b": 95, "c": 5}
    setup = read_setup({"class_weight": "balanced", "gamma": 2})
    material = Material(counts=counts, kind="multiclass", setups=(setup,))
    given = material.setups[0].weights(list(counts))["class_weight"][1]
    np.testing.assert_allclose(list(given.values()), class_weights(list(counts.values())))
    labels = {f.code for f in diagnose(counts=FOUR, n_rows=224000, more=Material(setups=(setup,)))}
    assert "EQ312" in labels  # one weight per row cannot weigh several labels, in whatever words


def test_labels_that_exclude_one_another_are_classes() -> None:
    y = np.eye(3, dtype=int)[np.arange(60) % 3]
    (found,) = (f for f in diagnose(Labels.from_array(y, kind="multilabel")) if f.code == "EQ109")
    assert "exactly one of the 3 labels" in found.message
    assert 'kind="multiclass"' in found.suggests[0]
    y[0] = [1, 1, 0]
    told = [
        f.message for f in diagnose(Labels.from_array(y, kind="multilabel")) if f.code == "EQ109"
    ]
    assert not any("exactly one" in text for text in told)


def test_a_single_label_is_not_one_of_one() -> None:
    for found in diagnose(counts={"positive": 5}, n_rows=1000):
        assert "1 of 1" not in found.message
        assert "1.0-fold" not in found.message
        assert "inverse frequency" not in found.message
