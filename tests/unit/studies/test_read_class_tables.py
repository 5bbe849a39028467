"""Tables of recall per class: percent signs, cells that are no numbers, columns without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from equipoise.diagnosis.class_table import read_class_table
from equipoise.errors import DataError

HEAD = "class,recall,precision,support\n"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "classes.csv"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("rows", "digits"),
    [
        ("01,52.0%,40.5%,50\n1,90.0%,81.0%,50\n", 3),
        ("01,52%,40.5 %,50\n1,90%,81%,50\n", 3),
        ("01,52.0,40.5,50\n1,90.0,81.0,50\n", 3),
        ("01,0.52,40.5%,50\n1,0.9,81.0%,50\n", 3),
        ("01,52,40.5%,50\n1,90,81.0%,50\n", 3),
        ("01,0.52,0.405,50\n1,0.9,0.81,50\n", 3),
    ],
)
def test_shares_are_the_same_however_they_are_written(
    tmp_path: Path, rows: str, digits: int
) -> None:
    found = read_class_table(written(tmp_path, HEAD + rows))
    assert found.names == ("01", "1")
    assert found.recall["run"].tolist() == pytest.approx([0.52, 0.9])
    assert found.precision["run"].tolist() == pytest.approx([0.405, 0.81])
    assert found.support.tolist() == [50, 50]
    assert found.digits == digits


def test_half_a_percent_is_half_a_percent(tmp_path: Path) -> None:
    found = read_class_table(written(tmp_path, HEAD + "a,0.5%,1%,50\nb,1.0%,2%,50\n"))
    assert found.recall["run"].tolist() == pytest.approx([0.005, 0.01])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,high,0.5,50\nb,0.2,0.5,50\n", "column recall` must hold numbers, got 'high' in row 0"),
        ('a,"52,0%",0.5,50\nb,0.2,0.5,50\n', "got '52,0%' in row 0"),
        ("a,,0.5,50\nb,,0.5,50\n", "column recall` must hold a number somewhere, got none"),
        ("a,0.2,0.5,many\nb,0.2,0.5,50\n", "column support` must hold numbers, got many"),
    ],
)
def test_what_is_no_number_is_named(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_class_table(written(tmp_path, HEAD + rows))


def test_an_empty_cell_stays_open(tmp_path: Path) -> None:
    found = read_class_table(written(tmp_path, HEAD + "a,52%,,50\nb,90%,80%,50\n"))
    assert found.precision["run"][1] == pytest.approx(0.8)
    assert found.precision["run"][0] != found.precision["run"][0]


@pytest.mark.parametrize("rows", ["a,0.52,40.5,50\nb,0.9,81,50\n", "a,52,0.4,50\nb,90,0.8,50\n"])
def test_columns_on_two_scales_are_refused(tmp_path: Path, rows: str) -> None:
    with pytest.raises(DataError, match=r"must be on the scale of the others, got at most 0\.[89]"):
        read_class_table(written(tmp_path, HEAD + rows))
