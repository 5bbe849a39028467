"""Missing labels among the hardest negatives: nearness, the ceiling, and the review sheet."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
from mining_data import make_pools, make_rows, train_logistic

from equipoise import Labels
from equipoise.errors import DataError, UsageError
from equipoise.mining import (
    ArrayPool,
    MiningOptions,
    MistakeBook,
    mine_hard_negatives,
    nearest_positives,
    write_review,
)
from equipoise.report.review import growth_picture


def test_nearness_is_that_of_a_loop(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 3)) * [1, 10, 100]
    y = (np.arange(60) < 15).astype(int)
    pool = ArrayPool(x, Labels.from_array(y, kind="multilabel"))
    rows = np.array([20, 33, 58])
    found = nearest_positives(pool, rows)
    compared = np.delete(x, rows, axis=0)
    z = x / compared.std(axis=0)
    between = [min(np.linalg.norm(z[i] - z[j]) for j in range(15) if j != i) for i in range(15)]
    assert found.typical == pytest.approx(np.median(between))
    for row, nearest, distance in zip(rows, found.nearest, found.distance, strict=True):
        apart = [np.linalg.norm(z[row] - z[j]) for j in range(15)]
        assert nearest == int(np.argmin(apart))
        assert distance == pytest.approx(min(apart))
    assert found.share == pytest.approx((found.distance <= found.typical).mean())


def noisy_pool(share: float = 0.3) -> tuple[ArrayPool, ArrayPool, np.ndarray]:
    """A pool in which some positives are not marked, and which rows they are."""
    rng = np.random.default_rng(5)
    parts = []
    for n in (4000, 2000):
        x = rng.normal(size=(n, 6))
        y = (rng.random(n) < 0.04).astype(int)
        x[y == 1, :3] += 2.5
        parts.append((x, y))
    (x, y), (xv, yv) = parts
    missed = np.flatnonzero(y)[rng.random(int(y.sum())) < share]
    marked = y.copy()
    marked[missed] = 0
    made = [Labels.from_array(v, kind="multilabel", names=["ship"]) for v in (marked, yv)]
    return ArrayPool(x, made[0]), ArrayPool(xv, made[1]), missed


def test_the_sheet_leads_to_labels_that_are_missing() -> None:
    pool, validation, missed = noisy_pool()
    mined = mine_hard_negatives(
        train_logistic, pool, validation, options=MiningOptions(rounds=3, patience=9)
    )
    top = mined.book.by_row()["row"].to_numpy()[: missed.size]
    base = missed.size / pool.n_negative
    assert np.isin(top, missed).mean() > 0.6
    assert base < 0.02
    near = nearest_positives(pool, top)
    assert near.share > 3 * near.share_of_random


def test_a_ceiling_keeps_most_of_them_out_of_training() -> None:
    pool, validation, missed = noisy_pool()

    def trained(ceiling: float) -> int:
        options = MiningOptions(rounds=2, patience=9, ceiling=ceiling)
        mined = mine_hard_negatives(train_logistic, pool, validation, options=options)
        last = mined.rounds[-1].counts
        hard = mined.book.rows[(mined.book.events == "hard") & ~mined.book.members]
        assert hard.size == last["hard"]
        return int(np.isin(hard, missed).sum())

    assert trained(0.015) < 0.5 * trained(0.0)


@pytest.fixture
def book() -> MistakeBook:
    mined = mine_hard_negatives(train_logistic, *make_pools(), options=MiningOptions(rounds=1))
    return mined.book


def test_the_sheet_is_one_page_and_a_table(book: MistakeBook, tmp_path: Path) -> None:
    pool = make_pools(groups=50)[0]
    history = [
        {"round": 0, "positive": 9, "initial": 27, "hard": 0, "easy": 0, "best": True,
         "ap": 0.5, "ap_low": 0.4, "ap_high": float("nan")}
    ]  # fmt: skip
    page, table, *_ = write_review(
        book, pool, tmp_path, most=7, growth=growth_picture(history), title="Ships <at sea>"
    )
    text = page.read_text()
    assert "Ships &lt;at sea&gt;" in text
    assert text.count("<tr>") == 8
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "<svg" in text
    frame = pl.read_csv(table)
    assert frame.height == 7
    assert frame["rank"].to_list() == list(range(1, 8))
    assert frame["row"].to_list() == book.by_row()["row"].to_list()[:7]
    assert frame["group"].cast(pl.String).to_list() == pool.groups(frame["row"].to_numpy()).tolist()
    assert frame["verdict"].null_count() == 7 or set(frame["verdict"]) == {""}
    again, *_ = write_review(book, pool, tmp_path / "b", most=7, growth=growth_picture(history),
                            title="Ships <at sea>")  # fmt: skip
    assert again.read_text() == text


def pictures(text: str) -> list[PIL.Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [PIL.Image.open(io.BytesIO(base64.b64decode(part))) for part in found]


def test_rows_that_are_images_are_shown(book: MistakeBook, tmp_path: Path) -> None:
    _, labels = make_rows(3000, 1)
    images = np.random.default_rng(0).random((3000, 3, 8, 12)).astype(np.float32)
    page, *_ = write_review(book, ArrayPool(images, labels), tmp_path, most=3)
    shown = pictures(page.read_text())
    assert len(shown) == 6
    assert {image.size for image in shown} == {(48, 32)}
    wide = np.zeros((10, 300), dtype=np.uint8)
    page, *_ = write_review(
        book, ArrayPool(images, labels), tmp_path, most=1, picture=lambda _: wide
    )
    assert pictures(page.read_text())[0].size == (96, 3)
    flat = ArrayPool(images.reshape(3000, -1), labels)
    page, *_ = write_review(book, flat, tmp_path, most=1, embed=lambda x: x[:, :4])
    assert not pictures(page.read_text())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda b, p, f: write_review(b, p, f, most=0), UsageError, "`most` must be at least 1"),
        (
            lambda _, p, f: write_review(MistakeBook.join([]), p, f),
            DataError,
            "`book` must hold at least one entry",
        ),
        (
            lambda b, p, f: write_review(b, p, f, picture=lambda _: np.full((2, 2), 300)),
            DataError,
            r"`picture` must return \(H, W\)",
        ),
        (
            lambda _, p, _f: nearest_positives(p[np.flatnonzero(p.is_negative())], [0]),
            DataError,
            "`pool` must hold at least two positives, got 0",
        ),
    ],
)
def test_wrong_use_is_named(book: MistakeBook, tmp_path: Path, call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(book, make_pools()[0], tmp_path)


def test_books_are_saved_and_read(book: MistakeBook, tmp_path: Path) -> None:
    again = MistakeBook.load(book.save(tmp_path / "book.parquet"))
    assert again.to_frame().equals(book.to_frame())
    named = MistakeBook(book.rows, book.rows.astype(str), *(
        getattr(book, n) for n in ("rounds", "scores", "events", "members", "times", "inclusion")
    ))  # fmt: skip
    assert MistakeBook.load(named.save(tmp_path / "named.parquet")).ids.dtype.kind == "U"
    with pytest.raises(DataError, match="must be a Parquet file, got nothing there"):
        MistakeBook.load(tmp_path / "none.parquet")


def test_every_negative_may_be_asked_for() -> None:
    labels = Labels.from_array([1, 1, 0, 0], kind="multilabel")
    pool = ArrayPool(np.array([[0.0, 0.0], [1.0, 1.0], [0.9, 1.0], [5.0, 5.0]]), labels)
    found = nearest_positives(pool, [2, 3])
    assert found.nearest.tolist() == [1, 1]
    assert np.isnan(found.share_of_random)
    none = nearest_positives(pool, [])
    assert none.nearest.tolist() == []
