"""The page on training prints what it says, and its own loop is short."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from equipoise.experiments.methods import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAIRS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


def test_blocks_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(PAIRS) == TEXT.count("```python") == 6
    scope: dict[str, object] = {}
    for code, output in PAIRS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_the_loop_has_at_most_forty_lines() -> None:
    (loop,) = (code for code, _ in PAIRS if "optimizer.step()" in code)
    assert len(loop.splitlines()) <= 40


def test_every_late_method_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", TEXT, re.MULTILINE)
    stated = {name: said.split(":")[0] for name, said in rows}
    assert stated == {
        m.name: next(iter(m.exactness.values()))
        for m in METHODS.values()
        if m.family in ("schedule", "two_stage")
    }
