"""The report page: everything inside, nothing outside, text escaped, reproducible."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from comparisons import labels_comparison, make_trials
from equipoise import Finding, write_report
from equipoise.artifacts import Comparison
from equipoise.comparison import compare
from equipoise.errors import UsageError
from equipoise.report.render import render_report

VOID = {"meta", "link", "br", "input", "path", "circle", "use", "image"}


class Balanced(HTMLParser):
    """Checks that tags close in order, and collects attributes that would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {k: v or "" for k, v in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        for key in ("src", "href", "xlink:href"):
            if key in values and not values[key].startswith(("#", "data:,")):
                self.loads.append(values[key])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return labels_comparison()


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> str:
    finding = Finding("EQ104", "tip", "A <b>title</b>", "1 < 2 & 3", {}, ("do this",))
    return render_report([comparison, labels_comparison("Another")], [[finding], []])


def test_page_is_well_formed_and_loads_nothing(page: str) -> None:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.loads == []
    assert len(set(parser.ids)) == len(parser.ids)
    assert not re.search(r"url\(\s*['\"]?http|@import|fetch\(|XMLHttpRequest", page)
    assert len(page.encode()) < 1_000_000


def test_text_from_users_is_escaped(page: str) -> None:
    assert "A &lt;b&gt;title&lt;/b&gt;" in page
    assert "label &lt;0&gt; &amp; co" in page
    assert "<0> &" not in page


def test_numbers_for_download_are_json(page: str, comparison: Comparison) -> None:
    blocks = re.findall(r'<script type="application/json" id="study-\d-json">(.*?)</script>', page)
    assert len(blocks) == 2
    body = json.loads(blocks[0])
    assert [a["method"] for a in body["arms"]] == [a.method for a in comparison.arms]
    assert body["arms"][2]["verdict"] == comparison.arms[2].gain.verdict


def test_same_input_same_page(comparison: Comparison) -> None:
    assert render_report(comparison) == render_report(comparison)


def test_report_from_a_saved_comparison_is_the_same(comparison: Comparison, tmp_path: Path) -> None:
    comparison.save(tmp_path / "comparison.json")
    again = Comparison.load(tmp_path / "comparison.json")
    assert render_report(again) == render_report(comparison)


def test_writing_replaces_the_old_page_only_when_done(
    comparison: Comparison, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = replace(comparison, recommended="nobody")
    with pytest.raises(UsageError, match="got 'nobody'"):
        write_report(broken, path=path)
    assert path.read_text() == "old"
    assert write_report(comparison, path=path) == path
    assert path.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_nothing_to_report_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one comparison"):
        write_report([], path=tmp_path / "report.html")


# Any three of these meet in a shape that is not slow.
# Four of sixteen, each value of each in two of them; the others are slow.
SHAPES = [
    pytest.param(
        *(multi, width, {"none": 0.0, "other": 1.0} if remedies else {"none": 0.0}, seeds),
        marks=[pytest.mark.slow] * (multi != (width == 14) or (multi + remedies + seeds // 3) % 2),
    )
    for multi in (False, True)
    for width in (2, 14)
    for remedies in (0, 1)
    for seeds in (1, 3)
]


@pytest.mark.parametrize(("multi", "width", "methods", "seeds"), SHAPES)
def test_every_shape_of_study_renders(
    multi: bool, width: int, methods: dict[str, float], seeds: int
) -> None:
    trials = make_trials(methods, n=80, width=width, seeds=seeds, multi=multi)
    page = render_report(compare(trials))
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "nan" not in re.sub(
        r"<[^>]+>|\b\w*nan\w+\b", "", page.split("<main>")[1].split("<h3>Prov")[0]
    )
