"""Columns that give the label away are named, and strong ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise import Labels, diagnose
from equipoise.diagnosis import Material
from equipoise.diagnosis.column_checks import leaks, orders

N = 3000
RNG = np.random.default_rng(0)
Y = (RNG.random(N) < 0.05).astype(np.int64)
ONE = Labels.from_array(Y, kind="multilabel", names=["A"])
NOISE = RNG.normal(size=N)
GAP = np.where(Y == 1, np.nan, NOISE)

TELLING = {
    "a copy": 7.0 - Y,
    "a copy with one row wrong": np.where(np.arange(N) == 5, 1 - Y, Y).astype(float),
    "a number beyond a cut": NOISE + 20 * Y,
    "a gap": GAP,
    "an id that counts positives first": np.argsort(np.argsort(-Y, kind="stable")).astype(float),
}
HARMLESS = {
    "noise": NOISE,
    "strong": NOISE + 2.5 * Y,
    "a value per row": np.arange(N, dtype=float),
    "constant": np.zeros(N),
    "nothing": np.full(N, np.nan),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_column_that_tells_is_named(name: str) -> None:
    (found,) = leaks({"x": TELLING[name], "noise": NOISE}, ONE)
    assert (found.column, found.label) == ("x", "")
    assert found.accuracy >= 0.99


@pytest.mark.parametrize("name", HARMLESS)
def test_a_column_that_does_not_is_not(name: str) -> None:
    assert leaks({"x": HARMLESS[name]}, ONE) == []


def test_chance_does_not_accuse() -> None:
    """A thousand columns of noise beside labels with ten positives."""
    few = np.zeros(N, dtype=np.int64)
    few[::300] = 1
    labels = Labels.from_array(few, kind="multilabel")
    columns = {f"x{i}": RNG.normal(size=N) for i in range(1000)}
    assert leaks(columns, labels) == []


def test_of_several_labels_it_is_said_which_and_unknown_rows_do_not_count() -> None:
    other = (RNG.random(N) < 0.3).astype(np.int64)
    values = np.stack([Y, other], 1)
    values[:100, 0] = -1
    labels = Labels.from_array(values, kind="multilabel", names=["A", "B"])
    column = np.where(np.arange(N) < 100, NOISE, Y)
    (found,) = diagnose(more=Material(labels=labels, columns={"late": column}), ignore=["EQ103"])[
        :1
    ]
    assert found.code == "EQ117"
    assert "'late' (A) tells the label by itself" in found.message


def test_codes_of_classes_tell_all_of_them() -> None:
    classes = RNG.integers(0, 5, N)
    labels = Labels.from_array(classes, kind="multiclass")
    assert [f.column for f in leaks({"code": (classes * 3 % 5).astype(float)}, labels)] == ["code"]
    assert leaks({"half": (classes > 2).astype(float)}, labels) == []


def test_ids_that_sort_by_class_are_named_though_no_model_sees_them() -> None:
    order = np.argsort(np.argsort(-Y, kind="stable")).astype(float)
    ids = {"shuffled": RNG.permutation(N).astype(float), "customer": order}
    found = [
        f for f in diagnose(more=Material(labels=ONE, columns={"x": NOISE}, ids=ids))
        if f.code == "EQ117"
    ]  # fmt: skip
    (tip,) = found
    assert tip.severity == "tip"
    assert tip.evidence["columns"] == ["customer"]
    assert "'customer' sorts the rows by class: in its order it changes 1 time," in tip.message
    assert tip.evidence["expected"] == pytest.approx(2 * Y.sum() * (1 - Y).sum() / N)
    late = Material(labels=ONE, columns={"late": 7.0 - Y}, ids=ids)
    both = [f.severity for f in diagnose(more=late) if f.code == "EQ117"]
    assert sorted(both) == ["tip", "warning"]
    shuffled = Material(labels=ONE, ids={"shuffled": ids["shuffled"]})
    assert not [f for f in diagnose(more=shuffled) if f.code == "EQ117"]


def test_blocks_of_a_class_are_seen_in_the_order_of_ids_and_chance_is_not() -> None:
    y = np.zeros(4000, dtype=np.int64)
    y[:300] = y[2000:2300] = 1
    labels = Labels.from_array(y, kind="multilabel")
    (found,) = orders({"batch": np.arange(4000.0)}, labels)
    assert (found.column, found.changes) == ("batch", 3)
    few = Labels.from_array((np.arange(40) < 9).astype(int), kind="multilabel")
    assert orders({"id": np.arange(40.0)}, few) == []  # nine rows are nobody's evidence
    rng = np.random.default_rng(1)
    rare = Labels.from_array((np.arange(200) < 10).astype(int), kind="multilabel")
    assert orders({f"i{k}": rng.permutation(np.arange(200.0)) for k in range(500)}, rare) == []
    third = np.where(np.arange(4000) % 3 == 0, np.arange(4000.0), np.nan)
    assert [o.changes for o in orders({"gaps": third}, labels)] == [3]
