"""Ids, groups, classes and carried columns are text as written, in every reader of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from equipoise import Labels, read_labels
from equipoise._core.identity import as_text, loose_key, loose_match, text_codes
from equipoise.errors import DataError, DataWarning
from equipoise.io import as_numbers, read_table, scan_table
from equipoise.studies.load import read_coded
from equipoise.studies.schema import TableData

LONG = "12345678901234567890123"
IDS = ["0000300", "1.50", "1e5", LONG, "300", "1.5"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "t.csv"
    rows = [f"{i},{i},{y},0.{n}" for n, (i, y) in enumerate(zip(IDS, "aabbab", strict=True))]
    file.write_text("id,patient,y,x\n" + "\n".join(rows) + "\n")
    return file


def test_ids_and_groups_of_a_csv_are_as_written(table: Path) -> None:
    made = read_labels(table, label="y", id_column="id", group_column="patient")
    assert made.ids.tolist() == made.groups.tolist() == IDS
    spec = TableData(path=str(table), label="y", id="id", group="patient")
    coded, labels = read_coded(spec)
    assert labels.ids.tolist() == IDS
    assert coded.names == ("x",)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_every_column_of_a_csv_is_text(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "t.csv"
    lines = [["id", "price"], ["0000300", "1.50"], [LONG, ""], ["1e5", " 7"]]
    file.write_bytes("\ufeff".encode() + "\n".join(mark.join(r) for r in lines).encode())
    frame = read_table(file)
    assert frame.columns == ["id", "price"]
    assert frame.rows() == [("0000300", "1.50"), (LONG, None), ("1e5", " 7")]
    assert scan_table(file).collect().equals(frame)


def test_numbers_are_made_where_they_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b,c,d\n1.50,x,true,\n2,1,false,\n")
    made = as_numbers(read_table(file), ["c", "a", "b", "d"])
    assert made.schema == {"c": pl.Boolean, "a": pl.Float64, "b": pl.String, "d": pl.String}
    assert made["a"].to_list() == [1.5, 2.0]


def test_classes_of_a_csv_are_distinct_where_their_texts_are(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("y\n01\n1\n1.0\n1e0\n1\n")
    with pytest.warns(DataWarning, match="'01' and '1'"):
        made = read_labels(file, label="y")
    assert made.names == ("01", "1", "1.0", "1e0")
    assert made.values.tolist() == [0, 1, 2, 3, 1]


def test_whole_number_classes_stand_in_numeric_order_wherever_they_come_from(
    tmp_path: Path,
) -> None:
    numbers = [10, 9, 100, 9]
    file = tmp_path / "t.csv"
    file.write_text("y\n" + "\n".join(map(str, numbers)) + "\n")
    pl.DataFrame({"y": numbers}).write_parquet(tmp_path / "t.parquet")
    sources = [
        file,
        tmp_path / "t.parquet",
        pl.DataFrame({"y": [str(n) for n in numbers]}),
        pd.DataFrame({"y": [float(n) for n in numbers]}),
    ]
    for source in sources:
        made = read_labels(source, label="y")
        assert made.names == ("9", "10", "100")
        assert made.values.tolist() == [1, 0, 2, 0]


def test_zero_and_one_of_a_csv_are_one_label_and_two_spellings_are_classes(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("y\n0\n1\n1\n")
    made = read_labels(file, label="y")
    assert (made.kind, made.names, made.values[:, 0].tolist()) == ("multilabel", ("y",), [0, 1, 1])
    file.write_text("y\n0\n1\n1.0\n")
    with pytest.warns(DataWarning, match="'1' and '1.0'"):
        assert read_labels(file, label="y").names == ("0", "1", "1.0")


def test_integer_columns_become_their_text_and_a_data_frame_matches_a_csv(table: Path) -> None:
    frame = pl.DataFrame({"id": [300, 5], "y": ["a", "b"]})
    assert read_labels(frame, label="y", id_column="id").ids.tolist() == ["300", "5"]
    floats = pd.DataFrame({"id": [300.0, 5.0], "y": ["a", "b"]})
    assert read_labels(floats, label="y", id_column="id").ids.tolist() == ["300", "5"]
    with pytest.raises(DataError, match=r"must be filled in every row, got 1 empty entries"):
        read_labels(pl.DataFrame({"id": ["a", " "], "y": ["a", "b"]}), label="y", id_column="id")


def test_an_unknown_class_that_is_known_but_for_its_writing_is_told() -> None:
    frame = pl.DataFrame({"y": ["1", "02"]})
    with pytest.raises(DataError, match="differs from '2' only by spaces or as a number"):
        read_labels(frame, label="y", names=["1", "2"])
    with pytest.raises(DataError, match="differs from 'p5' only by spaces"):
        read_labels(pl.DataFrame({"y": ["p5 ", "p5"]}), label="y", names=["p5", "q"])


def test_group_codes_follow_the_value_of_numbers() -> None:
    assert text_codes([10, 9, 10]).tolist() == text_codes(["10", "9", "10"]).tolist() == [1, 0, 1]
    assert text_codes(["b", "10", "9"]).tolist() == [2, 0, 1]


def test_text_of_arrays() -> None:
    assert as_text(np.array([2**64 - 1, 7], dtype=np.uint64)).tolist() == [str(2**64 - 1), "7"]
    assert as_text(np.array([], dtype=np.int64)).tolist() == []
    assert as_text([-5, 10]).tolist() == ["-5", "10"]


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        (["0005", "x"], ["5.0"], (1, ("0005", "5.0"))),
        (["p5 "], ["p5"], (1, ("p5 ", "p5"))),
        ([LONG], [LONG[:-1] + "4"], None),
        (["5", "0006"], ["5", "6"], None),
        (["a"], ["b"], None),
    ],
)
def test_what_two_sides_would_share_in_other_spelling(
    left: list[str], right: list[str], found: object
) -> None:
    assert loose_match(left, right) == found
    assert loose_key(LONG) == LONG


def test_labels_save_and_load_text(tmp_path: Path, table: Path) -> None:
    made = read_labels(table, label="y", id_column="id", group_column="patient")
    loaded = Labels.load(made.save(tmp_path / "l.parquet"))
    assert loaded.ids.tolist() == IDS
    assert loaded.fingerprint == made.fingerprint


def test_a_number_among_named_classes_is_never_a_place() -> None:
    """One mistyped 0 beside the classes 1, 2, 3 must not shift them all by one."""
    for values in (["0", "1", "2", "2", "1"], ["0", "1"], ["4", "1"], ["0", "0"]):
        with pytest.raises(DataError, match="must hold only names"):
            read_labels(pl.DataFrame({"y": values}), label="y", names=["1", "2", "3"])
    places = read_labels(pl.DataFrame({"y": ["0", "2", "1"]}), label="y", names=["a", "b", "c"])
    assert places.values.tolist() == [0, 2, 1]
    with pytest.raises(DataError, match="must hold only names"):
        read_labels(pl.DataFrame({"y": ["0", "a", "1"]}), label="y", names=["a", "b", "c"])


def test_the_class_that_is_wrong_is_the_one_that_is_named() -> None:
    with pytest.raises(DataError, match="got '1'\\. It differs from '01' only by spaces"):
        read_labels(pl.DataFrame({"y": ["1", "01"]}), label="y", names=["01", "1.0"])
