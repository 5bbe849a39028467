"""Scoring out of core: shards that stand are kept, memory does not grow with the pool."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from equipoise import Labels
from equipoise.errors import DataError, ShapeError
from equipoise.mining import ArrayPool, ParquetPool, score_pool


def pool(n: int = 1000, **settings) -> ArrayPool:
    rng = np.random.default_rng(0)
    labels = Labels.from_array((rng.random(n) < 0.1).astype(int), kind="multilabel")
    return ArrayPool(rng.normal(size=(n, 2)), labels, **settings)


def joined(scores) -> np.ndarray:
    return np.concatenate([part for _, part in scores.shards()])


def test_every_negative_is_scored_and_nothing_else(tmp_path: Path) -> None:
    mine = pool(batch_rows=64)
    found = score_pool(lambda: lambda x: x[:, 0] - x[:, 1], mine, tmp_path, shard_rows=300)
    values = joined(found)
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        f"{start:012d}.npy" for start in (0, 300, 600, 900)
    ]
    want = (mine.features[:, 0] - mine.features[:, 1]).astype(np.float32)
    negative = mine.values == 0
    np.testing.assert_array_equal(values[negative], want[negative])
    assert np.isnan(values[~negative]).all()


def test_shards_that_stand_are_not_scored_again(tmp_path: Path) -> None:
    mine, seen = pool(batch_rows=100), []

    def scorer(x):
        seen.append(len(x))
        return x[:, :1]

    first = score_pool(lambda: scorer, mine, tmp_path, shard_rows=250)
    whole, calls = joined(first), len(seen)
    made = []

    def make():
        made.append(1)
        return scorer

    score_pool(make, mine, tmp_path, shard_rows=250)
    assert (len(seen), made) == (calls, [])
    first.path(500).unlink()
    again = score_pool(make, mine, tmp_path, shard_rows=250)
    assert made == [1]
    assert sum(seen[calls:]) == mine.is_negative(500, 750).sum()
    np.testing.assert_array_equal(joined(again), whole)


def test_memory_does_not_grow_with_the_pool(tmp_path: Path) -> None:
    peaks = []
    for n in (50_000, 400_000):
        np.save(tmp_path / f"{n}.npy", np.zeros((n, 8), dtype=np.float32))
        labels = Labels.from_array(np.zeros(n, dtype=np.int8), kind="multilabel")
        mapped = ArrayPool(tmp_path / f"{n}.npy", labels, batch_rows=1000)
        tracemalloc.start()
        score_pool(lambda: lambda x: x[:, 0], mapped, tmp_path / f"s{n}", shard_rows=20_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The larger pool has 12.8 MB.
    assert peaks[1] < 1.2 * peaks[0] < 2_000_000


def test_parquet_is_scored_like_an_array(tmp_path: Path) -> None:
    import polars as pl

    mine = pool(batch_rows=64)
    frame = pl.DataFrame({"a": mine.features[:, 0], "b": mine.features[:, 1], "y": mine.values})
    frame[:333].write_parquet(tmp_path / "1.parquet")
    frame[333:].write_parquet(tmp_path / "2.parquet")
    read = ParquetPool(tmp_path / "*.parquet", label="y", batch_rows=64)
    one = score_pool(lambda: lambda x: x[:, 0].astype(np.float32), mine, tmp_path / "a")
    two = score_pool(lambda: lambda x: x[:, 0], read, tmp_path / "b")
    np.testing.assert_array_equal(joined(one), joined(two))


@pytest.mark.parametrize(
    ("scorer", "error", "message"),
    [
        (lambda x: x, ShapeError, r"`scores` must have shape \(100, 1\), got \(100, 2\)"),
        (lambda x: x[:1, 0], ShapeError, r"`scores` must have shape \(100, 1\), got \(1, 1\)"),
        (lambda x: x[:, 0] * np.inf, DataError, "`scores` must be finite"),
    ],
)
def test_outputs_that_are_none_are_named(tmp_path: Path, scorer, error, message) -> None:
    labels = Labels.from_array(np.zeros(200, dtype=int), kind="multilabel")
    mine = ArrayPool(np.ones((200, 2)), labels, batch_rows=100)
    with pytest.raises(error, match=message):
        score_pool(lambda: scorer, mine, tmp_path)
    assert not list(tmp_path.iterdir())
