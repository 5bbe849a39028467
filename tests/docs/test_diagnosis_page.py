"""The page on diagnosis prints what it says, and finds every mistake of its four set-ups."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from equipoise._core.codes import CODES

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAIRS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


def test_blocks_print_what_the_page_says() -> None:
    assert len(PAIRS) == TEXT.count("```python") == 4
    scope: dict[str, object] = {}
    for code, output in PAIRS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_every_mistake_of_the_four_set_ups_is_named() -> None:
    four, keras, rare, table = (output for _, output in PAIRS)
    for code in ("EQ104", "EQ105", "EQ106", "EQ308", "EQ330", "EQ334", "EQ504"):
        assert code in four
    assert "EQ308 - Learning rate gone too early - weighted, by occurrence, focal" in four
    assert four.startswith("EQ330 - ")
    for code in ("EQ101", "EQ102", "EQ103", "EQ107", "EQ312", "EQ313", "EQ331"):
        assert code in keras
    assert "EQ102" in rare
    assert "well apart: AP 1.00" in rare
    assert "EQ342" in table
    assert "EQ341" in table


def test_codes_on_the_page_exist() -> None:
    assert set(re.findall(r"EQ\d{3}", TEXT)) <= set(CODES)
