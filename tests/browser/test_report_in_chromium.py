"""The report in a real browser: no console message, no request, sorting and download work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chromium import MARKS, opened
from comparisons import labels_comparison, make_trials
from equipoise import Labels, Scores, tune, write_report
from equipoise.comparison import compare
from equipoise.report.chapter import Chapter

pytestmark = MARKS


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "report.html"
    trials = make_trials({"none": 0.0, "weighted": 1.5, "other": -0.5})
    whole = Chapter(labels_comparison(), [t for t in trials if t.seed == 0], place="runs/a_study")
    classes = make_trials({"none": 0.0, "weighted": 1.0}, width=5, multi=False)
    other = Chapter(compare(classes, title="Another"), [t for t in classes if t.seed == 0])
    return write_report([whole, other], path=target)


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


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 640)])
def test_what_was_asked_answered_and_is_to_do_is_seen_at_once(
    path: Path, width: int, height: int
) -> None:
    with opened(path, viewport={"width": width, "height": height}) as page:
        shown = page.locator("#study-1 .verdict dd")
        boxes = [shown.nth(i).bounding_box() for i in range(3)]
        assert all(box is not None and box["y"] + box["height"] <= height for box in boxes)
        assert "Does any of 2 remedies beat" in shown.nth(0).inner_text()
        assert "equipoise tune runs/a_study/trials/none-s0" in shown.nth(2).inner_text()


@pytest.mark.parametrize("width", [360, 390, 768])
def test_nothing_sticks_out_on_a_phone_and_what_is_wider_scrolls(path: Path, width: int) -> None:
    with opened(path, viewport={"width": width, "height": 800}) as page:
        page.locator("details").evaluate_all("all => all.forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wider = page.evaluate(
            "[...document.querySelectorAll('.scroll')]"
            ".filter((box) => box.scrollWidth > box.clientWidth).length"
        )
        assert wider > 5 or width > 390
        # Text of figures, in pixels as it is seen.
        sizes = page.evaluate(
            "[...document.querySelectorAll('.card > svg text')].map((text) => "
            "parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement"
            ".getBoundingClientRect().width / text.ownerSVGElement.viewBox.baseVal.width)"
        )
        assert min(sizes) >= 10


def test_in_the_dark_figures_have_the_page_s_colours(path: Path) -> None:
    with opened(path, color_scheme="dark") as page:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(20, 24, 26)"
        filled = page.evaluate(
            "[...document.querySelectorAll('.card svg *')].map((item) => "
            "getComputedStyle(item).fill).filter((fill) => fill === 'rgb(255, 255, 255)').length"
        )
        assert filled == 0
        lines = page.evaluate(
            "[...document.querySelectorAll('#study-1 .card svg path')].map((item) => "
            "getComputedStyle(item).stroke)"
        )
        assert "rgb(232, 235, 233)" in lines  # intervals, in the ink of the dark page
        assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(path: Path, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(path, color_scheme=scheme) as page:
        page.locator("details").evaluate_all("all => all.forEach((d) => { d.open = true; })")
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


def test_every_figure_has_words_and_a_table(path: Path) -> None:
    with opened(path) as page:
        figures = page.locator(".chapter svg[role=img]")
        names = figures.evaluate_all("all => all.map((svg) => svg.getAttribute('aria-label'))")
        assert len(names) > 15
        assert all(name and len(name) > 30 for name in names)
        # Between a figure and the next heading stands a table.
        lonely = figures.evaluate_all(
            """all => all.filter((svg) => {
              let block = svg.closest('.card, figure');
              while (block && block.parentElement && !block.matches('section > *')) {
                block = block.parentElement;
              }
              for (let next = block.nextElementSibling; next; next = next.nextElementSibling) {
                if (next.querySelector('table')) return false;
                if (next.matches('h3')) break;
              }
              for (let past = block.previousElementSibling; past && !past.matches('h3');
                past = past.previousElementSibling) if (past.querySelector('table')) return false;
              return true;
            }).map((svg) => svg.getAttribute('aria-label'))"""
        )
        assert lonely == []


def test_of_many_labels_a_page_is_shown_searched_and_sorted(tmp_path: Path) -> None:
    rng, width, n = np.random.default_rng(0), 120, 300
    y = (rng.random((n, width)) < 0.2).astype(int)

    def scores(part: str, noise: float) -> Scores:
        names = [f"label {i:03d}" for i in range(width)]
        ids = [f"{part}{i}" for i in range(n)]
        labels = Labels.from_array(y, kind="multilabel", names=names, ids=ids)
        z = 2 * y - 1 + np.random.default_rng(1).normal(0, noise, y.shape)
        return Scores.from_arrays(labels, logits=z, split=part)

    rule = tune(scores("val", 1.0), objective="prevalence")
    chapter = Chapter(rule=rule, scores=scores("test", 1.1))
    path = write_report(chapter, path=tmp_path / "many.html")
    with opened(path) as page:
        table, foot = page.locator("#study-1-labels"), page.locator("#study-1-label-foot")
        rows = table.locator("tbody tr")
        assert rows.count() == 50
        f1 = [float(t) for t in table.locator("tbody td:nth-child(7)").evaluate_all(
            "cells => cells.map((c) => c.firstChild.textContent)")]  # fmt: skip
        assert f1 == sorted(f1)
        assert foot.locator("span").inner_text().endswith("/ 120")
        foot.locator("button").last.press("Enter")
        foot.locator("button").last.press("Enter")
        assert rows.count() == 20
        page.locator("input[data-table]").fill("label 11")
        assert rows.count() == 10
        table.locator("th button").first.click()
        names = table.locator("tbody td:first-child").all_inner_texts()
        assert names == sorted(names, reverse=True)
        # The explorer's list holds only the rows in sight, and finds every label.
        assert page.locator("[data-part=list] button").count() < 40
        page.locator("[data-part=search]").fill("label 119")
        assert page.locator("[data-part=list] button").all_inner_texts() == ["label 119"]
        page.locator("[data-part=search]").fill("")
        page.locator("[data-part=scroll]").evaluate("box => { box.scrollTop = 1e6; }")
        page.wait_for_timeout(100)
        assert page.locator("[data-part=list] button").count() < 40
        assert page.problems == []


def test_it_can_be_printed(path: Path) -> None:
    with opened(path) as page:
        page.emulate_media(media="print")
        assert page.locator("nav").is_hidden()
        assert page.locator("button[data-json]").first.is_hidden()
        assert page.locator("th button").first.is_visible()
        assert len(page.pdf(format="A4")) > 50_000
        assert page.problems == []
