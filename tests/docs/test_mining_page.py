"""The page on mining prints what it says, and its tables are those of the committed results."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
import yaml

from equipoise.mining import MiningOptions
from equipoise.studies.schema import parse_study

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mining.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAIRS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
RESULTS = ROOT / "benchmarks" / "results"


def test_blocks_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(PAIRS) == TEXT.count("```python") == 5
    scope: dict[str, object] = {}
    for code, output in PAIRS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_the_yaml_is_a_study() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    study = parse_study(yaml.safe_load(block), verb="mine")
    assert MiningOptions.from_mapping(study.mining).cap == 3


def test_every_setting_has_its_row() -> None:
    part = TEXT[TEXT.index("| setting |") : TEXT.index("`FitTrainer(model)`")]
    named = set(re.findall(r"`(\w+)`", part.replace("|", "\n")))
    assert {f.name for f in dataclasses.fields(MiningOptions)} <= named


def test_tables_are_those_of_the_committed_results() -> None:
    digits = json.loads((RESULTS / "2026-11-28-mining-digits.json").read_text())
    for row in digits["rows"]:
        for part in ("windows", "mosaics", "window_precision", "mosaic_precision"):
            value, low, high = row[part]
            assert f"{value:.3f} ({low:.3f}-{high:.3f})" in TEXT, row["arm"]
    speed = json.loads((RESULTS / "2026-11-28-mining.json").read_text())
    for row in speed["rows"]:
        if row["part"] in ("pool", "large"):
            assert f"| {row['case']} | {row['value']:.2f} {row['unit']} |" in TEXT


def test_the_picture_is_there() -> None:
    assert (ROOT / "docs" / "mining.svg").read_text(encoding="utf-8").count("<svg") == 1
