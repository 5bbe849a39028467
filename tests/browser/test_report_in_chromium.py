"""The report in a real browser: no console message, no request, sorting and download work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from comparisons import labels_comparison
from equipoise import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "report.html"
    return write_report([labels_comparison(), labels_comparison("Another")], path=target)


@pytest.fixture
def page(path: Path) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or page.problems.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        yield page
        browser.close()


def test_opens_without_messages_or_requests(page: object) -> None:
    page.wait_for_load_state("load")
    assert page.problems == []
    assert page.title().startswith("A study · Another")
    assert page.locator("section").count() == 2
    assert page.locator(".card svg").count() >= 8


def test_tables_sort_by_mouse_and_key(page: object) -> None:
    table = page.locator("table.sortable", has_text="verdict").first
    head = table.locator("th", has_text="difference").first
    column = lambda: [  # noqa: E731
        float(v) for v in table.locator("tbody tr td:nth-child(3)").evaluate_all(
            "cells => cells.map(c => c.dataset.value)"
        )
    ]  # fmt: skip
    head.click()
    assert column() == sorted(column(), reverse=True)
    head.press("Enter")
    assert column() == sorted(column())
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.problems == []


def test_numbers_can_be_downloaded(page: object, tmp_path: Path) -> None:
    with page.expect_download() as waiting:
        page.locator("button[data-json]").first.click()
    waiting.value.save_as(tmp_path / "numbers.json")
    assert '"recommended"' in (tmp_path / "numbers.json").read_text()


def test_nothing_sticks_out_on_a_phone_or_in_the_dark(page: object) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(color_scheme="dark")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(20, 24, 26)"
