"""Small things that a stranger stumbles over: the order of arguments, images, what is advised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
import yaml

from equipoise.artifacts import DecisionRule, Labels, Scores
from equipoise.cli.main import main
from equipoise.errors import UsageError
from equipoise.models import make_model


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def pictures(here: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for place, (name, n) in enumerate((("cat", 30), ("dog", 20), ("eel", 10))):
        (here / "images" / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 100, (8, 8, 3), dtype=np.uint8)
            pixels[..., place] += 100
            PIL.Image.fromarray(pixels).save(here / "images" / name / f"{i}.png")
            rows.append({"file": f"images/{name}/{i}.png", "kind": name})
    pl.DataFrame(rows).write_csv(here / "images.csv")
    return here


def test_arguments_in_the_wrong_order_are_not_called_damaged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for part in ("val", "test"):
        y = (rng.random(300) < 0.3).astype(int)
        ids = [f"{part}{i}" for i in range(300)]
        labels = Labels.from_array(y, kind="multilabel", names=["a"], ids=ids)
        logits = 2 * y - 2 + rng.normal(size=300)
        Scores.from_arrays(labels, logits=logits, split=part).save(f"{part}.parquet")  # type: ignore[arg-type]
    assert run("tune", "val.parquet", "-o", "rule.json") == 0
    for verb in ("evaluate", "apply"):
        assert run(verb, "test.parquet", "rule.json", "-o", "out.json") == 3
        error = capsys.readouterr().err
        assert "got a Parquet file. Give the file of that kind, and the arguments in" in error
        assert "damaged" not in error


def test_images_begin_with_init_from_a_folder_or_a_column(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ["images.csv", "--label", "kind", "--image", "file"]
    for words, source in ((["images"], "image_folder"), (table, "images")):
        assert run("init", *words, "-o", f"{source}.yaml") == 0
        assert "60 rows, images, 3 classes" in capsys.readouterr().out
        study = yaml.safe_load(Path(f"{source}.yaml").read_text())
        assert study["data"]["source"] == source
        assert study["model"] == "resnet32"
        for asked in ([f"{source}.yaml"], words):
            assert run("compare", *asked, "--dry-run", "--set", "seeds=2") == 0
            assert "to train" in capsys.readouterr().err
            assert not Path("equipoise_runs").exists()  # a plan writes nothing


def test_a_table_of_images_says_how_to_begin(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", "images.csv", "--label", "kind") == 3
    assert "If they are paths of images, say --image COLUMN" in capsys.readouterr().err
    assert run("train", "images.csv") == 2
    assert "A table is described by a study: `equipoise init TABLE`" in capsys.readouterr().err


def test_images_that_are_not_there_are_said_once(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.read_csv("images.csv").with_columns(file="no/" + pl.col("file"))
    table.write_csv("gone.csv")
    assert run("compare", "gone.csv", "--label", "kind", "--image", "file") == 3
    error = capsys.readouterr().err
    assert "got 60 of 60 that are not there: `no/images/cat/0.png` (row 0), " in error
    assert (
        "and 57 more. Check where the paths start: a table's folder, or --set data.root=" in error
    )
    assert "leave_out" not in error
    words = ("compare", "gone.csv", "--label", "kind", "--image")
    assert (
        run(*words, "file", "--set", "data.root=.", "--dry-run") == 3
    )  # a root that is wrong, too
    for wrong, option in ((("fil",), "--image"), (("file", "--labels", "kind,b"), "--label")):
        assert run(*words, *wrong) != 0
        assert f"`{option}" in capsys.readouterr().err


@pytest.mark.filterwarnings("default::equipoise.errors.DataWarning")
def test_changes_of_a_table_of_images_hold_while_it_is_read(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images/dog/0.png").write_bytes(b"not an image")
    table = ["images.csv", "--label", "kind", "--image", "file"]
    for words in (["images"], table):
        assert run("compare", *words, "--dry-run") == 3
        assert "or leave them out by --set data.on_broken=leave_out." in capsys.readouterr().err
        change = ["--set", "data.on_broken=leave_out"]
        assert run("compare", *words, *change, "--dry-run") == 0
        assert "to train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "known"),
    [("densenet121", "monai:DenseNet121"), ("ResNet50", "timm:resnet18"), ("vgg19", "vgg16_bn")],
)
def test_networks_of_libraries_are_named_with_them(name: str, known: str) -> None:
    with pytest.raises(UsageError, match=known):
        make_model(name, 3)


def test_what_cannot_be_tuned_is_not_advised(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "trial").mkdir()
    assert run("predict", "trial", "rows.csv", "-o", "out.csv") == 3
    assert "It holds no validation scores to tune one on" in capsys.readouterr().err


def test_a_result_is_not_written_over_what_it_is_made_of(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.3).astype(int)
    frame = pl.DataFrame({"p": 2 * y - 2 + rng.normal(size=200), "y": y})
    frame.write_csv("val.csv")
    words = ("--score-kind", "logits", "--scores", "p", "--labels", "y")
    before = Path("val.csv").read_bytes()
    assert run("tune", "val.csv", *words, "-o", "rule.json") == 0
    assert run("tune", "val.csv", *words, "-o", "val.csv") == 2
    assert "`--out` must name another file than the input, got 'val.csv'" in capsys.readouterr().err
    assert run("apply", "rule.json", "val.csv", *words[:4], "-o", "./val.csv") == 2
    assert run("apply", "rule.json", "val.csv", *words[:4], "-o", "rule.json") == 2
    assert run("export", "rule.json", "-o", "rule.json", "--format", "sql") == 2
    assert run("predict", "model", "val.csv", "-o", "val.csv") == 2
    assert run("report", "other.json", "val.csv", "-o", "val.csv", "--force") == 2
    assert Path("val.csv").read_bytes() == before
    assert DecisionRule.load("rule.json").names == ("y",)
    # Scores that are the truth, names with a slip, patterns, and new rows of a table.
    for scores, message in (("y", "must name no label or id"), ("pp", "Did you mean `p`?")):
        again = ("--score-kind", "logits", "--scores", scores, "--labels", "y")
        assert run("tune", "val.csv", *again, "-o", "other.json") == 3
        said = capsys.readouterr().err
        assert "`--scores`" in said
        assert message in said
    frame.rename({"p": "z_y"}).write_csv("named.csv")
    frame.select(z_y="p").write_csv("new.csv")
    words = ("--score-kind", "logits", "--scores", "z_*", "--labels", "y")
    more = ("--target-prior", "em", "--deployment", "new.csv")
    assert run("tune", "named.csv", *words, *more, "-o", "em.json") == 0
    # The page of a rule takes the rows that it was tuned on, of a table too.
    table = ("--score-kind", "logits", "--score-columns", "p", "--labels", "y")
    assert run("report", "--rule", "rule.json", "--scores", "val.csv", *table, "-o", "r.html") == 0


def test_test_rows_that_are_trained_on_end_it_before_training(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(120) < 0.3).astype(int)
    frame = pl.DataFrame({"a": rng.normal(size=120), "b": rng.normal(size=120) + y, "y": y})
    frame.write_csv("rows.csv")
    frame.head(50).write_csv("some.csv")
    words = ("--label", "y", "--set", "seeds=2", "--set", "arms=[none]", "--set", "models=[]")
    for test in ("rows.csv", "some.csv"):
        assert run("compare", "rows.csv", "--test", test, *words) == 3
        assert "each a copy of one to train on" in capsys.readouterr().err
        assert not Path("equipoise_runs").exists()
    assert run("compare", "rows.csv", "--label", "y", "--drop", "y", "--dry-run") == 2
    assert "`--drop` must be left out for what is a label" in capsys.readouterr().err
    assert run("compare", "rows.csv", "--label", "z", "--dry-run") == 3
    assert "`--label` must name columns" in capsys.readouterr().err
    Path("study.yaml").write_text("data: {path: rows.csv, label: z}\narms: [none]\n")
    assert run("compare", "study.yaml", "--dry-run") == 3
    assert "`data.label` must name columns" in capsys.readouterr().err


def test_costs_and_priors_without_names_say_whose_they_are(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    z = rng.normal(size=(300, 3)) + 2 * np.eye(3)[y]
    names = ["cat", "dog", "owl"]
    table = pl.DataFrame({f"z_{n}": z[:, i] for i, n in enumerate(names)})
    table.with_columns(kind=pl.Series([names[i] for i in y])).write_csv("val.csv")
    words = ("tune", "val.csv", "--score-kind", "logits", "--label", "kind")
    order = ("--scores", "z_owl,z_cat,z_dog", "-o", "rule.json")
    costs = ("--objective", "cost", "--costs", "0,1,1;5,0,5;20,20,0")
    assert run(*words, *order, *costs) == 0
    assert "--costs is read in the order owl, cat, dog." in capsys.readouterr().err
    assert run(*words, *order, "--target-prior", "0.2,0.3,0.5") == 0
    assert "--target-prior is read in the order owl, cat, dog." in capsys.readouterr().err
    assert run(*words, *order, "--target-prior", "owl=0.2,cat=0.3,dog=0.5") == 0
    assert "read in the order" not in capsys.readouterr().err
    assert run(*words, *order, "--target-prior", "A=0.1") == 2
    assert "must name each of owl, cat, dog once, got A." in capsys.readouterr().err
    assert run(*words, *order, "--objective", "cost", "--costs", "1,x") == 2
    assert "must be FALSE_ALARM,MISS, or rows of a matrix" in capsys.readouterr().err


def test_a_text_that_is_no_utf_8_says_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("latin.csv").write_bytes("a,y\n1,0\ncaf\u00e9,1\n".encode("latin-1"))
    assert run("diagnose", "latin.csv", "--label", "y") == 3
    assert "got byte 0xe9 in line 3 ('\u00e9' in Latin-1)" in capsys.readouterr().err
    Path("wide.csv").write_bytes("a,y\n1,0\n".encode("utf-16"))
    assert run("diagnose", "wide.csv", "--label", "y") == 3
    assert "must be UTF-8 text, got UTF-16." in capsys.readouterr().err
