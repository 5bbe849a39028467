"""The page on training prints what it says, and its own loop is short."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from equipoise import TrainingOptions
from equipoise.methods import METHODS
from equipoise.studies.schema import FileData, MadeData, parse_study

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAIRS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


def test_blocks_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(PAIRS) == TEXT.count("```python") == 7
    scope: dict[str, object] = {}
    for code, output in PAIRS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_the_yaml_is_a_study() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    study = parse_study(yaml.safe_load(block), verb="train")
    TrainingOptions.from_mapping(study.training)
    parts = (*get_args(FileData), *get_args(MadeData))
    for (source,) in (get_args(part.model_fields["source"].annotation) for part in parts):
        assert re.search(rf"^\| .*`{source}`.* \|", TEXT, re.MULTILINE), source


def test_the_loop_has_at_most_forty_lines() -> None:
    (loop,) = (code for code, _ in PAIRS if "optimizer.step()" in code)
    assert len(loop.splitlines()) <= 40


def test_every_late_method_has_its_row() -> None:
    late = TEXT[TEXT.index("| method |") :]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", late, re.MULTILINE)
    stated = {name: said.split(":")[0] for name, said in rows}
    assert stated == {
        m.name: next(iter(m.exactness.values()))
        for m in METHODS.values()
        if m.family in ("schedule", "two_stage")
    }
