"""Training and test rows in two tables: columns, labels and classes are matched by name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import Labels
from equipoise.boosting import Coded, Column, encode
from equipoise.errors import DataError
from equipoise.studies.rows import join_tables

X = np.arange(12, dtype=np.float32).reshape(4, 3)
HOT = np.array([[1, 0], [0, 1], [0, 0], [1, 1]])


def labels(names: tuple[str, ...], order: list[int]) -> Labels:
    return Labels.from_array(HOT[:, order], kind="multilabel", names=names)


def coded(values: np.ndarray, names: str) -> Coded:
    return Coded(values, tuple(Column(name, "number") for name in names))


def test_a_test_table_may_hold_its_columns_in_another_order() -> None:
    frame = pl.DataFrame(X[:, [2, 0, 1]], schema=["w", "u", "v"])
    train = coded(X, "uvw")
    test = encode(frame, train.columns), labels(("B", "A"), [1, 0])
    joined = join_tables("t", (train, labels(("A", "B"), [0, 1])), test)
    np.testing.assert_array_equal(joined.features, np.concatenate([X, X]))
    np.testing.assert_array_equal(joined.labels.values, np.concatenate([HOT, HOT]))
    assert joined.labels.names == ("A", "B")
    assert joined.coded is None  # numbers alone: every model takes them as they are


def test_classes_of_a_test_table_are_matched_by_name() -> None:
    x = coded(X[:, :1], "a")
    train = Labels.from_array([0, 1, 1, 0], kind="multiclass", names=["cat", "dog"])
    test = Labels.from_array([0, 1, 1, 0], kind="multiclass", names=["dog", "cat"])
    joined = join_tables("t", (x, train), (x, test))
    assert joined.labels.values.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]


def test_other_columns_and_other_labels_are_refused() -> None:
    train = coded(X, "uvw"), labels(("A", "B"), [0, 1])
    with pytest.raises(DataError, match="none called 'w'"):
        encode(pl.DataFrame(X, schema=["u", "v", "x"]), train[0].columns)
    with pytest.raises(DataError, match="have the labels"):
        join_tables("t", train, (train[0], labels(("A", "C"), [0, 1])))


def test_texts_of_both_tables_stand_side_by_side() -> None:
    train = Coded(np.array([[0], [1]], np.float32), (Column("t", "text"),), {0: ("a b", "c d")})
    test = encode(pl.DataFrame({"t": ["c d", "e f"]}), train.columns)
    some = Labels.from_array([0, 1], kind="multilabel")
    joined = join_tables("t", (train, some), (test, some)).table
    words = [joined.words[0][int(code)] for code in joined.values[:, 0]]
    assert words == ["a b", "c d", "c d", "e f"]
