"""Identity and copies end to end: text stays as written, copies share a part, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise import Split, load_study
from equipoise.cli.main import main
from equipoise.errors import DataWarning, LeakageError
from equipoise.splits import audit_split, feature_contents, find_copies, row_hashes
from equipoise.studies.load import load_data
from equipoise.studies.rows import dataset_contents, file_contents, split_findings, splitter
from equipoise.studies.schema import StratifiedSpec


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copied_table(path: Path, n: int = 390, repeats: int = 610) -> tuple[np.ndarray, np.ndarray]:
    """Write a table of which 61 % of the rows are copies of others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).round(6)
    y = (x[:, 0] + rng.normal(size=n) > 1.2).astype(int)
    more = rng.integers(0, 120, repeats)
    rows = rng.permutation(np.concatenate([np.arange(n), more]))
    frame = pl.DataFrame({f"x{i}": x[rows, i] for i in range(4)} | {"y": y[rows]})
    frame.write_csv(path)
    return x[rows], y[rows]


def crossing(split: Split, x: np.ndarray) -> int:
    """Return how many different rows stand in more than one part."""
    parts = [{tuple(r) for r in x[getattr(split, p)]} for p in ("train", "val", "test")]
    return len(parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])


def test_split_keeps_copies_together_and_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, _ = copied_table(here / "t.csv")
    assert run("split", "t.csv", "--label", "y") == 0
    out = capsys.readouterr().out
    split = Split.load(here / "split" / "split.json")
    assert crossing(split, x) == 0
    told = split.proof["copies"]
    contents = {}
    for row in map(tuple, x):
        contents[row] = contents.get(row, 0) + 1
    many = [n for n in contents.values() if n > 1]
    assert told == {"rows": sum(many), "contents": len(many)}
    assert f"EQ208 warning: {sum(many)} of 1,000 rows" in out
    assert run("split", "t.csv", "--label", "y", "--folds", "4", "-o", "cv", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert [f["code"] for f in body["findings"]] == ["EQ208"]
    for k in range(4):
        assert crossing(Split.load(here / "cv" / f"fold_{k}.json"), x) == 0


def test_a_study_keeps_copies_together_in_every_seed_and_says_so(here: Path) -> None:
    x, _ = copied_table(here / "t.csv")
    study = here / "s.yaml"
    study.write_text("data: {path: t.csv, label: y}\narms: [none]\nseeds: 3\n")
    spec = load_study(study)
    data = load_data(spec)
    _, draw = splitter(StratifiedSpec(), data)
    for seed in range(3):
        split = draw(seed)
        assert crossing(split, x) == 0
        (found,) = split_findings(data, split)
        assert found.code == "EQ208"
    assert not any(f.code == "EQ202" for f in audit_split(split, data.labels, features=x))


def test_copies_in_a_test_table_of_its_own_are_found(here: Path) -> None:
    x, y = copied_table(here / "t.csv")
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | {"y": y})
    frame[:700].write_csv("train.csv")
    frame[700:].write_csv("test.csv")
    study = here / "s.yaml"
    text = "data: {path: train.csv, test_path: test.csv, label: y}\narms: [none]\n"
    study.write_text(text)
    spec = load_study(study)
    data = load_data(spec)
    _, draw = splitter(StratifiedSpec(), data)
    (found,) = split_findings(data, draw(0))
    assert found.code == "EQ202"


def test_a_table_without_copies_is_split_as_ever(here: Path) -> None:
    rng = np.random.default_rng(1)
    pl.DataFrame({"a": rng.normal(size=90), "b": rng.normal(size=90), "y": [0, 0, 1] * 30}) \
        .write_csv("t.csv")  # fmt: skip
    assert run("split", "t.csv", "--label", "y") == 0
    split = Split.load(here / "split" / "split.json")
    assert split.proof["copies"] == {"rows": 0, "contents": 0}
    assert split.proof["groups"] is None
    assert split.method == "stratified"


def test_equal_codes_are_no_copies_and_equal_measurements_are() -> None:
    rng = np.random.default_rng(2)
    answers = rng.integers(0, 3, (500, 4)).astype(float)
    assert len(np.unique(row_hashes(answers))) < 100
    assert feature_contents(answers) is None
    assert feature_contents(np.zeros((50, 3))) is None
    assert feature_contents(rng.integers(0, 5, (100, 1))) is None
    measured = rng.normal(size=(300, 2))
    found = find_copies(feature_contents(np.concatenate([measured, measured[:50]])))
    assert (found.n_rows, found.n_contents) == (100, 50)
    mixed = np.concatenate([answers, rng.normal(size=(500, 1))], axis=1)
    assert find_copies(feature_contents(np.concatenate([mixed, mixed[:9]]))).n_contents == 9


def test_copies_and_groups_are_joined_through_one_another() -> None:
    found = find_copies([1, 2, 2, 3, 4], groups=["a", "a", "b", "b", "c"])
    assert found.units.tolist() == [0, 0, 0, 0, 1]


def test_what_a_split_writes_is_what_it_read(here: Path) -> None:
    rows = [f"0000{i},{i}.50,1e{i},p{i} ,{i % 2}" for i in range(40)]
    (here / "t.csv").write_text("id,price,code,patient,y\n" + "\n".join(rows) + "\n")
    assert run("split", "t.csv", "--label", "y", "--id", "id", "--group", "patient") == 0
    written = [(here / "split" / f"{p}.csv").read_text().splitlines() for p in
               ("train", "val", "test")]  # fmt: skip
    assert {part[0] for part in written} == {"id,price,code,patient,y"}
    assert sorted(line for part in written for line in part[1:]) == sorted(rows)


def class_folder(root: Path) -> None:
    for label in ("cat", "dog"):
        for sub in ("left", "right"):
            for number in range(12):
                file = root / label / sub / f"{number}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{label} {sub} {number}")


def test_copy_keeps_every_file_and_the_path_below_its_class(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folder(here / "data")
    assert run("split", "data", "--copy", "out") == 0
    files = sorted(p for p in (here / "out").rglob("*") if p.is_file())
    assert len(files) == 48
    below = [p.relative_to(here / "out").parts for p in files]
    assert {parts[0] for parts in below} == {"train", "val", "test"}
    assert {parts[1:3] for parts in below} == {
        (c, s) for c in ("cat", "dog") for s in ("left", "right")
    }
    for file, parts in zip(files, below, strict=True):
        assert file.read_text() == f"{parts[1]} {parts[2]} {Path(parts[3]).stem}"
    assert run("split", "data", "--copy", "out", "-o", "again") == 3
    assert "must name a new folder" in capsys.readouterr().err


def test_equal_files_of_a_class_folder_share_a_part(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folder(here / "data")
    for number in range(12):
        for name in ("x", "y", "z"):
            (here / f"data/cat/left/{number}{name}.txt").write_text(f"cat left {number}")
    assert run("split", "data", "--id", "path") in (0, 2)
    assert run("split", "data") == 0
    assert "EQ208" in capsys.readouterr().out
    parts = {}
    for part in ("train", "val", "test"):
        for path in pl.read_csv(here / "split" / f"{part}.csv")["path"].to_list():
            parts.setdefault((here / "data" / path).read_text(), set()).add(part)
    assert all(len(where) == 1 for where in parts.values())
    assert len(set(file_contents([here / "data/cat/left/0.txt", here / "missing"]).tolist())) == 2


def test_data_sets_tell_what_their_items_hold() -> None:
    from equipoise.data import ArrayDataset, Sequences

    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 5))
    found = find_copies(dataset_contents(ArrayDataset(np.concatenate([x, x[:4]]))))
    assert found.n_contents == 4
    steps = [rng.normal(size=(n, 2)) for n in (3, 4, 5)]
    assert find_copies(dataset_contents(Sequences([*steps, steps[1]]))).n_rows == 2
    assert dataset_contents([1, 2]) is None


def test_apply_carries_ids_as_they_are_written(here: Path) -> None:
    rng = np.random.default_rng(4)
    y = (rng.random(200) < 0.3).astype(int)
    ids = [f"{i:07d}" for i in range(200)]
    z = rng.normal(size=200) + 2 * y
    pl.DataFrame({"id": ids, "z": z, "A": y}).write_csv("val.csv")
    words = ("--score-kind", "logits", "--scores", "z", "--id", "id")
    assert run("tune", "val.csv", *words, "--labels", "A", "-o", "rule.json") == 0
    for mark in (",", ";"):
        pl.DataFrame({"id": ids, "z": z}).write_csv("new.csv", separator=mark)
        assert run("apply", "rule.json", "new.csv", *words, "-o", "out.csv") == 0
        assert pl.read_csv("out.csv", infer_schema=False)["id"].to_list() == ids


def test_ids_that_match_only_as_numbers_are_told_and_shared_ones_refused(here: Path) -> None:
    rng = np.random.default_rng(5)
    frame = pl.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "y": [0, 0, 1] * 20})
    ids = [f"{i:05d}" for i in range(60)]
    frame[:40].with_columns(pl.Series("id", ids[:40])).write_csv("train.csv")
    study = here / "s.yaml"
    text = "data: {path: train.csv, test_path: test.csv, label: y, id: id}\narms: [none]\n"
    study.write_text(text)
    frame[40:].with_columns(pl.Series("id", [str(i) for i in range(20)])).write_csv("test.csv")
    with pytest.warns(DataWarning, match=r"but 20 would, trimmed or as numbers \(first: '00000'"):
        load_data(load_study(study))
    frame[40:].with_columns(pl.Series("id", ids[:20])).write_csv("test.csv")
    with pytest.raises(LeakageError, match="20 in common"):
        load_data(load_study(study))


@pytest.mark.filterwarnings("ignore::equipoise.errors.NoEffectWarning")
def test_codings_of_the_command_line_and_of_studies(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(6)
    a = rng.permutation([1] * 30 + [-1] * 60)
    frame = pl.DataFrame({"A": a, "x": rng.normal(size=90), "w": rng.normal(size=90)})
    frame.write_csv("t.csv")
    assert run("diagnose", "t.csv", "--labels", "A") == 3
    assert "Say what -1 means: --negative -1 if absent" in capsys.readouterr().err
    assert run("split", "t.csv", "--labels", "A", "--negative", "-1", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["summary"]["rates"] == [pytest.approx(1 / 3)]
    study = here / "s.yaml"
    study.write_text("data: {path: t.csv, labels: [A], negative: -1}\narms: [none]\n")
    assert load_data(load_study(study)).labels.counts.tolist() == [30]
    study.write_text("data: {path: t.csv, labels: [A], positive: yes}\narms: [none]\n")
    assert run("compare", "s.yaml", "--dry-run") == 2
    assert "put it in quotes" in capsys.readouterr().err
    assert run("compare", "t.csv", "--labels", "A", "--negative", "-1", "--dry-run") == 0
    assert run("init", "t.csv", "--labels", "A", "--negative", "-1", "-o", "new.yaml") == 0
    assert "negative: ['-1']" in (here / "new.yaml").read_text()
    assert load_data(load_study(here / "new.yaml")).labels.counts.tolist() == [30]


def test_empty_label_cells_are_mentioned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(7)
    a, b = (list(map(str, (rng.random(400) < 0.3).astype(int))) for _ in range(2))
    for row in range(67):
        a[3 * row] = ""
    (here / "t.csv").write_text("A,B\n" + "".join(f"{i},{j}\n" for i, j in zip(a, b, strict=True)))
    assert run("split", "t.csv", "--labels", "A,B") == 0
    assert "unknown entries (-1 or empty): 67" in capsys.readouterr().out
    assert run("diagnose", "t.csv", "--labels", "A,B") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "67 of 800 entries (8.4%) are unknown (-1 or empty), most of 'A': 67 of 400" in out
    text = [
        ("A|B" if i == "1" and j == "1" else "A" * (i == "1")) for i, j in zip(a, b, strict=True)
    ]
    (here / "d.csv").write_text("id,y\n" + "".join(f"{i},{t}\n" for i, t in enumerate(text)))
    assert run("diagnose", "d.csv", "--label", "y") == 0
    empty = text.count("")
    assert f"{empty} of 400 rows" in " ".join(capsys.readouterr().out.split())
