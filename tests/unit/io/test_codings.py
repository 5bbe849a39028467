"""How label entries are coded: declared, recognised and said, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise import Labels, read_labels
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.io import LabelCoding

VOC = {"A": [1, 1, -1, -1, -1, -1, -1, -1, -1, 0]}


def read(columns: dict[str, list[Any]], **more: Any) -> Any:
    return read_labels(pl.DataFrame(columns), labels=list(columns), **more)


def test_a_coding_of_present_absent_and_difficult_is_read_as_declared() -> None:
    made = read(VOC, negative=-1, unknown=0)
    assert made.values[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, -1]
    assert made.prevalence.round(3).tolist() == [0.222]
    assert read(VOC).prevalence.round(3).tolist() == [0.667]


@pytest.mark.parametrize("values", [[1, -1, -1], ["1", "-1", ""], [1.0, -1.0, None]])
def test_plus_and_minus_one_alone_are_refused_until_declared(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r'got 1 and -1 alone .*negative="-1" if absent'):
        read({"A": values})
    assert read({"A": values}, negative="-1").counts.tolist() == [1]
    assert read({"A": values}, negative="-1").values[1, 0] == 0
    assert read({"A": values}, unknown="-1").values[:2, 0].tolist() == [1, -1]


def test_plus_and_minus_one_in_arrays_and_files_are_refused_too(tmp_path: Path) -> None:
    hot = np.array([[1, -1], [-1, 1]])
    np.save(tmp_path / "y.npy", hot)
    np.savez(tmp_path / "y.npz", labels=hot)
    for source in (hot, hot.tolist(), tmp_path / "y.npy", tmp_path / "y.npz"):
        with pytest.raises(DataError, match="1 and -1 alone"):
            read_labels(source)
        assert read_labels(source, negative=-1).values.tolist() == [[1, 0], [0, 1]]


def test_a_zero_anywhere_in_the_table_says_what_minus_one_is() -> None:
    made = read({"A": [1, -1, 1], "B": [0, 1, -1]})
    assert made.values.tolist() == [[1, 0], [-1, 1], [1, -1]]


def test_masks_are_refused_until_declared() -> None:
    with pytest.raises(DataError, match='mask is read with positive="255" and negative="0"'):
        read({"A": [0, 255, 255]})
    made = read({"A": [0, 255, None]}, positive=255, negative=0)
    assert made.values[:, 0].tolist() == [0, 1, -1]
    with pytest.raises(DataError, match=r"hold the declared entries, got 1 in row 1"):
        read({"A": [255, 1]}, positive=255, negative=0)


@pytest.mark.parametrize(
    ("yes", "no"),
    [("Yes", "no"), ("TRUE", "false"), ("Y", "N"), ("t", "f"), ("present", "Absent")],
)
def test_words_of_one_pair_are_recognised_and_said(yes: str, no: str) -> None:
    with pytest.warns(DataWarning, match=f"'{yes}' as present and '{no}' as absent"):
        made = read({"A": [yes, no, "", f" {yes} "]})
    assert made.values[:, 0].tolist() == [1, 0, -1, 1]
    declared = read({"A": [yes, no]}, positive=yes, negative=no)
    assert declared.values[:, 0].tolist() == [1, 0]


def test_a_column_may_be_called_anything() -> None:
    for name in ("entry", "rows", "count", "entries"):
        assert read({name: [1, 0, None]}).values[:, 0].tolist() == [1, 0, -1]


def test_words_of_two_pairs_are_no_coding() -> None:
    with pytest.raises(DataError, match="words of one pair"):
        read({"A": ["T", "N"]})


def test_a_declared_side_is_what_it_says_and_nothing_else() -> None:
    with pytest.raises(DataError, match="got 'yes' in row 1"):
        read({"A": ["ja", "yes"]}, positive="ja", negative="nein")
    made = read({"A": ["ja", "nein", "?", ""]}, positive="ja", negative=["nein", ""], unknown="?")
    assert made.values[:, 0].tolist() == [1, 0, -1, 0]
    with pytest.raises(UsageError, match="`positive and negative` must be different entries"):
        LabelCoding.of(positive=1, negative="1.0")


def test_a_word_for_no_label_is_found_and_declared() -> None:
    frame = pl.DataFrame({"y": ["No Finding", "A|B", "A", "No Finding", "B"]})
    with pytest.warns(DataWarning, match='empty_token="No Finding"'):
        made = read_labels(frame, label="y")
    assert made.names == ("A", "B", "No Finding")
    told = read_labels(frame, label="y", empty_token=["No Finding"])
    assert told.names == ("A", "B")
    assert told.values.tolist() == [[0, 0], [1, 1], [1, 0], [0, 0], [0, 1]]


def test_a_label_like_none_that_stands_beside_others_is_a_label() -> None:
    frame = pl.DataFrame({"y": ["normal|A", "B", "A"]})
    assert read_labels(frame, label="y").names == ("A", "B", "normal")


def test_unknown_entries_of_several_labels() -> None:
    frame = pl.DataFrame({"y": ["A|B", "", "A"]})
    assert read_labels(frame, label="y").values.tolist() == [[1, 1], [0, 0], [1, 0]]
    made = read_labels(frame, label="y", unknown="")
    assert made.values.tolist() == [[1, 1], [-1, -1], [1, 0]]


def test_another_mark_between_labels_is_refused() -> None:
    frame = pl.DataFrame({"y": ["A, B", "A", "B", "C"]})
    with pytest.raises(DataError, match=r"got 'A, B'. Say delimiter=\",\" if these are several"):
        read_labels(frame, label="y")
    assert read_labels(frame, label="y", delimiter=",").names == ("A", "B", "C")
    assert "A, B" in read_labels(frame, label="y", kind="multiclass").names
    names = pl.DataFrame({"y": ["Smith, J.", "Miller, K.", "Smith, J."]})
    assert read_labels(names, label="y").names == ("Miller, K.", "Smith, J.")


def test_codings_that_do_not_go_with_a_column_are_refused() -> None:
    classes, several = pl.DataFrame({"y": ["a", "b"]}), pl.DataFrame({"y": ["a|b", "b"]})
    for frame, more in (
        (several, {"positive": "a"}),
        (classes, {"unknown": "a"}),
        (classes, {"kind": "multiclass", "negative": "a"}),
    ):
        with pytest.raises(UsageError, match="must go with"):
            read_labels(frame, label="y", **more)
    with pytest.raises(UsageError, match="`empty_token` must go with label="):
        read({"A": [0, 1]}, empty_token=["none"])


def test_one_column_of_a_declared_coding_is_one_label() -> None:
    made = read_labels(pl.DataFrame({"y": ["M", "B", "M"]}), label="y", positive="M", negative="B")
    assert (made.kind, made.names, made.values[:, 0].tolist()) == ("multilabel", ("y",), [1, 0, 1])
    plain = read_labels(pl.DataFrame({"y": ["no", "yes"]}), label="y")
    assert (plain.kind, plain.names) == ("multiclass", ("no", "yes"))


def test_the_nan_of_a_column_of_numbers_is_an_empty_entry() -> None:
    table = pl.DataFrame({"y": ["0.0", "1.0", "nan", "0.0", "NaN"]})
    with pytest.warns(DataWarning, match="'nan' among numbers|'NaN' among numbers"):
        found = read_labels(table, label="y")
    assert (found.kind, found.values.ravel().tolist()) == ("multilabel", [0, 1, -1, 0, -1])


@pytest.mark.parametrize("word", ["NA", "n/a", "?", "unknown", "None"])
def test_a_class_that_nobody_knows_is_said(word: str) -> None:
    table = pl.DataFrame({"y": ["cat", "dog", word, "cat"]})
    with pytest.warns(DataWarning, match="in 1 of 4 rows, which is read as a class of its own"):
        assert len(read_labels(table, label="y").names) == 3


@pytest.mark.parametrize(
    "entries",
    [["A", "A, B", "No Finding"], ["['A', 'B']", "['B']", "[]"], ["A, B", "B, C", "C, D"]],
)
def test_entries_that_look_like_several_labels_are_said(entries: list[str]) -> None:
    with pytest.warns(DataWarning, match="look like several labels"):
        read_labels(pl.DataFrame({"y": entries}), label="y")


def test_an_array_of_plus_and_minus_one_alone_is_said() -> None:
    values = [[1], [-1]] * 6
    with pytest.warns(DataWarning, match="hold 1 and -1 and no 0"):
        Labels.from_array(values, kind="multilabel")


def test_missing_entries_of_pandas_are_missing() -> None:
    import pandas as pd

    table = pd.DataFrame({"y": pd.array([1, 0, None, 1], dtype="Int64")})
    assert read_labels(table, label="y").values.ravel().tolist() == [1, 0, -1, 1]
