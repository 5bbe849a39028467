"""Every link of a page leads to a page that is there, and to a heading on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import equipoise
from equipoise._core.codes import CODES
from equipoise.methods import METHODS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FINDINGS = Path(equipoise.__file__).parent / "diagnosis" / "pages"
# Written when the pages are built, from the catalogue and the commands.
GENERATED = {
    *(DOCS / "methods" / f"{name}.md" for name in ("index", *METHODS)),
    *(DOCS / "findings" / f"{name}.md" for name in ("index", *CODES)),
    *(DOCS / f"{name}.md" for name in ("methods", "commands", "bibliography", "sampling_rules")),
}
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    *(p for p in sorted(DOCS.rglob("*.md")) if "_build" not in p.parts and p not in GENERATED),
    *sorted(FINDINGS.glob("EQ*.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the names that headings can be reached by, as GitHub and MyST make them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    words = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", h) for h in HEADING.findall(plain))
    return {re.sub(r"[^\w\- ]", "", w.lower()).strip().replace(" ", "-") for w in words}


def unresolved(page: Path, text: str) -> list[str]:
    """Return the links of a text, as it would stand on a page, that lead nowhere."""
    lost = []
    # A finding's page is copied beside the others when the pages are built.
    at = DOCS / "findings" if page.parent == FINDINGS else page.parent
    for link in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        path, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (at / path).resolve() if path else page
        if target in GENERATED and not anchor:
            continue
        there = target.is_file()
        if not there or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            lost.append(link)
    return lost


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda p: p.name if p.parent == FINDINGS else p.relative_to(ROOT).as_posix()
)
def test_links_resolve(page: Path) -> None:
    assert not unresolved(page, page.read_text(encoding="utf-8"))


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = DOCS / "index.md"
    text = "[a](start.md) [b](none.md) [c](start.md#none) [d](methods/focal.md) [e](methods/no.md)"
    assert unresolved(page, text) == ["none.md", "start.md#none", "methods/no.md"]
    assert not unresolved(page, "[f](start.md#recall-is-near-zero) [g](https://example.org/x)")


def test_every_page_stands_in_the_table_of_contents() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^[a-z_/]+$", "\n".join(
        re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
    ), re.MULTILINE))  # fmt: skip
    pages = {
        p.relative_to(DOCS).with_suffix("").as_posix()
        for p in PAGES
        if DOCS in p.parents and p.parent.name not in ("stories", "api") and p.name != "index.md"
    }
    assert not pages - listed
    assert not {n for n in listed - pages if (DOCS / f"{n}.md") not in GENERATED} - {
        "stories/index",
        "zh/stories/index",
        "api/index",
    }
