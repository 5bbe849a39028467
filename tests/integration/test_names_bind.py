"""Names bind, positions do not: score columns, classes, labels and npz names, verb by verb."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import DecisionRule
from equipoise.cli.main import app, run_app

CLASSES = ("bird", "cat", "dog")


def run(*words: str) -> int:
    return run_app(app, list(words))


def table(path: str, seed: int, prefix: str = "", rename: dict[str, str] | None = None) -> None:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
    z = rng.normal(size=(300, 3)) + 2.5 * np.eye(3)[y]
    shown = [(rename or {}).get(CLASSES[i], CLASSES[i]) for i in y]
    columns = {"id": [f"{path}{i}" for i in range(300)], "y": shown}
    columns |= {f"{prefix}{name}": z[:, i].tolist() for i, name in enumerate(CLASSES)}  # type: ignore[dict-item]
    pl.DataFrame(columns).write_csv(path)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def balanced_accuracy(capsys: pytest.CaptureFixture[str], columns: str) -> float:
    capsys.readouterr()
    words = ["--score-kind", "logits", "--scores", columns, "--label", "y", "--id", "id", "--json"]
    assert run("evaluate", "rule.json", "test.csv", *words) == 0
    body = json.loads(capsys.readouterr().out)
    return float(body["overall"]["overall"]["balanced_accuracy"]["value"])


@pytest.mark.parametrize("prefix", ["", "p_"])
def test_score_columns_in_another_order_are_the_same_columns(
    capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    for path, seed in (("val.csv", 0), ("test.csv", 1)):
        table(path, seed, prefix)
    ways = [
        ",".join(f"{prefix}{name}" for name in order)
        for order in (("dog", "cat", "bird"), ("bird", "cat", "dog"))
    ]
    words = ["--score-kind", "logits", "--label", "y", "--id", "id"]
    assert run("tune", "val.csv", "--scores", ways[0], *words, "-o", "rule.json") == 0
    rule = DecisionRule.load("rule.json")
    assert set(rule.names) == set(CLASSES)
    assert rule.score_names == tuple(f"{prefix}{name}" for name in rule.names)
    found = [balanced_accuracy(capsys, way) for way in ways]
    assert found[0] == found[1]
    assert found[0] > 0.8
    decided = []
    for way in ways:
        only = ["--scores", way, "--score-kind", "logits", "--id", "id"]
        assert run("apply", "rule.json", "test.csv", *only, "-o", "out.csv") == 0
        decided.append(pl.read_csv("out.csv"))
    assert decided[0].equals(decided[1])


def test_a_renamed_class_does_not_shift_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    table("val.csv", 0, rename={"bird": "zebra"})
    words = ["--score-kind", "logits", "--scores", "bird,cat,dog", "--label", "y"]
    assert run("tune", "val.csv", *words) == 3
    assert "got ['zebra']" in capsys.readouterr().err
    assert not Path("rule.json").exists()


@pytest.mark.filterwarnings("default:score columns are matched by position")
def test_columns_that_share_no_name_are_taken_in_order_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table("val.csv", 0)
    frame = pl.read_csv("val.csv").rename({"bird": "s1", "cat": "s2", "dog": "s3"})
    frame.write_csv("val.csv")
    words = ["--score-kind", "logits", "--scores", "s1,s2,s3", "--label", "y"]
    assert run("tune", "val.csv", *words, "-o", "rule.json") == 0
    said = capsys.readouterr()
    assert "score columns: s1 -> bird, s2 -> cat, s3 -> dog" in said.out
    assert "by position, for no name agrees: s1 for bird" in said.err
    assert DecisionRule.load("rule.json").score_names == ("s1", "s2", "s3")
    only = ["--scores", "s3,s2,s1", "--score-kind", "logits", "--id", "id"]
    assert run("apply", "rule.json", "val.csv", *only, "-o", "out.csv") == 0
    flipped = pl.read_csv("out.csv")
    only[1] = "s1,s2,s3"
    assert run("apply", "rule.json", "val.csv", *only, "-o", "out.csv") == 0
    assert flipped.equals(pl.read_csv("out.csv"))


def test_a_part_of_the_names_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    table("val.csv", 0)
    words = ["--score-kind", "logits", "--label", "y"]
    assert run("tune", "val.csv", "--scores", "bird,cat,dog", *words, "-o", "rule.json") == 0
    pl.read_csv("val.csv").rename({"cat": "lynx"}).write_csv("new.csv")
    only = ["--scores", "bird,lynx,dog", "--score-kind", "logits"]
    assert run("apply", "rule.json", "new.csv", *only, "-o", "out.csv") == 3
    assert "all or none of them" in capsys.readouterr().err
    assert not Path("out.csv").exists()


def arrays(path: str, names: tuple[str, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random((400, 3)) < [0.1, 0.3, 0.5]).astype(np.int8)
    z = 2.5 * y - 1.5 + rng.normal(size=y.shape)
    order = ["ABC".index(name) for name in names]
    np.savez(path, y=y[:, order], z=z[:, order], label_names=np.array(names))


def test_names_of_an_npz_file_bind(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--score-kind", "logits", "--scores", "z", "--labels", "y"]
    arrays("val.npz", ("A", "B", "C"), 0)
    assert run("tune", "val.npz", *words, "-o", "rule.json") == 0
    shares = []
    for names in (("A", "B", "C"), ("C", "B", "A")):
        arrays("test.npz", names, 1)
        capsys.readouterr()
        assert run("evaluate", "rule.json", "test.npz", *words, "--json") == 0
        body = json.loads(capsys.readouterr().out)
        shares.append({n: body["per_label"][n]["prevalence"]["value"] for n in "ABC"})
    assert shares[0] == shares[1]
    assert shares[0]["A"] < 0.2 < shares[0]["B"] < 0.4 < shares[0]["C"]


@pytest.mark.filterwarnings("default:score columns are matched")
def test_label_columns_in_another_order_are_the_same_labels(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((400, 2)) < [0.1, 0.5]).astype(np.int8)
    z = 2.5 * y - 1.5 + rng.normal(size=y.shape)
    for path, rows in (("val.csv", slice(0, 200)), ("test.csv", slice(200, 400))):
        columns = {"A": y[rows, 0], "B": y[rows, 1], "zA": z[rows, 0], "zB": z[rows, 1]}
        pl.DataFrame(columns).write_csv(path)
    words = ["--score-kind", "logits", "--scores", "zB,zA"]
    assert run("tune", "val.csv", *words, "--labels", "A,B", "-o", "rule.json") == 0
    assert "what their names share: zA for A, zB for B" in capsys.readouterr().err
    found = []
    for order in ("A,B", "B,A"):
        capsys.readouterr()
        assert run("evaluate", "rule.json", "test.csv", *words, "--labels", order, "--json") == 0
        found.append(json.loads(capsys.readouterr().out)["per_label"])
    assert found[0] == found[1]
    assert found[0]["A"]["auroc"]["value"] > 0.9


def test_scores_of_another_kind_than_declared_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table("val.csv", 0)
    words = ["--scores", "bird,cat,dog"]
    declared = [*words, "--score-kind", "logits"]
    assert run("tune", "val.csv", *declared, "--label", "y", "-o", "rule.json") == 0
    assert run("apply", "rule.json", "val.csv", *words, "--score-kind", "probabilities") == 3
    assert "must lie in [0, 1]" in capsys.readouterr().err
    z = pl.read_csv("val.csv").select(CLASSES).to_numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    pl.DataFrame(dict(zip(CLASSES, p.T, strict=True))).write_csv("p.csv")
    assert run("apply", "rule.json", "p.csv", *declared) == 3
    assert "look like probabilities" in capsys.readouterr().err
    assert not Path("decisions.parquet").exists()


def test_shares_may_be_given_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    table("val.csv", 0)
    words = ["--score-kind", "logits", "--label", "y", "--objective", "rescale"]
    offsets = []
    for columns, shares in (
        ("dog,cat,bird", "bird=0.7,cat=0.2,dog=0.1"),
        ("bird,cat,dog", "dog=0.1,bird=0.7,cat=0.2"),
        ("bird,cat,dog", "0.7,0.2,0.1"),
    ):
        given = ["--scores", columns, "--train-prior", shares, "-o", "rule.json"]
        assert run("tune", "val.csv", *words, *given) == 0
        rule = DecisionRule.load("rule.json")
        assert rule.class_offset is not None
        offsets.append(dict(zip(rule.names, rule.class_offset.tolist(), strict=True)))
    assert offsets[0] == offsets[1] == offsets[2]
    capsys.readouterr()
    for shares in ("bird=0.7,cat=0.3", "bird=0.7,0.2,0.1"):
        given = ["--scores", "bird,cat,dog", "--train-prior", shares]
        assert run("tune", "val.csv", *words, *given) == 2
        assert "`--train-prior` must" in capsys.readouterr().err


def test_ids_that_are_alike_only_as_numbers_are_said_and_not_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path, seed in (("val.csv", 0), ("test.csv", 1)):
        table(path, seed)
        frame = pl.read_csv(path).with_row_index("n", offset=1)
        ids = [f"{n:04d}" if path == "val.csv" else f"{n}.0" for n in frame["n"]]
        frame.with_columns(pl.Series("id", ids)).write_csv(path)
    words = ["--score-kind", "logits", "--scores", "bird,cat,dog", "--label", "y", "--id", "id"]
    assert run("tune", "val.csv", *words, "-o", "rule.json") == 0
    assert run("evaluate", "rule.json", "test.csv", *words) == 0
    said = capsys.readouterr().out
    assert "ids found: 300 of 300 ids are equal but for outer spaces or the way a number" in said


def test_groups_that_are_alike_but_for_spaces_are_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path, seed in (("val.csv", 0), ("test.csv", 1)):
        table(path, seed)
        groups = [f"p{i // 4}" + " " * (path == "test.csv") for i in range(300)]
        pl.read_csv(path).with_columns(pl.Series("who", groups)).write_csv(path)
    words = ["--score-kind", "logits", "--scores", "bird,cat,dog", "--label", "y", "--id", "id"]
    words += ["--group", "who"]
    assert run("tune", "val.csv", *words, "-o", "rule.json") == 0
    assert run("evaluate", "rule.json", "test.csv", *words) == 0
    said = capsys.readouterr()
    assert "groups found: 75 of 75 groups are equal but for outer spaces" in said.out
    assert "EQ207 error" in said.err
