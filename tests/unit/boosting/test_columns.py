"""What columns of tables are taken for, and what stands in their place."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from equipoise.boosting import Column, code_table, columns_from, encode
from equipoise.boosting.columns import unknown_entries
from equipoise.errors import DataError

N = 120
RNG = np.random.default_rng(0)
SEEN: dict[str, tuple[list[object], str, str]] = {
    "whole numbers": ([str(i % 7) for i in range(N)], "number", ""),
    "decimal commas": ([f"{i % 9},5" for i in range(N)], "number", ""),
    "thousands": ([f"{1 + i},{i % 10}50" if i % 3 else "950" for i in range(N)], "number",
                  "commas between thousands"),
    "continental": ([f"{1 + i}.{i % 10}50,5" if i % 3 else "9,5" for i in range(N)], "number",
                    "points between thousands"),
    "money": ([f"$ {i % 31}.50" for i in range(N)], "number", ""),
    "shares": ([f"{i % 31} %" for i in range(N)], "number", ""),
    "gaps": (["NA" if i % 10 == 0 else str(i % 13) for i in range(N)], "number",
             "12 of 120 entries missing"),
    "a few words": (["n.k." if i == 3 else str(i * 3 % 50) for i in range(N)], "number",
                    "1 that are none, such as 'n.k.', are missing"),
    "truths": ([i % 3 == 0 for i in range(N)], "number", ""),
    "words": ([["red", "blue", None][i % 3] for i in range(N)], "category", "40 of 120"),
    "numbers and words": ([["1", "2", "x", "y"][i % 4] for i in range(N)], "category", "4 values"),
    "days": ([f"{1 + i % 28:02d}.{1 + i % 12:02d}.2024" for i in range(N)], "date", "%d.%m.%Y"),
    "months first": ([f"{1 + i % 12:02d}/{1 + i % 28:02d}/2024" for i in range(N)], "date",
                     "%m/%d/%Y"),
    "two formats": (["2024-01-31" if i % 2 else f"{1 + i % 28}.02.2024" for i in range(N)], "date",
                    "%Y-%m-%d and %d.%m.%Y"),
    "moments": ([f"2024-05-0{1 + i % 9}T12:00:0{i % 10}.5Z" for i in range(N)], "date", ""),
    "dates": ([date(2024, 1, 1 + i % 28) for i in range(N)], "date", ""),
    "sentences": ([" ".join(RNG.choice(["a", "big", "red", "fox"], 5)) for _ in range(N)], "text",
                  "5 words"),
    "an index": (list(range(N)), "left out", "it counts the rows"),
    "order_id": ([i * 7 % 1009 for i in range(N)], "left out", "an id"),
    "codes": ([f"C{i:04d}" for i in range(N)], "left out", "an id: 120 values in 120 rows"),
    "one value": (["a"] * N, "left out", "one value alone, 'a'"),
    "nothing": ([None] * N, "left out", "no entries"),
    "pictures": ([f"{i % 100}.JPG" for i in range(N)], "left out", "paths of images"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_a_column_is_what_it_looks_like(name: str) -> None:
    entries, role, why = SEEN[name]
    frame = pl.DataFrame({name: pl.Series(entries, strict=False), "x": np.arange(N) % 5})
    (found, other) = code_table(frame).columns
    assert (found.role, other.role) == (role, "number")
    assert why in found.why


def test_numbers_that_are_measured_are_no_ids_though_all_differ() -> None:
    frame = pl.DataFrame({"weight": RNG.permutation(N) * 10, "x": RNG.normal(size=N)})
    assert [c.role for c in code_table(frame).columns] == ["number", "number"]


def test_dates_become_numbers_that_models_can_use() -> None:
    frame = pl.DataFrame({"d": ["2024-02-29 13:30:00", "2023-12-31 00:00:00", None]})
    coded = code_table(frame)
    assert coded.names == tuple(f"d: {p}" for p in ("year", "month", "day", "weekday", "hour",
                                                    "days"))  # fmt: skip
    assert coded.values[0, :5].tolist() == [2024, 2, 29, 4, 13]
    assert coded.values[1, :5].tolist() == [2023, 12, 31, 7, 0]
    assert coded.values[0, 5] == pytest.approx(19_782.5625, abs=0.01)
    assert np.isnan(coded.values[2]).all()


def test_numbers_of_new_rows_are_written_as_those_before_were() -> None:
    """1,250 alone may be 1250; in a column of decimal commas it is not."""
    prices = ["1,5", "0,25", "12,75"] * 40
    pays = ["1,250", "950", "12,000"] * 40
    first = code_table(
        pl.DataFrame({"price": prices, "pay": pays, "part": ["5 %", "1 %", "7 %"] * 40})
    )
    columns = columns_from([c.to_dict() for c in first.columns])
    new = encode(pl.DataFrame({"price": ["1,250"], "pay": ["2,500"], "part": ["3%"]}), columns)
    assert new.values.tolist() == [[1.25, 2500.0, 3.0]]
    assert first.values[:3, 1].tolist() == [1250.0, 950.0, 12000.0]


def test_what_was_asked_goes_before_what_is_seen() -> None:
    frame = pl.DataFrame({"zip": ["1010", "8010"] * 60, "junk": RNG.normal(size=N),
                          "since": ["20240131", "20240201"] * 60})  # fmt: skip
    coded = code_table(frame, drop=["junk"], categorical=["zip", "since"])
    assert [c.role for c in coded.columns] == ["category", "left out", "category"]
    with pytest.raises(DataError, match="`drop` must name columns of the table, got 'junc'"):
        code_table(frame, drop=["junc"])
    with pytest.raises(DataError, match=r"column since.* must hold dates"):
        code_table(frame.with_columns(since=pl.lit("soon")), time=["since"])


def test_new_rows_are_read_as_the_first_were() -> None:
    frame = pl.DataFrame({"job": ["cook", "clerk"] * 60, "age": [str(i % 60) for i in range(N)]})
    columns = columns_from([c.to_dict() for c in code_table(frame).columns])
    new = pl.DataFrame({"age": ["7", "?", "old"], "job": ["clerk", "pilot", ""], "more": [1, 2, 3]})
    found = encode(new, columns).values
    np.testing.assert_array_equal(found, [[1, 7], [np.nan, np.nan], [np.nan, np.nan]])
    assert unknown_entries(new, columns) == {
        "job": (1, "pilot", "that training rows did not"),
        "age": (1, "old", "that are no numbers as in training"),
    }
    with pytest.raises(DataError, match="none called 'job'"):
        encode(new.drop("job"), columns)


def test_a_table_of_which_nothing_is_left_says_why() -> None:
    with pytest.raises(DataError, match=r"at least one column, got a \(one value alone, '1'\)"):
        code_table(pl.DataFrame({"a": ["1"] * 9}))


def test_a_summary_names_what_is_left_out() -> None:
    frame = pl.DataFrame({"x": RNG.normal(size=N), "a": ["u", "v"] * 60, "k": ["1"] * N})
    coded = code_table(frame)
    assert coded.summary == (
        "Columns: 1 number, 1 category, 1 left out. Left out: 'k' (one value alone, '1')."
    )
    assert not coded.is_plain
    assert code_table(frame.select("x")).summary == ""
    assert Column("x", "number").fields == ("x",)


def test_ids_that_are_left_out_keep_their_order() -> None:
    frame = pl.DataFrame({
        "customer": [f"C{(i * 7) % N}" for i in range(N)],
        "row": range(N),
        "branch": ["main"] * N,
        "x": RNG.normal(size=N),
    })  # fmt: skip
    ids = code_table(frame).ids
    assert set(ids) == {"customer", "row"}
    np.testing.assert_array_equal(ids["customer"], [(i * 7) % N for i in range(N)])
    np.testing.assert_array_equal(ids["row"], np.arange(N))


def test_what_new_rows_hold_instead_of_dates_is_told_and_huge_numbers_are_missing() -> None:
    days = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)]
    frame = pl.DataFrame({"since": days, "x": [0.5 * i for i in range(N)]})
    columns = code_table(frame).columns
    new = pl.DataFrame({"since": ["2024-03-01", "soon", None], "x": ["1e39", "2.5", "-1e300"]})
    found = encode(new, columns).values
    assert np.isnan(found[:, -1]).tolist() == [True, False, True]
    assert unknown_entries(new, columns) == {
        "since": (1, "soon", "that are no dates as in training"),
        "x": (2, "1e39", "that are no numbers as in training"),
    }
    (seen,) = code_table(pl.DataFrame({"x": ["1e39", *(f"{0.5 * i}" for i in range(N))]})).columns
    assert "1 infinite, read as missing" in seen.why
