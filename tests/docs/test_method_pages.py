"""The cards as pages, their table, and the bibliography that they point to."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from made_pages import DOCS, pages

from equipoise._core.codes import CODES
from equipoise.methods import METHODS
from equipoise.methods.card import HEADINGS

BIBLIOGRAPHY = (DOCS / "bibliography.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^\(([\w-]+)\)=\n(.+)$", BIBLIOGRAPHY, flags=re.MULTILINE))


@cache
def cards() -> dict[str, str]:
    made: dict[str, str] = pages().method_pages()
    return made


def test_there_is_a_page_per_method_and_a_table_by_family() -> None:
    assert set(cards()) == {"methods/index.md", *(f"methods/{name}.md" for name in METHODS)}
    index = cards()["methods/index.md"]
    rows = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\)", index, flags=re.MULTILINE)
    assert [name for name, _ in rows] == [target for _, target in rows]
    assert sorted(name for name, _ in rows) == sorted(METHODS)
    assert set(pages().FAMILIES) == {method.family for method in METHODS.values()}


@pytest.mark.parametrize("name", METHODS)
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    text = cards()[f"methods/{name}.md"]
    assert tuple(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == HEADINGS
    for target in re.findall(r"\]\(([^)#]+)\.md\)", text):
        code = target.removeprefix("../findings/")
        here = (DOCS / "methods" / f"{target}.md").resolve()
        assert target in METHODS or code in CODES or here.is_file(), target
    for slug in re.findall(r"\]\(#([\w-]+)\)", text):
        assert slug in ENTRIES, slug
    assert "$$" not in re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    assert not re.search(r"\[[^\]]*\[`", text), "a link within a link"


def test_every_reference_of_the_catalogue_stands_in_the_bibliography() -> None:
    for method in METHODS.values():
        for text, slug in pages().slugs(method.reference):
            assert slug in ENTRIES or not re.search(r"\b(19|20)\d\d\b", text), (method.name, text)


def docstrings() -> list[tuple[str, str]]:
    """Return every docstring of the package with where it stands."""
    return [
        (path.name, ast.get_docstring(node) or "")
        for path in sorted(pages().SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module))
    ]


def is_meant(entry: str, said: str) -> bool:
    """Whether a text names an entry's first author, or begins with a word of its title."""
    author = re.split(r",| et al\.| and | \(", entry)[0].lower()
    return author in said.lower() or said.partition(",")[0] in entry


def test_what_docstrings_cite_stands_in_the_bibliography() -> None:
    """For each year there is an entry of it whose first author the text names."""
    for where, text in docstrings():
        body, _, after = text.partition("\nReferences:\n")
        cited = [re.split(r"^\S", after, flags=re.MULTILINE)[0]]
        cited += re.findall(r"\(([A-Z][\w-]+(?: et al\.| and [A-Z]\w+)?,? (?:19|20)\d\d)[);]", body)
        for said in cited:
            for year in re.findall(r"\b((?:19|20)\d\d)\b", said):
                of_year = [entry for entry in ENTRIES.values() if f"({year})" in entry]
                assert any(is_meant(entry, said) for entry in of_year), (where, said, year)
        for number in re.findall(r"arXiv (\d{4}\.\d{5})", text):
            assert number in BIBLIOGRAPHY, (where, number)


def test_entries_are_named_by_author_and_year_and_sorted() -> None:
    for slug, text in ENTRIES.items():
        author = re.split(r",| et al\.| and | \(", text)[0].lower().replace(" ", "-")
        year = re.findall(r"\((\d{4})\)\. ", text)
        assert slug.startswith(f"{author}-{year[0]}"), slug
    for part in BIBLIOGRAPHY.split("\n## ")[1:]:
        listed = re.findall(r"^\(([\w-]+)\)=$", part, flags=re.MULTILINE)
        assert listed == sorted(listed)
