"""The review sheet in a real browser: no console message, no request, thumbnails, sorting."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chromium import MARKS, opened
from equipoise import Labels
from equipoise.mining import ArrayPool, MistakeBook, write_review

pytestmark = MARKS


def sheet(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = Labels.from_array((np.arange(60) < 9).astype(int), kind="multilabel")
    pool = ArrayPool(rng.random((60, 8, 8)), labels)
    rows = np.arange(20, 32)
    book = MistakeBook(
        rows, rows, np.zeros(12, dtype=int), np.linspace(0.9, 0.1, 12), np.repeat("hard", 12),
        np.zeros(12, dtype=bool), np.ones(12, dtype=int), np.ones(12),
    )  # fmt: skip
    return write_review(book, pool, folder).page


def test_opens_quietly_shows_pictures_and_sorts(tmp_path: Path) -> None:
    with opened(sheet(tmp_path)) as page:
        assert page.problems == []
        drawn = page.evaluate("[...document.images].map(i => i.naturalWidth)")
        assert drawn == [48] * 24
        score = page.locator("#mistakes th", has_text="score").first.locator("button")
        shown = page.locator("#mistakes tbody tr td:nth-child(5)")
        assert shown.first.text_content() == "0.900"
        score.click()
        score.click()
        assert shown.first.text_content() == "0.100"
