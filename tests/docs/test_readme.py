"""The READMEs are short, their blocks run as a newcomer would paste them, and they lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
}
every_readme = pytest.mark.parametrize("readme", READMES.values(), ids=READMES)


@every_readme
def test_python_blocks_run(
    readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
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


@every_readme
def test_it_is_read_in_one_go(readme: str) -> None:
    assert len(readme.splitlines()) <= 150
    assert not re.search(r"\b(ranking gain|undecided|harmful)\b|排序增益|未定|有害", readme)


@every_readme
def test_every_verb_is_listed(readme: str) -> None:
    from equipoise.cli.main import app

    verbs = {command.name for command in app.registered_commands}
    table = next(t for t in readme.split("\n\n") if t.startswith("|") and "`equipoise`" in t)
    listed = re.findall(r"`(\w+)`", table)
    assert sorted(listed[1:]) == sorted(verbs)
    assert set(re.findall(r"^(?:\.venv/bin/)?equipoise (\w+)", readme, re.MULTILINE)) <= verbs


@every_readme
def test_make_targets_named_exist(readme: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`make (\w[\w-]*)`|^make (\w[\w-]*)", readme, re.MULTILINE))
    targets = {one or other for one, other in named}
    assert {"demo", "test", "docs", "check"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
