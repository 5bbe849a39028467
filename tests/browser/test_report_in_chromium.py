"""The report in a real browser: no console message, no request, sorting and download work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chromium import MARKS, opened
from comparisons import labels_comparison
from equipoise import write_report

pytestmark = MARKS


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "report.html"
    return write_report([labels_comparison(), labels_comparison("Another")], path=target)


@pytest.fixture
def page(path: Path) -> Iterator[object]:
    with opened(path) as page:
        yield page


def test_opens_without_messages_or_requests(page: object) -> None:
    page.wait_for_load_state("load")
    assert page.problems == []
    assert page.title().startswith("A study · Another")
    assert page.locator("section.chapter").count() == 2
    assert page.locator(".card svg").count() >= 8


def test_tables_sort_by_mouse_and_key(page: object) -> None:
    table = page.locator("table.sortable", has_text="verdict").first
    head = table.locator("th", has_text="difference").first
    column = lambda: [  # noqa: E731
        float(v) for v in table.locator("tbody tr td:nth-child(3)").evaluate_all(
            "cells => cells.map(c => c.dataset.value)"
        )
    ]  # fmt: skip
    head.locator("button").click()
    assert column() == sorted(column(), reverse=True)
    head.locator("button").press("Enter")
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
