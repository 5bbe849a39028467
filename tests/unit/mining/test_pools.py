"""Pools: the same rows from arrays, memory maps, Parquet files and data sets; wrong input named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from equipoise import Labels
from equipoise.data import ArrayDataset, Sequences, pad_batch
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.io import LabelCoding
from equipoise.mining import ArrayPool, DatasetPool, ParquetPool, Pool

N = 37


@pytest.fixture
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "a": rng.normal(size=N).astype(np.float32),
            "b": rng.integers(0, 9, N),
            "y": (rng.random(N) < 0.3).astype(int),
            "image": [f"i{i // 4}" for i in range(N)],
            "key": np.arange(N) + 100,
        }
    )


def parquet(table: pl.DataFrame, folder: Path, **settings) -> ParquetPool:
    table[:20].write_parquet(folder / "p-1.parquet")
    table[20:].write_parquet(folder / "p-2.parquet")
    given = {"label": "y", "id_column": "key", "group_column": "image", "batch_rows": 5}
    return ParquetPool(folder / "p-*.parquet", **{**given, **settings})


def labels(table: pl.DataFrame) -> Labels:
    return Labels.from_array(
        table["y"].to_numpy(),
        kind="multilabel",
        names=["y"],
        ids=table["key"].to_numpy(),
        groups=table["image"].to_numpy(),
    )


@pytest.mark.parametrize("form", ["array", "map", "parquet", "dataset", "part"])
def test_every_pool_reads_the_same(form: str, table: pl.DataFrame, tmp_path: Path) -> None:
    x = table.select("a", "b").to_numpy().astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    whole = np.concatenate([x[:3], x])
    longer = Labels.from_array(
        np.concatenate([np.zeros(3, int), table["y"]]), kind="multilabel", names=["y"],
        ids=np.concatenate([[1, 2, 3], table["key"]]),
        groups=np.concatenate([["-"] * 3, table["image"]]),
    )  # fmt: skip
    made = {
        "array": lambda: ArrayPool(x, labels(table), batch_rows=5),
        "map": lambda: ArrayPool(tmp_path / "x.npy", labels(table), batch_rows=5),
        "parquet": lambda: parquet(table, tmp_path),
        "dataset": lambda: DatasetPool(ArrayDataset(x), labels(table), batch_rows=5),
        "part": lambda: ArrayPool(whole, longer, batch_rows=5)[np.arange(3, N + 3)],
    }
    pool: Pool = made[form]()
    y = table["y"].to_numpy()
    assert len(pool) == N
    assert pool.n_negative == (y == 0).sum()
    np.testing.assert_array_equal(pool.positives(), np.flatnonzero(y))
    np.testing.assert_array_equal(pool.is_negative(4, 30), y[4:30] == 0)
    for rows in (np.arange(N), np.array([30, 2, 19, 20, 2]), np.array([], dtype=np.int64)):
        got = pool.read(rows)
        np.testing.assert_allclose(got.reshape(-1, 2) if rows.size else got[:, :0].reshape(0, 2),
                                   x[rows])  # fmt: skip
        assert pool.ids(rows).tolist() == [str(k) for k in table["key"].to_numpy()[rows]]
        assert pool.groups(rows).tolist() == table["image"].to_numpy()[rows].tolist()
        sizes = [len(part) for part in pool.batches(rows, 5)]
        assert sum(sizes) == rows.size
        assert all(size == 5 for size in sizes[:-1])
    assert pool.labels([3, 1]).ids.tolist() == ["103", "101"]
    assert pool.fingerprint == made[form]().fingerprint


def test_classes_with_a_background(table: pl.DataFrame, tmp_path: Path) -> None:
    named = table.with_columns(pl.Series("y", ["sea", "ship", "buoy", "sea"] * 9 + ["sea"]))
    pool = parquet(named, tmp_path, background="sea")
    assert pool.names == ("buoy", "sea", "ship")
    assert pool.background == 1
    assert pool.n_negative == 19
    assert pool.truth([0, 1, 2]).tolist() == [0, 1, 1]
    classes = Labels.from_array([0, 2, 1], kind="multiclass", names=["a", "b", "c"])
    assert ArrayPool(np.zeros((3, 1)), classes, background=2).positives().tolist() == [0, 2]


def test_unknown_rows_are_neither(table: pl.DataFrame, tmp_path: Path) -> None:
    holes = table.with_columns(pl.when(pl.col("key") < 110).then(None).otherwise("y").alias("y"))
    pool = parquet(holes, tmp_path)
    assert not pool.is_negative(0, 10).any()
    assert pool.positives().min() >= 10


def test_sequences_are_padded(tmp_path: Path) -> None:
    steps = [np.ones((n, 2), dtype=np.float32) for n in (1, 3, 2)]
    found = Labels.from_array([0, 1, 0], kind="multilabel")
    pool = DatasetPool(Sequences(steps, found), collate=pad_batch)
    (padded, lengths) = next(pool.batches(np.array([0, 1]), 2))
    assert padded.shape == (2, 3, 2)
    assert lengths.tolist() == [1, 3]


def test_pictures_are_rows_in_the_shape_of_images() -> None:
    two = Labels.from_array([0, 1], kind="multilabel")
    shapes = {(8, 8): (8, 8), (3, 8, 8): (8, 8, 3), (8, 8, 3): (8, 8, 3), (1, 8, 8): (8, 8)}
    for shape, want in shapes.items():
        assert ArrayPool(np.zeros((2, *shape)), two).picture(1).shape == want
    assert ArrayPool(np.zeros((2, 5)), two).picture(0) is None
    data = ArrayDataset(torch.zeros(2, 3, 4, 4).numpy(), two)
    assert DatasetPool(data).picture(0).shape == (4, 4, 3)
    assert DatasetPool(data)[[1]].picture(0).shape == (4, 4, 3)


ONE = Labels.from_array([0, 1], kind="multilabel")
TWO = Labels.from_array([[0, 1], [1, 0]], kind="multilabel")
KINDS = Labels.from_array([0, 1], kind="multiclass")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ArrayPool(np.zeros((3, 2)), ONE), ShapeError, "one row per label = 2"),
        (lambda: ArrayPool(np.array([["a"], ["b"]]), ONE), DataError, "`features` must be numbers"),
        (lambda: ArrayPool([[np.nan], [1.0]], ONE), DataError, "`features` must be finite"),
        (lambda: ArrayPool(np.zeros((2, 2)), TWO), DataError, "one label or classes, got 2 labels"),
        (lambda: ArrayPool(np.zeros((2, 2)), KINDS, background=2), UsageError, "`background` must"),
        (lambda: ArrayPool(np.zeros((2, 2)), ONE, batch_rows=-1), UsageError, "`batch_rows` must"),
        (lambda: ArrayPool("none.npy", ONE), DataError, "none.npy` must be an .npy file"),
        (lambda: ArrayPool(np.zeros((2, 2)), ONE)[[2]], DataError, "`rows` must be positions"),
        (lambda: DatasetPool(ArrayDataset(np.zeros((2, 1)))), DataError, "`labels` must be given"),
        (
            lambda: DatasetPool(ArrayDataset(np.zeros((3, 1))), ONE),
            ShapeError,
            "one item per label = 2, got 3",
        ),
        (lambda: ParquetPool("none.parquet", label="y"), DataError, "none.parquet` must be a Parq"),
        (lambda: ParquetPool("none-*.parquet", label="y"), DataError, "`paths` must name Parquet"),
    ],
)
def test_wrong_input_is_named(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"label": "z"}, "must name columns of the table, got 'z'"),
        ({}, {"features": ["a", "q"]}, "`features` must name columns of the table, got 'q'"),
        ({"a": "text"}, {}, "`features` must be numeric columns, at least one, got a .String"),
        ({"y": "sea"}, {"background": "land"}, "at least two classes|be one of"),
        ({"a": float("nan")}, {}, "`features` must be finite"),
    ],
)
def test_wrong_tables_are_named(table, tmp_path: Path, changes, settings, message) -> None:
    changed = table.with_columns(**{k: pl.lit(v) for k, v in changes.items()})
    with pytest.raises(DataError, match=message):
        parquet(changed, tmp_path, **settings).read(np.arange(3))


def test_a_parquet_pool_reads_ids_and_codings_as_every_reader_does(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    frame = pl.DataFrame(
        {"y": [1, -1, -1, 1], "a": [0.0, 1.0, 2.0, 3.0], "k": ["01", "1", "2", "3"]}
    )
    frame.write_parquet(file)
    with pytest.raises(DataError, match="1 and -1 alone"):
        ParquetPool(file, label="y", id_column="k")
    pool = ParquetPool(file, label="y", id_column="k", coding=LabelCoding.of(negative=-1))
    assert pool.n_negative == 2
    assert pool.ids(np.array([0, 1])).tolist() == ["01", "1"]
    frame.with_columns(pl.Series("y", [10, 9, 9, 10])).write_parquet(file)
    assert ParquetPool(file, label="y", id_column="k").names == ("9", "10")
