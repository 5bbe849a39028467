"""The page on metrics prints what it says, and names functions that exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from equipoise import metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_blocks_print_what_the_page_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(pairs) == text.count("```python") == 4
    scope: dict[str, object] = {}
    for code, output in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_it_names_functions_that_exist() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Everything")[0]
    named = re.findall(r"`([a-z_]+)`", table)
    assert len(named) > 8
    assert set(named) <= set(metrics.__all__)
