"""Tables of numbers: columns and rows that are no numbers are named."""

from __future__ import annotations

import pickle
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import torch

from equipoise.data import FeatureTable
from equipoise.errors import DataError

FRAME = pl.DataFrame(
    {
        "id": ["a", "b", "c"],
        "x": [0.5, 1.5, -1.0],
        "flag": [True, False, True],
        "A": [1, 0, -1],
        "B": [0, 1, 1],
    }
)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_other_columns_are_features(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"t.{ending}"
    frame = FRAME.with_columns(pl.col("flag").cast(pl.Int8))
    if ending == "csv":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)
    data = FeatureTable(file, labels=["A", "B"], id_column="id")
    assert data.columns == ("x", "flag")
    x, target = data[2]
    assert x.dtype == torch.float32
    assert x.tolist() == [-1, 1]
    assert target.isnan().tolist() == [True, False]
    assert data.labels is not None
    assert data.labels.ids is not None
    assert data.labels.ids.tolist() == ["a", "b", "c"]
    again = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert torch.equal(again[0][0], data[0][0])


def test_features_stand_in_the_order_given() -> None:
    data = FeatureTable(FRAME, features=["flag", "x"])
    assert data.labels is None
    assert data[1][0].tolist() == [0, 1.5]
    assert data[1][1] == 1
    pandas = pd.DataFrame(FRAME.to_dict(as_series=False))
    assert FeatureTable(pandas, features=["x"], label="A")[0][0].tolist() == [0.5]


def test_what_is_no_number_is_named_with_column_and_row() -> None:
    with pytest.raises(DataError, match=r"be numeric columns, got 1 that are not: id \(String\)"):
        FeatureTable(FRAME, label="A")
    for wrong in (None, float("nan"), float("inf"), 1e300):
        frame = pl.DataFrame({"x": [1.0, 2.0], "z": [0.0, wrong], "y": [0, 1]})
        with pytest.raises(DataError, match=r"infinite values in z \(1, first in row 1\)"):
            FeatureTable(frame, label="y")
    with pytest.raises(DataError, match=r"`features` must name columns .*got 'X'"):
        FeatureTable(FRAME, features=["X"])
    with pytest.raises(DataError, match=r"be distinct columns beside the labels.*got \['A'\]"):
        FeatureTable(FRAME, features=["x", "A"], label="A")
    with pytest.raises(DataError, match=r"be distinct columns"):
        FeatureTable(FRAME, features=["x", "x"])
    with pytest.raises(DataError, match=r"be distinct columns beside the labels, at .*got \[\]"):
        FeatureTable(FRAME.select("A"), label="A")
