"""``equipoise evaluate`` on files of any framework: sections, figure, npz, findings and exits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.cli.exits import run_app
from equipoise.cli.main import app


def run(*arguments: str) -> int:
    return run_app(app, list(arguments))


NAMED = ["--score-kind", "logits", "--scores", "z", "--labels", "y", "--id", "id"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    y = (rng.random((600, 3)) < [0.1, 0.4, 0.5]).astype(np.int8)
    z = (2 * y - 1.5 + rng.normal(size=y.shape)).astype(np.float32)
    ids = np.arange(600)
    names = np.array(["A", "B", "C"])
    for part, rows in (("val", slice(0, 300)), ("test", slice(300, 600))):
        np.savez(f"{part}.npz", y=y[rows], z=z[rows], id=ids[rows], label_names=names, extra=[1, 2])
    columns = {"id": ids} | {n: y[:, i] for i, n in enumerate("ABC")}
    columns |= {f"z{n}": z[:, i] for i, n in enumerate("ABC")}
    pl.DataFrame(columns)[300:].write_csv("test.csv")
    assert run("tune", "val.npz", *NAMED, "-o", "rule.json") == 0
    return tmp_path


def test_npz_and_csv_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    declared = ["--score-kind", "logits", "--scores", "zA,zB,zC", "--labels", "A,B,C", "--id", "id"]
    assert run("evaluate", "rule.json", "test.csv", *declared, "--json") == 0
    second = json.loads(capsys.readouterr().out)
    assert first["names"] == ["A", "B", "C"]
    ap = [body["overall"]["macro"]["ap"]["value"] for body in (first, second)]
    assert ap[0] == pytest.approx(ap[1], abs=1e-6)
    assert first["findings"] == []


def test_the_headline_comes_first_and_the_rest_on_request(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("evaluate", "rule.json", "test.npz", *NAMED) == 0
    short = capsys.readouterr().out
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--all", "--by", "label_count") == 0
    long = capsys.readouterr().out
    lines = [line for line in long.splitlines() if line]
    assert lines[0].startswith("macro AP 0.")
    for title in ("Decisions", "Probabilities", "Calibration", "Counts", "by label count"):
        assert any(line.startswith(title) for line in lines)
        assert title not in short
    assert "macro AP over 3 of 3 labels" in short
    assert "overlap with the rows it was tuned on: none" in short


def test_the_figure_is_drawn(folder: Path) -> None:
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--figure", "out/confusion.svg") == 0
    assert "nothing instead" in (folder / "out" / "confusion.svg").read_text()
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--figure", "confusion.png") == 2


def test_bad_rows_and_findings_have_their_exits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "rule.json", "val.npz", *NAMED) == 3
    assert "not tuned on" in capsys.readouterr().err
    unnamed = NAMED[:-2]
    assert run("evaluate", "rule.json", "test.npz", *unnamed) == 0
    assert "unchecked" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    y = (rng.random((300, 3)) < 0.5).astype(int)
    z = np.where(y == 1, 30.0, -30.0) + rng.normal(size=y.shape)
    np.savez("sure.npz", y=y, z=z, label_names=np.array(["A", "B", "C"]))
    assert run("evaluate", "rule.json", "sure.npz", *unnamed) == 0
    assert run("evaluate", "rule.json", "sure.npz", *unnamed, "--fail-on", "warning") == 4
    assert "EQ401" in capsys.readouterr().err
    z[3, 1] = np.nan
    np.savez("broken.npz", y=y, z=z)
    assert run("evaluate", "rule.json", "broken.npz", *unnamed) == 3
    (folder / "text.npz").write_text("no")
    assert run("evaluate", "rule.json", "text.npz", *unnamed) == 3
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--by", "rows") == 2
