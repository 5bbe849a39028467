"""The review sheet in a real browser: no console message, no request, thumbnails, sorting."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from equipoise import Labels
from equipoise.mining import ArrayPool, MistakeBook, write_review

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


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
    from playwright.sync_api import sync_playwright

    path = sheet(tmp_path)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: (
            request.url.startswith(("file:", "data:")) or problems.append(request.url)
        ))  # fmt: skip
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        assert problems == []
        drawn = page.evaluate("[...document.images].map(i => i.naturalWidth)")
        assert drawn == [48] * 24
        score = page.locator("#mistakes th", has_text="score").first
        shown = page.locator("#mistakes tbody tr td:nth-child(5)")
        assert shown.first.text_content() == "0.900"
        score.click()
        score.click()
        assert shown.first.text_content() == "0.100"
        browser.close()
