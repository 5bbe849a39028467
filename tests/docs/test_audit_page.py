"""The worked example of the audit prints what its page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from equipoise.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def test_the_worked_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    code, command, output = (
        re.search(rf"```{language}\n(.*?)```", text, re.DOTALL).group(1)  # type: ignore[union-attr]
        for language in ("python", "console", "text")
    )
    (tmp_path / "my_losses.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command)[1:])
    assert not stop.value.code
    assert capsys.readouterr().out.split() == output.split()
