"""``equipoise split`` end to end: parts, folds, groups, long tails, proof, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise import Split, read_labels
from equipoise.cli.main import main
from equipoise.splits import audit_split, split_summary


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    hot = (rng.random((600, 4)) < [0.4, 0.1, 0.03, 0.0]).astype(int)
    hot[:2, 3] = 1
    columns = {n: hot[:, i] for i, n in enumerate("ABCD")}
    y = rng.choice(["ant", "bee", "cat"], 600, p=[0.6, 0.3, 0.1])
    more = {"pid": np.arange(600) // 3, "y": y, "text": [f"row {i}" for i in range(600)]}
    pl.DataFrame(columns | more).write_csv("t.csv")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["split", *arguments])
    return int(stop.value.code or 0)


HOT = ("t.csv", "--labels", "A,B,C,D")


def test_parts_are_loadable_complete_and_proven(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*HOT, "--groups", "pid", "--fractions", "0.6,0.2,0.2", "--seed", "3") == 0
    out = capsys.readouterr().out
    assert "groups: 200 of 200 kept together" in out
    assert "missing labels: D from " in out
    assert "deviation of a rate" in out
    split = Split.load(table / "split" / "split.json")
    assert f"fingerprint {split.fingerprint}" in out
    labels = read_labels("t.csv", labels=list("ABCD"), group_column="pid")
    assert split.proof["labels_fingerprint"] == labels.fingerprint
    assert not audit_split(split, labels)
    source = pl.read_csv("t.csv")
    for part in ("train", "val", "test"):
        assert pl.read_csv(table / "split" / f"{part}.csv").equals(source[getattr(split, part)])


def test_folds_are_splits_that_fit_reads(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*HOT, "--folds", "4", "--group", "pid", "-o", "cv", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert sorted(p.name for p in (table / "cv").iterdir()) == [
        *(f"fold_{k}.json" for k in range(4)),
        "folds.csv",
    ]
    folds = [Split.load(table / "cv" / f"fold_{k}.json") for k in range(4)]
    assert [f.fingerprint for f in folds] == [f["fingerprint"] for f in body["folds"]]
    frame = pl.read_csv(table / "cv" / "folds.csv")
    assert frame.columns == [*pl.read_csv("t.csv").columns, "fold"]
    for k, fold in enumerate(folds):
        assert np.flatnonzero(frame["fold"].to_numpy() == k).tolist() == fold.val.tolist()
    assert frame.group_by("pid").agg(pl.col("fold").n_unique())["fold"].max() == 1
    labels = read_labels("t.csv", labels=list("ABCD"), group_column="pid")
    assert body["summary"]["mean_deviation"] == split_summary(folds, labels).mean_deviation
    assert body["summary"]["groups"] == [200, 0]
    assert run("t.csv", "--label", "y", "--folds", "3", "-o", "cv") == 3
    assert "folds of two runs do not mix" in capsys.readouterr().err


def test_a_dry_run_prints_the_same_and_writes_nothing(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*HOT, "--folds", "3", "--dry-run") == 0
    dry = capsys.readouterr().out
    assert dry.endswith("dry run: nothing written\n")
    assert [p.name for p in table.iterdir()] == ["t.csv"]
    assert run(*HOT, "--folds", "3") == 0
    assert capsys.readouterr().out.splitlines()[:-1] == dry.splitlines()[:-1]


def test_a_long_tail_has_its_profile(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tail = ("t.csv", "--label", "y", "--long-tail", "--test-per-class", "6", "--val-per-class", "4")
    assert run(*tail, "--ratio", "5", "--order", "bee,ant,cat", "--total", "60", "--json") == 0
    proof = json.loads(capsys.readouterr().out)["proof"]
    assert proof["counts"]["val"] == [4, 4, 4]
    assert proof["counts"]["test"] == [6, 6, 6]
    ant, bee, cat = proof["counts"]["train"]
    assert ant + bee + cat == 60
    assert bee > ant > cat
    assert run(*tail, "--ratio", "4:2:1", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "rows left out" in out
    assert "deviation" not in out
    assert run(*tail, "--ratio", "5", "--shape", "step", "--dry-run") == 0


def test_class_folders_are_folded(table: Path) -> None:
    for name in ("cat", "dog"):
        (table / "images" / name).mkdir(parents=True)
        for i in range(9):
            (table / "images" / name / f"{i}.png").write_text(f"{name}{i}")
    assert run("images", "--folds", "3", "-o", "cv") == 0
    frame = pl.read_csv("cv/folds.csv")
    assert frame.columns == ["path", "label", "fold"]
    assert frame.group_by("label", "fold").len()["len"].to_list() == [3] * 6


def test_same_seed_same_parts(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prints = []
    for seed in ("0", "0", "1"):
        assert run(*HOT, "--seed", seed, "--dry-run", "--json") == 0
        prints.append(json.loads(capsys.readouterr().out)["fingerprint"])
    assert prints[0] == prints[1] != prints[2]


WRONG = {
    "two ways at once": (["--folds", "5", "--fractions", "0.5,0.5,0"], 2, "Choose one"),
    "one fold": (["--folds", "1"], 2, "`--folds` must be at least 2, got 1"),
    "no number": (["--folds", "x"], 2, "--folds"),
    "no fractions": (["--fractions", "a,b"], 2, "numbers separated by ','"),
    "sum is not one": (["--fractions", "0.5,0.2,0.2"], 2, "sum to 1"),
    "tail option alone": (["--ratio", "3"], 2, "Add --long-tail"),
    "tail without ratio": (["--long-tail"], 2, "E.g. --ratio 20"),
    "unknown shape": (["--long-tail", "--ratio", "5", "--shape", "expo"], 2, "`exp`"),
    "inverted ratio": (["--long-tail", "--ratio", "0.5"], 2, "For a ratio of 1:100 pass 100"),
    "order incomplete": (["--long-tail", "--ratio", "5", "--order", "bee"], 2, "each of the 3"),
    "order misspelt": (["--long-tail", "--ratio", "5", "--order", "be,ant,cat"], 2, "`bee`"),
    "copy with folds": (["--folds", "3", "--copy", "x"], 2, "go with one split"),
    "copy of a table": (["--copy", "x"], 3, "go with a class folder"),
    "unknown group": (["--groups", "nope"], 3, "Known: A, B, C, D, pid"),
    "more folds than rows": (["--folds", "900"], 3, "at most the number of rows = 600"),
    "too long a tail": (["--long-tail", "--ratio", "5", "--test-per-class", "90"], 3, "cat"),
    "grouped tail": (["--long-tail", "--ratio", "5", "--group", "pid"], 3, "no groups"),
    "negative minimum": (["--min-per-part", "-1"], 2, "`--min-per-part` must be >= 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_line_and_leaves_nothing(
    case: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, says = WRONG[case]
    assert run("t.csv", "--label", "y", *arguments) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert [p.name for p in table.iterdir()] == ["t.csv"]


def test_groups_that_confine_a_label_and_a_taken_column_are_bad_data(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rare = np.array([1] * 12 + [0] * 48)
    pl.DataFrame({"rare": rare, "even": np.arange(60) % 2, "fold": np.arange(60) // 6}).write_csv(
        "g.csv"
    )
    named = ("g.csv", "--labels", "rare,even")
    assert run(*named, "--groups", "fold") == 3
    assert "at least 3 groups" in capsys.readouterr().err
    assert run(*named, "--groups", "fold", "--min-per-part", "0", "--dry-run") == 0
    assert run(*named, "--folds", "3") == 3
    assert "hold no column `fold`" in capsys.readouterr().err
    assert not (table / "split").exists()


def test_a_split_is_of_its_rows_in_their_order(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Positions bind nothing: rows that moved are told by ids, and else by the positives."""
    frame = pl.read_csv("t.csv").with_row_index("row")
    frame.write_csv("ids.csv")
    frame.sample(fraction=1.0, shuffle=True, seed=1).write_csv("moved.csv")
    words = ("--labels", "A,B,C,D")
    assert run("ids.csv", *words, "--id", "row", "-o", "with") == 0
    assert run("ids.csv", *words, "-o", "without") == 0
    for split, more in (("with", ("--id", "row")), ("without", ()), ("without", ("--id", "row"))):
        for rows, code in (("ids.csv", 0), ("moved.csv", 3)):
            with pytest.raises(SystemExit) as stop:
                main(["diagnose", rows, *words, *more, "--split", f"{split}/split.json"])
            assert int(stop.value.code or 0) == code
            said = capsys.readouterr().err
            assert ("must be of the data's rows, in their order" in said) == bool(code)
    # A study reads it the same way, and keeps its groups whole.
    study = "data: {{path: {}, labels: [A, B, C, D], drop: [row, text]{}}}\narms: [none]\n"
    study += "split: {{how: file, path: without/split.json}}\n"
    for rows, more, code, message in (
        ("ids.csv", "", 0, ""),
        ("moved.csv", "", 3, "in their order"),
        ("ids.csv", ", group: pid", 3, "must keep the study's groups whole"),
    ):
        Path("study.yaml").write_text(study.format(rows, more))
        with pytest.raises(SystemExit) as stop:
            main(["compare", "study.yaml", "--dry-run"])
        said = capsys.readouterr().err
        assert (int(stop.value.code or 0), message in said) == (code, True), said


def test_parts_of_two_splits_do_not_mix(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*HOT, "-o", "parts") == 0
    assert run(*HOT, "-o", "parts", "--seed", "1") == 0  # all of it is replaced
    assert run(*HOT, "-o", "parts", "--fractions", "1,0,0") == 3
    assert "must hold nothing of another split, got" in capsys.readouterr().err
    assert run(*HOT, "-o", "parts", "--folds", "3") == 3
    assert run(*HOT, "-o", "folds", "--folds", "3") == 0
    assert run(*HOT, "-o", "folds") == 3
    assert "got fold_0.json" in capsys.readouterr().err
