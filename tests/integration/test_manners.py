"""Small things that a stranger stumbles over: the order of arguments, images, what is advised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
import yaml

from equipoise.artifacts import Labels, Scores
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
