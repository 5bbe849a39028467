"""The README's Python blocks run, in order, as a newcomer would paste them."""

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
    assert len(blocks) == 3
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)  # noqa: S102
    printed = capsys.readouterr().out.strip().splitlines()
    assert all(re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", line) for line in printed[-3:-1])
    assert re.fullmatch(r"\[[\d. ]+\] \(('[A-D]'(, )?){4}\)", printed[-1])
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "rule.json"]


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).is_file(), target


def test_every_verb_is_listed() -> None:
    from equipoise.cli.main import app

    verbs = {command.name for command in app.registered_commands}
    listed = set(re.findall(r"^\| `equipoise (\w+)", README, flags=re.MULTILINE))
    assert listed == verbs


def test_make_targets_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w[\w-]*)", README):
        if target in ("demo", "test", "help", "check"):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
