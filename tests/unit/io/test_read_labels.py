"""Labels read from tables, folders and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import DataError, UsageError
from equipoise.io import read_labels, read_table


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def multi(tmp_path: Path) -> Path:
    return write(tmp_path / "m.csv", "id,A,B,who\nr1,1,0,p\nr2,0,,p\nr3,1,-1,q\n")


def test_one_column_per_label_with_ids_groups_and_unknown(multi: Path) -> None:
    labels = read_labels(multi, labels=["A", "B"], id_column="id", group_column="who")
    assert labels.values.tolist() == [[1, 0], [0, -1], [1, -1]]
    assert labels.names == ("A", "B")
    assert labels.ids is not None
    assert labels.ids.tolist() == ["r1", "r2", "r3"]
    assert labels.groups is not None
    assert labels.groups.tolist() == ["p", "p", "q"]


def test_delimited_column_reads_empty_as_no_label(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "x,y\n1,A|D\n2,\n3,D\n")
    labels = read_labels(path, label="y")
    assert labels.kind == "multilabel"
    assert labels.names == ("A", "D")
    assert labels.values.tolist() == [[1, 1], [0, 0], [0, 1]]


def test_other_delimiter_and_given_names(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "x,y\n1,A;D\n2,D\n")
    labels = read_labels(path, label="y", delimiter=";", names=["D", "A", "Z"])
    assert labels.values.tolist() == [[1, 1, 0], [1, 0, 0]]


def test_class_names_become_sorted_classes(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path / "c.csv", "y\ndog\ncat\ndog\n"), label="y")
    assert (labels.kind, labels.names) == ("multiclass", ("cat", "dog"))
    assert labels.values.tolist() == [1, 0, 1]


def test_whole_numbers_are_classes_in_numeric_order(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path / "c.csv", "y\n10\n9\n2\n"), label="y")
    assert labels.names == ("2", "9", "10")
    named = read_labels(pl.DataFrame({"y": [0, 2]}), label="y", names=["a", "b", "c"])
    assert named.values.tolist() == [0, 2]


def test_zero_and_one_is_one_binary_label_unless_told_otherwise() -> None:
    table = pl.DataFrame({"y": [0, 1, None, 1]})
    assert read_labels(table, label="y").values.tolist() == [[0], [1], [-1], [1]]
    two = read_labels(table.drop_nulls(), label="y", kind="multiclass")
    assert two.names == ("0", "1")


@pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
def test_any_data_frame_reads_the_same(frame: type) -> None:
    table = frame({"A": [1.0, float("nan")], "B": [0, 1], "k": ["u", None]})
    assert read_labels(table, labels=["A", "B"]).values.tolist() == [[1, 0], [-1, 1]]
    with pytest.raises(DataError, match=r"`column k` must have one class in each row, got 1 empty"):
        read_labels(table, label="k")


def test_lazy_frames_and_categories() -> None:
    table = pl.DataFrame({"y": pl.Series(["b", "a"], dtype=pl.Categorical)}).lazy()
    assert read_labels(table, label="y").values.tolist() == [1, 0]
    assert read_labels(pd.DataFrame({"y": pd.Categorical(["b", "a"])}), label="y").names == (
        "a",
        "b",
    )


def test_folder_of_class_folders(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png", "dog/deep/3.png", "dog/.hidden", "README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    labels = read_labels(tmp_path)
    assert labels.names == ("cat", "dog")
    assert labels.ids is not None
    assert labels.ids.tolist() == ["cat/1.png", "dog/2.png", "dog/deep/3.png"]
    assert labels.values.tolist() == [0, 1, 1]


def test_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="one folder per class, at least two, got only"):
        read_labels(tmp_path)


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", [0, 1, 1])
    assert read_labels(tmp_path / "y.npy").counts.tolist() == [1, 2]
    np.savez(tmp_path / "y.npz", y=[[0, 1], [1, 1]], ids=["a", "b"])
    labels = read_labels(tmp_path / "y.npz")
    assert labels.kind == "multilabel"
    assert labels.ids is not None
    assert labels.ids.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="named by label="):
        read_labels(tmp_path / "y.npz", label="z")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="without pickles"):
        read_labels(tmp_path / "y.npy")
    (tmp_path / "text.npz").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="got another kind of file"):
        read_labels(tmp_path / "text.npz", label="y")


def test_arrays_and_saved_labels(tmp_path: Path) -> None:
    assert read_labels(np.array(["u", "v"])).names == ("u", "v")
    assert read_labels([[1, 0], [0, 1]]).kind == "multilabel"
    labels = Labels.from_array([[1, 0]], kind="multilabel", names=["A", "B"])
    assert read_labels(labels.save(tmp_path / "l.parquet")).fingerprint == labels.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a header and rows, got an empty file"),
        ("a,b\n", "must have at least one row, got only a header"),
        ("a,b\n1,2\n3\n", "got 1 fields in line 3, 2 in the header"),
        ("a,b\n1,2\n3,4,5\n", "got 3 fields in line 3, 2 in the header"),
        ("a,a\n1,2\n", "distinct column names"),
    ],
)
def test_broken_tables_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_table(write(tmp_path / "t.csv", text))
    assert "\n" not in str(caught.value)


def test_missing_files_folders_encodings_and_types(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a file, got nothing there"):
        read_labels(tmp_path / "no.csv", label="y")
    (tmp_path / "latin.csv").write_bytes("a,b\nä,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read_table(tmp_path / "latin.csv")
    with pytest.raises(DataError, match="must be a table"):
        read_labels(write(tmp_path / "x.docx", "x"), label="y")
    with pytest.raises(DataError, match="must be a Parquet file"):
        read_table(write(tmp_path / "x.parquet", "x"))
    with pytest.raises(DataError, match="must be a path, an array or a data frame, got int"):
        read_labels(3, label="y")


def test_semicolons_and_tabs_are_found(tmp_path: Path) -> None:
    assert read_table(write(tmp_path / "a.csv", "a;b\n1;2\n")).columns == ["a", "b"]
    assert read_table(write(tmp_path / "a.tsv", "a\tb\n1\t2\n")).columns == ["a", "b"]


def test_label_errors_name_the_column_and_the_row(multi: Path) -> None:
    with pytest.raises(DataError, match="Did you mean `who`"):
        read_labels(multi, labels=["A"], group_column="whom")
    with pytest.raises(UsageError, match=r"exactly one of the two, got neither.*Columns: id, A"):
        read_labels(multi)
    with pytest.raises(DataError, match=r"`column who` must hold 0, 1, -1 or empty.*'p' in row 0"):
        read_labels(multi, labels=["who"])
    with pytest.raises(DataError, match=r"0, 1, -1 or empty \(unknown\), got 2 in row 1"):
        read_labels(pl.DataFrame({"A": [0, 2]}), labels=["A"])
    with pytest.raises(DataError, match=r"`ids` must be unique, got 1 duplicates"):
        read_labels(multi, labels=["A"], id_column="who")
    with pytest.raises(DataError, match="at least two classes, got only '7'"):
        read_labels(pl.DataFrame({"y": [7, 7]}), label="y")
    with pytest.raises(DataError, match="Did you mean `cat`"):
        read_labels(pl.DataFrame({"y": ["cart", "dog"]}), label="y", names=["cat", "dog"])
    with pytest.raises(DataError, match="filled in every row, got 1 empty"):
        read_labels(pl.DataFrame({"y": [0, 1], "g": ["a", None]}), label="y", group_column="g")


def test_a_misspelt_keyword_is_named() -> None:
    with pytest.raises(TypeError, match=r"argument `lable`\. Did you mean `label`"):
        read_labels([[1, 0]], lable="y")  # type: ignore[call-arg]


def test_a_column_with_another_value_in_most_rows_is_no_label() -> None:
    """Ids and measured numbers are not classes; few rows, or what was declared, may be."""
    frame = pl.DataFrame({"pay": [f"{i * 7 % 97}" for i in range(120)]})
    with pytest.raises(DataError, match="classes that come again, got 97 different values in 120"):
        read_labels(frame, label="pay")
    assert read_labels(frame, label="pay", kind="multiclass").num_classes == 97
    assert read_labels(frame[:40], label="pay").num_classes == 40
