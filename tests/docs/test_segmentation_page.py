"""The page on dense targets runs as it stands, and counts the lines that it asks for."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "segmentation.md"


NUMBER = r"\d[\d,]*(?:\.\d+)?"


def words(text: str) -> str:
    """Return a text without its numbers: those after training differ between processors."""
    return re.sub(NUMBER, "#", text)


def test_the_page_on_segmentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    space: dict[str, Any] = {"__name__": "page"}
    said = ""
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)
    for code, shown in blocks:
        with warnings.catch_warnings():
            # Lightning's advice on workers.
            warnings.filterwarnings("ignore", module="lightning")
            exec(compile(code, PAGE.name, "exec"), space)  # noqa: S102
        printed = capsys.readouterr().out
        if "print(" in code:
            assert words(shown) == words(printed)
            said += printed
    assert said.startswith("[25344, 24768, 576]\n")
    before, after = (float(re.search(rf"{name}: IoU of cracks ({NUMBER})", said)[1])
                     for name in ("argmax", "rule"))  # fmt: skip
    assert after > before + 0.1
    flagged = float(re.search(rf"images with a crack: F1 ({NUMBER})", said)[1])
    assert flagged > 0.8
    marked = re.findall(r"# \((\d)\)", "".join(code for code, _ in blocks))
    assert marked == [*"123456"]
    assert "**six statements**" in text
    rare = space["table"].per_label["crack"]
    assert space["table"].n_rows == 64 * 22 * 24
    assert rare["iou"].n == 64
    assert rare["iou"].n_positive == 32
    share = space["crack"]["calibration_ratio"]
    assert 0.7 < share.value < 1.3
    assert rare["iou"].low > 0.35
