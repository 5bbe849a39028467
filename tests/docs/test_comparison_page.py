"""The page on comparison prints what it says, and its studies are studies."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import yaml

from equipoise.comparison.verdict import VERDICTS
from equipoise.studies.grid import settings_of
from equipoise.studies.schema import REFERENCES, parse_study

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_block_prints_what_the_page_says() -> None:
    ((code, output),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, PAGE.name, "exec"), {})  # noqa: S102
    assert printed.getvalue() == output


def test_the_studies_are_studies() -> None:
    screening, full = (yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
    study = parse_study(screening)
    counts = {arm: len(found) for arm, found in settings_of(study).items()}
    assert counts.pop("logistic_regression") == 1
    assert set(counts.values()) == {6}
    assert {len(v) for v in settings_of(parse_study(full)).values()} == {2}


def test_verdicts_and_references_are_all_named() -> None:
    for word in VERDICTS:
        assert f"| {word} |" in TEXT
    assert all(f"`{name}`" in TEXT for name in REFERENCES)
