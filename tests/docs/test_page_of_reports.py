"""The page on reports prints what it says, and names what there is."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from typer.main import get_command

import equipoise
from equipoise.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "report.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_blocks_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
    assert len(pairs) == TEXT.count("```python") == 1
    for code, output in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), {})  # noqa: S102
        assert printed.getvalue() == output


def test_options_and_pictures_exist() -> None:
    command = get_command(app).commands["report"]  # type: ignore[attr-defined]
    options = {option for p in command.params for option in p.opts}
    for option in ("--rule", "--scores", "--force"):
        assert option in options
        assert option in TEXT
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (PAGE.parent / picture).stat().st_size > 10_000


def test_controls_are_called_as_on_the_page() -> None:
    templates = Path(equipoise.__file__).parent / "report" / "templates"
    words = (templates / "explorer.html.j2").read_text(encoding="utf-8")
    table = TEXT.split("| control |")[1].split("\n\n")[0]
    names = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    for name in [n for n in names if n != "---"]:
        assert name.replace("many % are", "many % of cases are") in words
