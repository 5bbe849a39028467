"""`equipoise diagnose` on files of every kind, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest

from equipoise.artifacts import Labels, Scores
from equipoise.cli.main import main
from equipoise.decisions import tune

COUNTS = ["--positives", "A=19000,B=65000,C=38000,D=105000", "--rows", "224000"]
SETUP = "{kind: multilabel, pos_weight: [10.79, 2.45, 4.90, 1.13]}\n"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["diagnose", *arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.yaml").write_text(SETUP)
    return tmp_path


def test_every_check_is_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*COUNTS, "--setup", "setup.yaml", "--ignore", "EQ105", "--all") == 0
    out = capsys.readouterr().out
    assert "EQ330 warning: What these weights do to the 0.5 cut" in out
    last = {line.split(":")[0]: line for line in out.splitlines()}
    assert "EQ101" in last["fine"]
    assert "EQ201" in last["not made because no split"]
    assert last["muted"] == "muted: EQ105"
    # The set-up says nothing of class_weight: nothing was looked at, so nothing is fine.
    assert "EQ312" not in last["fine"]


def test_what_answers_comes_first_and_what_was_not_given_stays_away(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = "lr: 1.0e-4, lr_factor: 0.1, epochs: 4"
    weights = "pos_weight: [10.79, 2.45, 4.90, 1.13]"
    (here / "three.yaml").write_text(
        f"a: {{{weights}, {rate}}}\nb: {{{weights}, {rate}}}\nc: {{loss: bce, {rate}}}\n"
    )
    assert run(*COUNTS, "--setup", "three.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "EQ330 warning: What these weights do to the 0.5 cut"
    assert lines[1].startswith("    a, b: with these weights")
    assert sum("EQ308" in line for line in lines) == 1
    assert any(line.startswith("    a, b, c: the learning rate falls") for line in lines)
    assert not any("not made" in line for line in lines)
    usual = lines[lines.index("As usual:") :]
    assert usual[1].startswith("    Mild: within a label")
    assert lines[-1].endswith("--all lists them")
    assert run(*COUNTS, "--setup", "three.yaml", "--format", "html", "-o", "d.html") == 0
    page = (here / "d.html").read_text()
    assert page.index("EQ330") < page.index("EQ308") < page.index("As usual")
    assert "<small>" not in page


def test_formats_hold_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*COUNTS, "--setup", "setup.yaml", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    found = [f["code"] for r in rows for f in r["findings"]]
    assert {"EQ104", "EQ330"} <= set(found)
    assert run(*COUNTS, "--setup", "setup.yaml", "--format", "sarif", "-o", "d.sarif") == 0
    log = json.loads((here / "d.sarif").read_text())
    assert log["version"] == "2.1.0"
    results = log["runs"][0]["results"]
    assert sorted(r["ruleId"] for r in results) == sorted(found)
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in results)
    assert {r["level"] for r in results} <= {"error", "warning", "note", "none"}
    assert run(*COUNTS, "--setup", "setup.yaml", "--format", "html", "-o", "d.html") == 0
    page = (here / "d.html").read_text()
    assert all(code in page for code in found)
    assert "<script" not in page
    assert "src=" not in page
    assert run(*COUNTS, "--format", "pdf") == 2
    assert "text, json" in capsys.readouterr().err.replace("'", "")


def test_a_setup_that_does_not_fit_is_skipped_with_its_reason(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--positives", "A=10,B=50", "--rows", "90", "--setup", "setup.yaml") == 0
    out = capsys.readouterr().out
    why = "not made because `pos_weight` must hold one weight per label, 2, got 4: "
    assert any(line.startswith(why) and "EQ330" in line for line in out.splitlines())


def test_rows_splits_and_images(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (here / "images" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (12, 12), dtype=np.uint8)
            picture = PIL.Image.fromarray(pixels).resize((48, 48))
            picture.save(here / "images" / name / f"{i}.png")
    # One image once more, shrunk, in the other part.
    copy = PIL.Image.open(here / "images" / "cat" / "0.png").resize((40, 40))
    copy.save(here / "images" / "cat" / "z.png")
    labels = Labels.from_array([0] * 7 + [1] * 6, kind="multiclass")
    from equipoise.artifacts import Split

    test = [6, 12]
    train = [i for i in range(13) if i not in test]
    Split.from_parts(train, [], test, n_rows=len(labels), seed=0, method="hand").save("split.json")
    assert run("images", "--split", "split.json") == 0
    assert "EQ205 warning" in capsys.readouterr().out
    frame = pl.DataFrame({"x": [1.0, 2.0, 2.0, 3.0], "y": ["a", "a", "b", "b"]})
    frame.write_csv("rows.csv")
    assert run("rows.csv", "--label", "y", "--split", "split.json") == 3
    assert "`split.json` must be of the data's 4 rows, got 13" in capsys.readouterr().err
    assert run("rows.csv", "--label", "y", "--images", "x") == 2
    assert "`--images` must come with --split, got x alone." in capsys.readouterr().err
    Split.from_parts([0, 2], [], [1, 3], n_rows=4, seed=0, method="hand").save("few.json")
    assert run("rows.csv", "--label", "y", "--split", "few.json", "--images", "nope") == 3
    assert "`--images` must name columns of the table, got 'nope'" in capsys.readouterr().err
    assert run("rows.csv", "--label", "y", "--features") == 0
    assert "EQ108 warning" in capsys.readouterr().out


def test_scores_rules_logs_and_tables(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.2).astype(int)
    z = 2.0 * y + rng.normal(size=2000) - 3
    labels = Labels.from_array(y, kind="multilabel", names=["A"])
    val = Scores.from_arrays(labels, logits=z, split="val", ids=np.arange(2000))
    val.save("val.parquet")
    Scores.from_arrays(labels, logits=z + 2, split="val", ids=np.arange(2000)).save("two.parquet")
    test = Scores.from_arrays(labels, logits=z, split="test", ids=np.arange(2000))
    test.save("test.parquet")
    tune(val).save("rule.json")
    assert run("--scores", "val.parquet", "--other", "two.parquet") == 0
    assert "EQ406 tip" in capsys.readouterr().out
    assert run("--scores", "test.parquet", "--rule", "rule.json", "--fail-on", "error") == 4
    assert "EQ207 error" in capsys.readouterr().out
    rows = [f"{e},{loss},{0.1**e}" for e, loss in enumerate([0.7, 0.5, 0.45, 0.44, 0.44, 0.44])]
    (here / "log.csv").write_text("\n".join(["epoch,loss,lr", *rows]))
    assert run("--log", "log.csv") == 0
    assert "EQ308 warning" in capsys.readouterr().out
    text = "class,recall,precision\na,0.83,0.86\nb,0.71,0.70\nc,0.57,0.44\nd,0.81,0.92\n"
    (here / "classes.csv").write_text(text)
    assert run("--classes", "classes.csv", "--support", "50") == 0
    assert "EQ342 error" in capsys.readouterr().out
    assert run("--log", "log.csv", "--log", "log.csv") == 2
    assert "--log" in capsys.readouterr().err


def test_labels_by_pattern(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pl.DataFrame(
        {"id": [1, 2, 3, 4], "topic_a": [1, 0, 1, 0], "x": [1, 2, 3, 4], "topic_b": [0, 1, 0, 0]}
    ).write_csv("t.csv")
    for labels in ("topic_*", "topic_a,topic_b"):
        assert run("t.csv", "--id", "id", "--labels", labels) == 0
    first, second = capsys.readouterr().out.split("--all lists them")[:2]
    assert first.strip() == second.strip()
    assert run("t.csv", "--labels", "z*") == 2
    assert "`--labels` must match columns with 'z*'" in capsys.readouterr().err


def test_a_rule_and_scores_of_other_labels_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name, label, rows in (("a", "A", 300), ("b", "B", 300), ("few", "A", 200)):
        y = (rng.random(rows) < 0.3).astype(int)
        truth = Labels.from_array(y, kind="multilabel", names=[label])
        Scores.from_arrays(truth, logits=2 * y - 2 + rng.normal(size=rows), split="val").save(
            f"{name}.parquet"
        )
    with pytest.raises(SystemExit):
        main(["tune", "a.parquet", "-o", "rule.json"])
    assert run("--scores", "a.parquet", "--rule", "rule.json") == 0
    assert run("--scores", "b.parquet", "--rule", "rule.json") == 3
    assert "with columns ['A'], got multilabel with ['B']" in capsys.readouterr().err
    for other in ("b", "few"):
        assert run("--scores", "a.parquet", "--other", f"{other}.parquet") == 3
        assert "`--other` must be 300 rows of A, as the scores are" in capsys.readouterr().err
