"""The README is short, its blocks run as a newcomer would paste them, and it leads on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 4
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)  # noqa: S102
    printed = capsys.readouterr().out.strip().splitlines()
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", printed[0])
    assert re.match(r"EQ\d{3} ", printed[1])
    assert any(line.startswith("EQ503 ") for line in printed)
    assert printed[-1].startswith("an output of 0.5 means tensor([0.")
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_it_is_read_in_one_go() -> None:
    assert len(README.splitlines()) <= 150
    assert not re.search(r"\b(ranking gain|undecided|harmful)\b", README)


def test_every_verb_is_listed() -> None:
    from equipoise.cli.main import app

    verbs = {command.name for command in app.registered_commands}
    table = README[README.index("| to | verbs") :].split("\n\n")[0]
    listed = re.findall(r"`(\w+)`", table)
    assert sorted(listed[1:]) == sorted(verbs)
    assert set(re.findall(r"^(?:\.venv/bin/)?equipoise (\w+)", README, re.MULTILINE)) <= verbs


def test_make_targets_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`make (\w[\w-]*)`|^make (\w[\w-]*)", README, re.MULTILINE))
    targets = {one or other for one, other in named}
    assert {"demo", "test", "docs", "check"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
