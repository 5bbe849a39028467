"""The worked examples of the audit print what their page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from equipoise.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def test_the_worked_examples_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", code).group(1)  # type: ignore[union-attr]
        (tmp_path / name).write_text(code, encoding="utf-8")
        if name.startswith("make_"):
            exec(compile(code, name, "exec"), {})  # noqa: S102
    commands = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    outputs = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert len(commands) == len(outputs) == 2
    for command, output in zip(commands, outputs, strict=True):
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(command)[1:])
        assert not stop.value.code
        assert capsys.readouterr().out.split() == output.split()
