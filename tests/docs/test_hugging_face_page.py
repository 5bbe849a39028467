"""The page on the Hugging Face Trainer runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "hugging_face.md"


def test_the_hugging_face_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    space: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), space)  # noqa: S102
    printed = capsys.readouterr().out
    tuned = float(re.search(r"^(0\.\d+) ", printed, re.MULTILINE).group(1))
    plain = float(re.search(r"^(0\.\d+) at the largest", printed, re.MULTILINE).group(1))
    assert tuned > plain + 0.02
    share = float(re.search(r"what is there: ([\d.]+)", printed).group(1))
    assert 0.9 < share < 1.1
    assert re.search(r"^rare 0\.\d+ True$", printed, re.MULTILINE)
    # Three lines are what a user adds, and they are numbered.
    assert len(re.findall(r"  # [123]\b", text)) == 3
