"""The Chinese pages say what the English ones say: same code, same numbers, same order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from page_runner import FILE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAIRS = {
    "README": (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    **{
        page.relative_to(DOCS / "zh").as_posix(): (DOCS / page.relative_to(DOCS / "zh"), page)
        for page in sorted((DOCS / "zh").rglob("*.md"))
    },
}
HAN = r"[\u3400-\u9fff]"
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Whole numbers are words in one of the languages, or count lines of a table.
NUMBER = re.compile(r"[-+]?\d*\.\d+|\d{1,3}(?:,\d{3})+")
every_pair = pytest.mark.parametrize(("english", "chinese"), PAIRS.values(), ids=PAIRS)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code(text: str) -> list[tuple[str, list[str]]]:
    """Return the blocks of a page without comments, which a reader may have in his language."""
    made = []
    for kind, body in BLOCK.findall(text):
        lines = body.splitlines()
        if kind in ("python", "sh", "console", "yaml"):
            named = FILE.match(body)
            lines = [re.sub(r"\s*(?<!\S)#.*", "", line) for line in lines]
            lines = [named[1], *lines] if named else lines
        made.append((kind, lines))
    return made


def prose(text: str) -> str:
    """Return a page without blocks, targets of links and marks of emphasis and code."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", BLOCK.sub("", text))
    return re.sub(r"`|\*\*", "", text)


@every_pair
def test_the_code_is_the_same(english: Path, chinese: Path) -> None:
    assert code(read(chinese)) == code(read(english))


def test_comments_alone_may_differ() -> None:
    page = "```python\n# net.py\nx = 'a#b'  # {}\n# {}\n```\n\n```text\n# {}\n```\n"
    first, other = page.format("a", "b", "c"), page.format("甲", "乙", "c")
    assert code(first) == code(other)
    assert code(first) != code(other.replace("# c", "# 丙"))
    assert code(first) != code(other.replace("net.py", "other.py"))
    assert code(first) != code(other.replace("a#b", "a#c"))


@every_pair
def test_the_headings_correspond(english: Path, chinese: Path) -> None:
    levels = [
        re.findall(r"^#+(?= )", BLOCK.sub("", read(p)), re.MULTILINE) for p in (english, chinese)
    ]
    assert levels[0] == levels[1] != []


@every_pair
def test_the_numbers_are_the_same(english: Path, chinese: Path) -> None:
    wanted, told = (set(NUMBER.findall(prose(read(page)))) for page in (english, chinese))
    assert wanted == told


@every_pair
def test_chinese_is_written_as_chinese(english: Path, chinese: Path) -> None:
    """Full-width signs beside Chinese, a space between it and Latin words or numbers."""
    for line in prose(read(chinese)).splitlines():
        assert not re.search(f"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}", line), line
        assert not re.search(rf"{HAN}[,;:?!()]|[,;:?!()]{HAN}", line), line
        assert not re.search(
            r"[\uff00-\uffef\u3000-\u303f] (?!\|)|(?<!\|) [\uff00-\uffef]", line
        ), line


def test_the_glossaries_hold_the_same_terms() -> None:
    row = re.compile(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
    chinese = row.findall(read(DOCS / "zh" / "glossary.md"))[1:]
    assert sorted((e, c) for c, e in chinese) == sorted(row.findall(read(DOCS / "glossary.md")))


def test_a_paragraph_is_a_line() -> None:
    """A break within a Chinese paragraph is shown as a space."""
    for _, page in PAIRS.values():
        text = re.sub(r"\A.*?\n", "", BLOCK.sub("", read(page)))
        assert not re.search(rf"{HAN}\S*\n(?![-|]|$)\S", text, re.MULTILINE), page
