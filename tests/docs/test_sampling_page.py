"""The sampling page prints what it says, and its tables come from the rules."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sampling.md"


def test_blocks_print_what_the_page_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(pairs) == text.count("```python") == 6
    scope: dict[str, object] = {}
    for code, output in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_the_tables_are_generated_where_the_page_includes_them() -> None:
    assert "{include} sampling_rules.md" in PAGE.read_text(encoding="utf-8")
    made = (PAGE.parent / "pages.py").read_text(encoding="utf-8")
    assert '"sampling_rules.md": rule_tables()' in made
