"""Cells that a spreadsheet would run are quoted, and come back as they were."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, strategies as st

from equipoise._core.cells import (
    csv_text,
    plain_cell,
    plain_frame,
    plain_names,
    safe_cell,
    safe_frame,
)
from equipoise.artifacts import Trial
from equipoise.io import read_labels, read_table, scan_table
from equipoise.io.counts import read_counts

RUN = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "-yt_id",
    "\uff1d1",
    "=cmd|' /C calc'!A0",
)
KEPT = ("-5", "+5", "-1,5", "1.5e-3", "-50%", "a=b", "'tis", "", "cat", "日本")
texts = st.text(alphabet=st.sampled_from("=+-@'\t\r\n 15a,.\"|\uff1d"), max_size=8)


@pytest.mark.parametrize("text", RUN)
def test_what_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", KEPT)
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert safe_cell(text) == text


@given(texts)
def test_cells_come_back(text: str) -> None:
    written = safe_cell(text)
    assert plain_cell(written) == text
    assert safe_cell(plain_cell(text)) == text or plain_cell(text) == text


@given(st.lists(texts, min_size=1, max_size=9))
def test_tables_say_the_same_as_cells(values: list[str]) -> None:
    frame = pl.DataFrame({"a": values, "n": range(len(values))})
    safe, changed = safe_frame(frame)
    assert safe["a"].to_list() == [safe_cell(v) for v in values]
    assert changed == sum(safe_cell(v) != v for v in values)
    assert plain_frame(safe).equals(frame)


def test_names_of_columns_are_cells_too() -> None:
    frame = pl.DataFrame({"=id": ["a"], "b": ["c"]})
    safe, _ = safe_frame(frame)
    assert safe.columns == ["'=id", "b"]
    assert plain_frame(safe).columns == frame.columns
    assert plain_names(["'=id", "=id"]) == {}


def test_tables_of_a_csv_are_read_as_they_were(tmp_path: Path) -> None:
    frame = pl.DataFrame({"=id": [*RUN, *KEPT[:5]], "y": ["x", "z"] * 7})
    safe, _ = safe_frame(frame)
    safe.write_csv(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").equals(frame)
    assert read_table(tmp_path / "t.csv", as_written=True).equals(safe)
    assert scan_table(tmp_path / "t.csv").collect_schema().names() == ["=id", "y"]
    found = read_labels(tmp_path / "t.csv", label="y", id_column="=id")
    assert found.ids is not None
    assert found.ids.tolist() == frame["=id"].to_list()


def test_texts_of_one_table_are_written_once(tmp_path: Path) -> None:
    rows = [[name, count] for name, count in zip(RUN, range(9), strict=True)]
    text = csv_text(["name", "count"], rows)
    assert next(csv.reader(io.StringIO(text.split("\n", 1)[1])))[0].startswith("'")
    (tmp_path / "c.csv").write_text(csv_text(["name", "count"], [["=a", 3], ["-5", 4]]))
    assert read_counts(tmp_path / "c.csv", ["=a", "-5"]) == [3, 4]


def test_a_trial_keeps_the_names_of_its_labels(tmp_path: Path) -> None:
    rows = [{"epoch": 0, "label": name, "drawn": 3, "recall": 0.5} for name in ("=a", "-5", "b")]
    trial = Trial("none", 0, {}, 1, 1, {}, {}, [], {}, label_history=rows)
    folder = trial.save(tmp_path)
    assert "'=a" in (folder / "label_history.csv").read_text()
    assert Trial.load(folder).label_history == rows


def test_values_of_other_kinds_are_left() -> None:
    frame = pl.DataFrame({"n": np.array([-1, 2]), "f": [-0.5, None], "b": [True, None]})
    assert safe_frame(frame)[0].equals(frame)
