"""The page on decisions prints what it says, and names every objective."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from equipoise import decisions
from equipoise.artifacts.rule import OBJECTIVES

PAGE = Path(__file__).parents[2] / "docs" / "decisions.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_blocks_print_what_the_page_says() -> None:
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
    assert len(pairs) == TEXT.count("```python") == 2
    for code, output in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), {})  # noqa: S102
        assert printed.getvalue() == output


def test_what_it_names_exists() -> None:
    names = {name for known in OBJECTIVES.values() for name in known}
    for word in ("f1", "balanced_accuracy", "top_k", "prevalence", "rescale"):
        assert word in names
        assert f"`{word}`" in TEXT
    for record in re.findall(r"`([A-Z]\w+)\(", TEXT):
        assert hasattr(decisions, record)
