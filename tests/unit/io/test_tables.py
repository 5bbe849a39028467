"""Tables as programs write them: separators, decimal commas, marks, line ends, workbooks."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from openpyxl import Workbook

from equipoise import read_labels
from equipoise.errors import DataError, DataWarning, MissingExtraError
from equipoise.io import as_numbers, read_table, scan_table
from equipoise.io.counts import read_counts
from equipoise.io.scores import counts_from_text

ROWS = [("0001", "1.5", "a"), ("0002", "2.25", "b, c"), ("0003", "", "d|e;f")]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_any_separator_line_end_and_mark(tmp_path: Path, mark: str, end: str, bom: bytes) -> None:
    lines = [mark.join(f'"{v}"' if v else "" for v in row) for row in [("id", "x", "y"), *ROWS]]
    (tmp_path / "t.csv").write_bytes(bom + (end.join(lines) + end).encode())
    for frame in (read_table(tmp_path / "t.csv"), scan_table(tmp_path / "t.csv").collect()):
        assert frame.columns == ["id", "x", "y"]
        assert frame["id"].to_list() == ["0001", "0002", "0003"]
        assert as_numbers(frame, ["x"])["x"].to_list() == [1.5, 2.25, None]
        assert frame["y"].to_list() == ["a", "b, c", "d|e;f"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a\tb, c\n1\t2\n", ["a", "b, c"]),  # a comma in a name
        ("a;amount, EUR;y\n1;2,5;x\n", ["a", "amount, EUR", "y"]),
        ("a,text\n1,x;y;z\n", ["a", "text"]),  # other marks in a row
        ("a,b;c;d\n1,2\n", ["a", "b;c;d"]),
        ("only\n1,5\n", ["only"]),
        ("only\nx\n", ["only"]),
    ],
)
def test_the_separator_is_what_parts_header_and_row_alike(
    tmp_path: Path, text: str, columns: list[str]
) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert read_table(tmp_path / "t.csv").columns == columns


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["1,5", "2", None, "-0,25"], [1.5, 2.0, None, -0.25]),
        (["1,5e-3", "3e2"], [0.0015, 300.0]),
        (["0,125", "1,250"], [0.125, 1.25]),  # the first can be no thousand
        (["1,250", "12,000", "7"], None),  # these can
        (["1,2,3", "1"], None),
        (["1.234,5", "1,5"], None),
        (["1.5", "2,5"], None),
        (["a,b", "c"], None),
    ],
)
def test_decimal_commas_where_they_can_be_nothing_else(
    values: list[str | None], want: list[float | None] | None
) -> None:
    found = as_numbers(pl.DataFrame({"x": values}))["x"]
    assert found.to_list() == (values if want is None else want)


def test_lines_that_end_in_carriage_returns_are_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"id,x\r1,2\r3,4\r")
    with pytest.raises(DataError, match=r"must end its lines with a line feed, got carriage"):
        read_table(tmp_path / "t.csv")


def workbook(path: Path, rows: list[list[Any]], *, more: bool = False) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    if more:
        book.create_sheet("notes").append(["x"])
    book.save(path)
    return path


def test_a_workbook_is_read_as_its_csv_would_be(tmp_path: Path) -> None:
    rows = [["id", "x", "seen", "y"], ["0001", 1.5, date(2024, 5, 1), True],
            [None, None, None, None], ["0002", 300, None, False]]  # fmt: skip
    file = workbook(tmp_path / "t.xlsx", rows)
    frame = read_table(file)
    assert frame.rows() == [
        ("0001", "1.5", "2024-05-01", "true"), ("0002", "300", None, "false"),
    ]  # fmt: skip
    assert scan_table(file).collect().equals(frame)
    assert as_numbers(frame, ["x", "y"]).rows() == [(1.5, True), (300.0, False)]
    with pytest.warns(DataWarning, match="'true' as present"):
        labels = read_labels(file, labels=["y"], id_column="id")
    assert labels.values[:, 0].tolist() == [1, 0]
    assert labels.ids.tolist() == ["0001", "0002"]


def test_what_is_wrong_with_a_workbook_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(DataWarning, match=r"'Sheet' is read, and 'notes' not"):
        read_table(workbook(tmp_path / "two.xlsx", [["a"], [1]], more=True))
    for rows, message in (
        ([["a", None, "b"], [1, 2, 3]], "name every column, got none for column 2"),
        ([["a", "a"], [1, 2]], "have distinct column names"),
        ([["a"]], "have at least one row"),
        ([], "an empty sheet"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(workbook(tmp_path / "bad.xlsx", rows))
    (tmp_path / "no.xlsx").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="be an Excel workbook"):
        read_table(tmp_path / "no.xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r'pip install "equipoise\[excel\]"'):
        read_table(tmp_path / "no.xlsx")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_counts_have_any_separator(tmp_path: Path, mark: str, header: bool) -> None:
    rows = [("name", "count")] * header + [("b, c", "3"), ("a", "12")]
    lines = [mark.join(f'"{v}"' for v in row) for row in rows]
    (tmp_path / "counts.csv").write_text("\r\n".join(lines))
    assert read_counts(tmp_path / "counts.csv", ["a", "b, c"]) == [12, 3]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("A=19000,B=65000", {"A": 19000, "B": 65000}),
        ("A=19,000,B=1,065,000, C=5", {"A": 19000, "B": 1065000, "C": 5}),
        ("A=190,B=650", {"A": 190, "B": 650}),
    ],
)
def test_counts_may_part_thousands(text: str, counts: dict[str, int]) -> None:
    assert counts_from_text(text) == counts
