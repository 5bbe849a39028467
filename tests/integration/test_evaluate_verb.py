"""``equipoise evaluate`` on files of any framework: sections, figure, npz, findings and exits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.cli.main import app, run_app


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
    titles = ("Region", "Decisions", "Probabilities", "Calibration", "Counts", "by label count")
    for title in titles:
        assert any(line.startswith(title) for line in lines)
        assert title not in short
    assert "macro AP over 3 of 3 labels" in short
    assert "overlap with the rows it was tuned on: ids fine; groups not made" in short


def test_the_figure_is_drawn(folder: Path) -> None:
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--figure", "out/confusion.svg") == 0
    assert "nothing instead" in (folder / "out" / "confusion.svg").read_text()
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--figure", "confusion.png") == 2


@pytest.mark.filterwarnings("ignore:score columns are matched by position")
def test_bad_rows_and_findings_have_their_exits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "rule.json", "val.npz", *NAMED) == 3
    assert "not tuned on" in capsys.readouterr().err
    unnamed = NAMED[:-2]
    assert run("evaluate", "rule.json", "test.npz", *unnamed) == 0
    out = capsys.readouterr().out
    assert "ids not made: no ids here; groups not made: no groups on either side" in out
    assert "contents fine" in out
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trial.json", '{"method": "none", "train_counts": {"A": 15, "B": 60, "C": 150}}'),
        ("counts.json", '{"A": 15, "B": 60, "C": 150, "other": 3}'),
        ("counts.csv", "name,count\nC,150\nA,15\nB,60\n"),
        ("bare.csv", "A,15\nB,60\nC,150\n"),
    ],
)
def test_head_medium_and_tail_come_with_training_counts(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (folder / name).write_text(text)
    words = ["evaluate", "rule.json", "test.npz", *NAMED, "--train-counts", name]
    capsys.readouterr()
    assert run(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("by frequency in training"))
    assert [line.split()[:2] for line in lines[at + 2 : at + 5]] == [
        ["head", "1"],
        ["medium", "1"],
        ["tail", "1"],
    ]
    assert run(*words, "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["groups"]["tail"]["ap"]["value"] == body["per_label"]["A"]["ap"]["value"]
    assert body["evaluated_on"]["group_labels"] == {"head": 1, "medium": 1, "tail": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be a file, got nothing there"),
        ("{", "must hold counts"),
        ("[1, 2]", "must hold counts"),
        ('{"A": 15, "B": 60}', "got none of 'C'"),
        ('{"A": 15, "B": 60, "C": -1}', "a whole count >= 0 for 'C'"),
        ('{"A": 15, "B": 60, "C": 1.5}', "a whole count >= 0 for 'C'"),
    ],
)
def test_wrong_training_counts_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    if text is not None:
        (folder / "c.json").write_text(text)
    code = run("evaluate", "rule.json", "test.npz", *NAMED, "--train-counts", "c.json")
    assert code == 3
    assert message in capsys.readouterr().err
    (folder / "c.csv").write_text("A,15,3\n")
    assert run("evaluate", "rule.json", "test.npz", *NAMED, "--train-counts", "c.csv") == 3
    assert "the line 'A,15,3'" in capsys.readouterr().err


def test_worth_and_region_follow_the_rule_and_the_options(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--net-benefit-at", "0.2", "--max-fpr", "0.2", "--top", "0.05", "--all"]
    capsys.readouterr()
    assert run("evaluate", "rule.json", "test.npz", *NAMED, *asked) == 0
    out = capsys.readouterr().out
    assert "Region: false positive rate up to 0.2, the top 0.05 of rows" in out
    assert "Worth: net benefit at a probability of 0.2" in out
    assert "expected cost" not in out
    assert (
        run("tune", "val.npz", *NAMED, "--objective", "cost", "--costs", "1,9", "-o", "c.json") == 0
    )
    capsys.readouterr()
    assert run("evaluate", "c.json", "test.npz", *NAMED, "--all") == 0
    out = capsys.readouterr().out
    assert "Worth: net benefit at a probability of 0.1;" in out
    assert "expected cost" in out
    for wrong in (["--net-benefit-at", "0"], ["--max-fpr", "1"], ["--top", "2"]):
        assert run("evaluate", "rule.json", "test.npz", *NAMED, *wrong) == 2
        assert f"`{wrong[0]}` must lie in (0, 1)" in capsys.readouterr().err
