"""Where no terminal is, progress comes in lines: seldom, with the time left, to stderr."""

from __future__ import annotations

import pytest

from equipoise.cli import console


def test_lines_come_seldom_and_say_how_long_it_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress() as show:
        for done in range(20):
            show("training", done, 20)
            now[0] += 4.0
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 6
    assert lines[0] == "training: 3 of 20 after 12 s, 68 s left"
    assert lines[-1] == "training: 18 of 20 after 72 s, 8 s left"


def test_what_is_over_at_once_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as show:
        show("training", 0, 2)
        show("training", 2, 2)
    assert capsys.readouterr().err == ""
