"""Tutorials, explanations and the first page of the guide run, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from page_runner import BLOCK, run, same

DOCS = Path(__file__).parents[2] / "docs"
# Numbers behind the training of a network differ between processors by more than a last digit.
TRAINED = ("images", "sequences", "several_processes")
SLOW = ("table", *TRAINED)
PAGES = sorted(
    [
        *(DOCS / "tutorials").glob("*.md"),
        *(DOCS / "explanations").glob("*.md"),
        DOCS / "neighbours.md",
    ]
)
NUMBER = re.compile(r"[-+]?\d[\d,.]*")


def require_same(text: str, folder: Path, *, trained: bool = False) -> None:
    for step in run(text, folder):
        if step.shown is not None:
            shown, printed = (
                NUMBER.sub("#", t) if trained else t for t in (step.shown, step.printed)
            )
            assert same(shown, printed), f"{step.code}\nshown:\n{shown}\nprinted:\n{printed}"


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in SLOW else []) for p in PAGES],
)
def test_a_page_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    require_same(page.read_text(encoding="utf-8"), tmp_path, trained=page.stem in TRAINED)


def test_the_first_page_runs_on_files_of_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = pl.DataFrame((rng.random((900, 3)) < [0.4, 0.1, 0.04]).astype(int), schema=list("ABC"))
    z = 2 * y.to_numpy() - 1 + rng.normal(size=y.shape)
    scores = pl.DataFrame(z, schema=["z_A", "z_B", "z_C"])
    y.write_csv("labels.csv")
    ids = pl.Series("id", [f"row {i}" for i in range(900)])
    y.hstack([ids, *scores]).write_csv("val.csv")
    scores.hstack([y["B"].alias("y")]).write_csv("train.csv")
    text = (DOCS / "start.md").read_text(encoding="utf-8")
    require_same(text, tmp_path)
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 8
    assert len(re.findall(r"^\*\*Run\*\*", text, re.MULTILINE)) == 8


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
