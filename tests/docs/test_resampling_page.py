"""The documented resampling runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from equipoise.sampling import resample

PAGE = Path(__file__).parents[2] / "docs" / "resampling.md"


def test_resampling_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, PAGE.name, "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out.splitlines()
    numbers = [[int(n) for n in re.findall(r"\d+", line)] for line in printed]
    before, after = numbers[0][:3], numbers[0][3:]
    assert after[2] > before[2]
    assert numbers[1][3] == before[2]


def test_every_resampler_stands_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in resample.__all__:
        assert f"`{name}`" in text or name == "Resampled", name
