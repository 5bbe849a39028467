"""`equipoise mine`, from a study and from a table: what is printed, written, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest
import yaml

from equipoise import DecisionRule, Scores
from equipoise.cli.main import main
from equipoise.mining import MinedRows, MistakeBook

Run = Callable[..., tuple[int, str, str]]
FAST = ["--set", "training.epochs=6", "--set", "training.accelerator=cpu", "--set",
        "training.lr=0.02"]  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(w) for w in words])
        seen = capsys.readouterr()
        return int(left.value.code or 0), seen.out, seen.err

    return call


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    n = 1600
    x = rng.normal(size=(n, 3))
    y = (x[:, 0] + 0.4 * rng.normal(size=n) > 1.9).astype(int)
    frame = pl.DataFrame(
        {**{f"x{i}": x[:, i] for i in range(3)}, "y": y, "image": np.arange(n) // 8,
         "key": [f"r{i}" for i in range(n)]}
    )  # fmt: skip
    frame.write_csv(tmp_path / "train.csv")
    named = frame.drop("y", "image", "key")
    kind = np.where(y == 1, "ship", np.where(x[:, 1] > 2.2, "buoy", "sea"))
    named.with_columns(kind=pl.Series(kind)).write_csv(tmp_path / "three.csv")
    named.with_columns(kind=pl.Series(np.where(y, "ship", "sea"))).write_csv(tmp_path / "two.csv")
    return tmp_path


def only(folder: Path) -> Path:
    (place,) = folder.iterdir()
    return place


def test_from_a_table_to_a_rule_and_predictions(table: Path, run: Run) -> None:
    words = ["mine", "train.csv", "--label", "y", "--ratio", "2", "--group", "image", "--id", "key",
             "--set", "mining.rounds=2", "--set", "mining.cap=2", *FAST]  # fmt: skip
    before = sorted(table.rglob("*"))
    code, out, error = run(*words, "--dry-run")
    assert code == 0
    assert out == ""
    assert "positives" in error
    assert "negatives (without 'y')" in error
    assert sorted(table.rglob("*")) == before
    code, out, error = run(*words)
    assert code == 0, error
    place = only(table / "equipoise_runs" / "train")
    assert f"Run: equipoise_runs/train/{place.name}" in out
    assert "of the worst mistakes lie nearer to a labelled positive" in out
    names = {p.name for p in place.iterdir()}
    assert names >= {"book.parquet", "training.parquet", "rule.json", "val.parquet", "mining.json",
                     "growth.svg", "review.html", "review.csv", "round-00"}  # fmt: skip
    book = MistakeBook.load(place / "book.parquet")
    assert book.ids.dtype.kind == "U"
    rows = MinedRows.load(place / "training.parquet")
    assert rows.counts["initial"] == 2 * rows.counts["positive"]
    told = json.loads((place / "mining.json").read_text())
    trial = place / told["trial"]
    assert DecisionRule.load(place / "rule.json").tuned_on["split"] == "val"
    assert Scores.load(trial / "test.parquet").score_kind == "ranking"
    code, shown, error = run("evaluate", place / "rule.json", trial / "test.parquet", "--json")
    assert code == 0, error
    assert "ids fine" in json.loads(shown)["overlap"]
    code, _, error = run(
        "predict", trial, "train.csv", "--rule", place / "rule.json", "-o", "p.csv"
    )
    assert code == 0, error
    assert pl.read_csv("p.csv").height == 1600
    # The same command again trains nothing, and says the same.
    stamps = {p: p.stat().st_mtime_ns for p in place.rglob("model.safetensors")}
    code, again, _ = run(*words)
    assert code == 0
    assert again == out
    assert {p: p.stat().st_mtime_ns for p in place.rglob("model.safetensors")} == stamps
    code, fresh, _ = run(*words, "--fresh")
    assert code == 0
    assert fresh == out
    assert {p: p.stat().st_mtime_ns for p in place.rglob("model.safetensors")} != stamps


def test_classes_have_a_background(table: Path, run: Run) -> None:
    few = ["--set", "mining.rounds=1", *FAST]
    code, out, error = run("mine", "two.csv", "--label", "kind", *few, "--json")
    assert code == 0, error
    assert "negatives (sea)" in error
    found = json.loads(out)
    assert [r["round"] for r in found["rounds"]] == [0, 1]
    assert 0 <= found["review"]["overlap"] <= 1
    assert found["rounds"][0]["counts"]["initial"] == 3 * found["rounds"][0]["counts"]["positive"]
    code, _, error = run("mine", "three.csv", "--label", "kind", *few)
    assert code == 0, error
    assert "negatives (sea)" in error
    place = only(table / "equipoise_runs" / "three")
    assert DecisionRule.load(place / "rule.json").names == ("buoy", "sea", "ship")
    code, _, error = run("mine", "three.csv", "--label", "kind", "--negative", "buoy", "--dry-run")
    assert code == 0
    assert "negatives (buoy)" in error


def test_from_a_study_of_images(table: Path, run: Run) -> None:
    rng = np.random.default_rng(1)
    (table / "images").mkdir()
    lines = []
    for i in range(120):
        y = int(i % 8 == 0)
        pixels = rng.integers(0, 90, (10, 10)) + 120 * y * (rng.random((10, 10)) < 0.6)
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(table / "images" / f"{i}.png")
        lines.append({"file": f"{i}.png", "scene": i // 2, "ship": y})
    pl.DataFrame(lines).write_csv(table / "images.csv")
    study: dict[str, Any] = {
        "title": "ships",
        "data": {"source": "images", "path": "images.csv", "image": "file", "root": "images",
                 "labels": ["ship"], "group": "scene", "mode": "grey"},
        "model": {"name": "mlp", "settings": {"hidden": [8]}},
        "arms": ["focal"],
        "training": {"epochs": 3, "accelerator": "cpu"},
        "mining": {"ratio": 1, "rounds": 1, "cap": 1, "ceiling": 0.05},
    }  # fmt: skip
    (table / "study.yaml").write_text(yaml.safe_dump(study))
    code, _, error = run("mine", "study.yaml", "-o", "out", "--ratio", "2")
    assert code == 0, error
    assert "mlp, focal, 3 epochs" in error
    place = only(table / "out")
    rows = MinedRows.load(place / "round-00" / "training.parquet")
    assert rows.counts["initial"] == 2 * rows.counts["positive"]
    text = (place / "review.html").read_text()
    assert text.count("data:image/png;base64,") >= 2
    assert pl.read_csv(place / "review.csv")["group"].null_count() == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train.csv"], 2, "`train.csv` must be a study (.yaml), or come with --label"),
        (["none.csv", "--label", "y"], 3, "none.csv"),
        (["train.csv", "--label", "q"], 3, "must name columns of the table, got 'q'"),
        (["two.csv", "--label", "kind", "--negative", "see"], 2, "Did you mean `sea`"),
        (["two.csv", "--label", "kind", "--ratio", "0"], 2, "`--ratio` must be > 0, got 0"),
        (["two.csv", "--label", "kind", "--set", "mining.round=1"], 2, "Did you mean `rounds`"),
        (["two.csv", "--label", "kind", "--set", "minig.rounds=1"], 2, "unknown key `minig`"),
        (
            ["study.yaml", "--label", "kind"],
            2,
            "`--label` of a table cannot be given",
        ),
        (["folds.yaml"], 2, "`folds` must be left out of a study of mining"),
        (["arms.yaml"], 2, "`arms` must hold one method, got 2"),
        (["two.csv", "--label", "kind", "--set", "arms=[ohem]", *FAST], 2, "one value per row"),
    ],
)
def test_wrong_use_is_one_line(
    table: Path, run: Run, words: list[str], code: int, message: str
) -> None:
    data = {"data": {"path": "two.csv", "label": "kind"}, "model": "mlp"}
    for name, more in (("study", {}), ("folds", {"folds": 3}), ("arms", {"arms": ["none"] * 2})):
        (table / f"{name}.yaml").write_text(yaml.safe_dump({**data, **more}))
    found, out, error = run("mine", *words)
    assert found == code, error
    assert out == ""
    assert message in error
    assert "Traceback" not in error


def test_several_labels_are_refused(table: Path, run: Run) -> None:
    frame = pl.read_csv("train.csv").with_columns(z=1 - pl.col("y"))
    frame.write_csv("train.csv")
    code, _, error = run("mine", "train.csv", "--labels", "y,z", "--id", "key")
    assert code == 3
    assert "Mine one at a time: --labels y." in error
