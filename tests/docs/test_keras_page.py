"""The page on Keras prints what it says, and names what there is."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import keras
import pytest

from equipoise.keras import data, losses, metrics

PAGE = Path(__file__).parents[2] / "docs" / "keras.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAIRS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


def test_blocks_print_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(PAIRS) == TEXT.count("```python") == 4
    scope: dict[str, object] = {}
    for code, output in PAIRS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), scope)  # noqa: S102
        assert printed.getvalue() == output


def test_it_names_every_loss_metric_and_draw() -> None:
    bases = {"Loss", "LabelLoss", "ClassLoss"}
    for name in {*losses.__all__, *metrics.__all__, *data.__all__} - bases:
        assert f"`{name}" in TEXT, name


def test_it_was_written_for_the_keras_that_is_pinned() -> None:
    pins = (PAGE.parents[1] / "constraints.txt").read_text(encoding="utf-8")
    assert f"keras=={keras.__version__}" in pins
    assert f"as seen in {keras.__version__}" in TEXT
