"""Training and test rows in two tables: columns, labels and classes are matched by name."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import DataError
from equipoise.studies.rows import join_tables

X = np.arange(12, dtype=np.float32).reshape(4, 3)
HOT = np.array([[1, 0], [0, 1], [0, 0], [1, 1]])


def labels(names: tuple[str, ...], order: list[int]) -> Labels:
    return Labels.from_array(HOT[:, order], kind="multilabel", names=names)


def test_a_test_table_may_hold_its_columns_in_another_order() -> None:
    train = (X, labels(("A", "B"), [0, 1]), ("u", "v", "w"))
    test = (X[:, [2, 0, 1]], labels(("B", "A"), [1, 0]), ("w", "u", "v"))
    joined = join_tables("t", train, test)
    np.testing.assert_array_equal(joined.features, np.concatenate([X, X]))
    np.testing.assert_array_equal(joined.labels.values, np.concatenate([HOT, HOT]))
    assert joined.labels.names == ("A", "B")


def test_classes_of_a_test_table_are_matched_by_name() -> None:
    train = (X, Labels.from_array([0, 1, 1, 0], kind="multiclass", names=["cat", "dog"]), ("a",))
    test = (X, Labels.from_array([0, 1, 1, 0], kind="multiclass", names=["dog", "cat"]), ("a",))
    joined = join_tables("t", (X[:, :1], *train[1:]), (X[:, :1], *test[1:]))
    assert joined.labels.values.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]


def test_other_columns_and_other_labels_are_refused() -> None:
    train = (X, labels(("A", "B"), [0, 1]), ("u", "v", "w"))
    with pytest.raises(DataError, match="same feature columns"):
        join_tables("t", train, (X, train[1], ("u", "v", "x")))
    with pytest.raises(DataError, match="have the labels"):
        join_tables("t", train, (X, labels(("A", "C"), [0, 1]), train[2]))
