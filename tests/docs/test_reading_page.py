"""The page on reading tables prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from equipoise._core.codes import CODES

PAGE = Path(__file__).parents[2] / "docs" / "reading.md"
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


def test_codes_and_options_on_the_page_exist() -> None:
    from equipoise.cli.main import app, options_of

    assert set(re.findall(r"EQ\d{3}", TEXT)) <= set(CODES)
    assert set(re.findall(r"`(--[a-z-]+)`", TEXT)) <= set(options_of(app, "split").values()) | set(
        options_of(app, "tune").values()
    )
