"""``equipoise tune`` end to end: every objective from the command line, one line per mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from equipoise.artifacts import DecisionRule, Labels, Scores
from equipoise.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split, share in (("val", 0.1), ("oof", 0.1), ("new", 0.3)):
        y = (rng.random((1500, 2)) < [share, 0.2]).astype(np.int8)
        z = 2 * (rng.normal(size=y.shape) + 2 * y) - 2 + np.log([0.1 / 0.9, 0.2 / 0.8])
        labels = None if split == "new" else Labels.from_array(y, kind="multilabel")
        kind = None if labels is not None else "multilabel"
        made = Scores.from_arrays(labels, logits=z, split=split, kind=kind)  # type: ignore[arg-type]
        made.save(f"{split}.parquet")
    y = rng.choice(3, 600, p=[0.6, 0.3, 0.1])
    labels = Labels.from_array(y, kind="multiclass")
    z = rng.normal(size=(600, 3)) + 2 * np.eye(3)[y]
    Scores.from_arrays(labels, logits=z, split="val").save("classes.parquet")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["tune", *arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("file", "options", "measure"),
    [
        ("val.parquet", "", "f1"),
        ("oof.parquet", "--objective f2", "f2"),
        ("val.parquet", "--objective cost --costs 1,20", "cost"),
        ("val.parquet", "--objective cost --costs 1,20;1,5", "cost"),
        ("val.parquet", "--objective precision --at-least 0.8 --confidence 0.9", "precision"),
        ("val.parquet", "--objective recall --at-least 0.8", "recall"),
        ("val.parquet", "--objective net_benefit --threshold-probability 0.2", "net_benefit"),
        ("val.parquet", "--objective mcc --calibration offset", "mcc"),
        ("val.parquet", "--objective prevalence --target-prior 0.2,0.3", "f1"),
        ("val.parquet", "--objective budget --budget 0.1", "f1"),
        ("val.parquet", "--objective top_k --k 1", "f1"),
        ("val.parquet", "--objective rescale --train-prior 0.1,0.2", "f1"),
        ("val.parquet", "--target-prior em --deployment new.parquet", "f1"),
        ("classes.parquet", "--objective macro_f1 --free-offsets --calibration vector", "f1"),
        ("classes.parquet", "--objective cost --costs 0,1,1;5,0,1;9,9,0", "cost"),
    ],
)
def test_objectives_from_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, options: str, measure: str
) -> None:
    assert run(file, "-o", "rule.json", *options.split()) == 0
    printed = capsys.readouterr().out
    assert f"{measure} claimed" in printed
    assert printed.rstrip().endswith("Rule: rule.json")
    rule = DecisionRule.load(folder / "rule.json")
    assert rule.measure == measure
    assert rule.apply(Scores.load(folder / file)).predictions.shape[0] in (600, 1500)


def test_json_holds_what_the_rule_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("val.parquet", "-o", "r.json", "--objective", "recall", "--at-least", "0.7",
               "--json") == 0  # fmt: skip
    body = json.loads(capsys.readouterr().out)
    assert body["parameters"] == {"at_least": 0.7}
    assert body["measure"] == "recall"
    assert "id_hashes" not in body


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ("val.parquet --objective precision", 2, "`--at-least` must be given"),
        ("val.parquet --objective f1 --k 3", 2, "`--k` must be left out"),
        ("val.parquet --objective cost --costs 1,x", 2, "`--costs` must be FALSE_ALARM,MISS"),
        ("val.parquet --objective cost --costs 1;2,3", 2, "rows of one length"),
        ("val.parquet --objective cost --costs 1,2,3", 3, "have shape (2,)"),
        ("val.parquet --train-prior a", 2, "`--train-prior` must be numbers"),
        ("val.parquet --target-prior em", 2, "`--deployment` must be scores of split 'new'"),
        ("val.parquet --target-prior em --deployment oof.parquet", 2, "split 'oof'"),
        ("val.parquet --target-prior em --deployment gone.parquet", 3, "gone.parquet"),
        ("val.parquet --calibration vector", 2, "`--calibration` must be one of"),
        ("classes.parquet --calibration isotonic", 2, "`--calibration` must be one of"),
        ("classes.parquet --objective f1", 2, "`--objective` must be one of"),
        ("new.parquet", 3, "must be 'val' or 'oof'"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], options: str, code: int, text: str
) -> None:
    assert run(*options.split()) == code
    shown = capsys.readouterr()
    assert text in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    printed = capsys.readouterr().out
    assert "Example: equipoise tune val.parquet" in printed
    for option in ("--at-least", "--costs", "--budget", "--target-prior", "--calibration"):
        assert option in printed
