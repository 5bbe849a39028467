"""Every tutorial, and the first page of the guide, prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_runner import BLOCK, run, same

DOCS = Path(__file__).parents[2] / "docs"
# Numbers behind the training of a network differ between processors by more than a last digit.
TRAINED = ("images", "sequences", "several_processes")
PAGES = sorted((DOCS / "tutorials").glob("*.md"))
NUMBER = re.compile(r"[-+]?\d[\d,.]*")


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=p.stem, marks=[] if p.stem == "predictions" else pytest.mark.slow)
     for p in PAGES],
)  # fmt: skip
def test_a_tutorial_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    for step in run(text, tmp_path):
        shown, printed = step.shown, step.printed
        if shown is not None:
            if page.stem in TRAINED:
                shown, printed = NUMBER.sub("#", shown), NUMBER.sub("#", printed)
            assert same(shown, printed), f"{step.code}\nshown:\n{shown}\nprinted:\n{printed}"


def test_every_printed_block_stands_behind_one_that_is_run() -> None:
    for page in [*PAGES, DOCS / "start.md"]:
        text = page.read_text(encoding="utf-8")
        shown = sum(block["shown"] is not None for block in BLOCK.finditer(text))
        assert shown == text.count("```text"), page.name


@pytest.mark.parametrize(
    ("shown", "printed", "wanted"),
    [
        ("AP 0.512", "AP 0.515", True),
        ("AP 0.512", "AP 0.571", False),
        ("500 rows", "501 rows", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nb\nc", False),
        ("a", "a\nb", False),
        ("a\n...", "a\nb", True),
        ("label\n-----\nx 1.0", "label\n---\nx 1.0", True),
        ("undecided", "harmful", False),
    ],
)
def test_what_counts_as_the_same(shown: str, printed: str, wanted: bool) -> None:
    assert same(shown, printed) is wanted
