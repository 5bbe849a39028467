"""`equipoise train` and `predict`, from one YAML each: images, sequences and tables."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest
import yaml
from numpy.typing import NDArray

from equipoise import DecisionRule, Scores, Trial
from equipoise.cli.main import main

Run = Callable[..., tuple[int, str, str]]
CPU = {"accelerator": "cpu", "epochs": 2, "batch_size": 32}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(w) for w in words])
        seen = capsys.readouterr()
        return int(left.value.code or 0), seen.out, seen.err

    return call


def encode(pixels: NDArray[np.uint8], form: str = "JPEG") -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def write(folder: Path, **study: Any) -> Path:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    return file


def only_trial(folder: Path) -> Path:
    (place,) = (p for p in folder.iterdir() if (p / "trial.json").exists())
    return place


def check_trial(place: Path, run: Run, new: list[Path], n_new: int, *words: object) -> pl.DataFrame:
    """What every finished trial must do: be judged, and predict what `fit` scored."""
    names = {p.name for p in place.iterdir()}
    wanted = {"trial.json", "model.safetensors", "rule.json", "README.md", "val.parquet"}
    assert wanted | {"test.parquet", "curves.svg", "history.csv"} <= names
    code, shown, _ = run("evaluate", place / "rule.json", place / "test.parquet", "--json")
    assert code == 0
    assert "ids fine" in json.loads(shown)["overlap"]
    out = place.parent / "predictions.parquet"
    code, _, error = run("predict", place, *new, "-o", out, *words)
    assert code == 0, error
    frame = pl.read_parquet(out)
    assert frame.height == n_new
    return frame


def probabilities(place: Path, frame: pl.DataFrame, part: str = "test") -> tuple[Any, Any]:
    """Return what the rule makes of stored scores, and the same rows of a prediction."""
    rule = DecisionRule.load(place / "rule.json")
    scores = Scores.load(place / f"{part}.parquet")
    want = rule.apply(scores).probabilities
    names = [f"probability:{name}" for name in rule.names]
    return want, frame[[int(i) for i in scores.ids]].select(names).to_numpy()


@pytest.mark.parametrize("model", ["resnet32", pytest.param("vgg16_bn", marks=pytest.mark.slow)])
def test_networks_of_cifar_on_a_long_tail_of_jpeg_bytes(
    model: str, tmp_path: Path, run: Run
) -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), 24)
    images = [
        encode(np.clip(rng.normal(25 * c, 20, (32, 32, 3)), 0, 255).astype(np.uint8))
        for c in classes
    ]
    frame = pl.DataFrame({"image": images, "label": classes})
    frame[:120].write_parquet(tmp_path / "part-0.parquet")
    frame[120:].write_parquet(tmp_path / "part-1.parquet")
    study = write(
        tmp_path,
        data={"source": "image_bytes", "path": "part-*.parquet", "label": "label"},
        split={"how": "long_tail", "imbalance_ratio": 4, "val_per_class": 4, "test_per_class": 4},
        model=model,
        arms=["drw"],
        augmentation="cifar",
        training={**CPU, "optimizer": "sgd", "lr": 0.05, "schedule": "multistep", "warmup": 0.5},
    )
    code, shown, error = run("train", study, "-o", tmp_path / "runs")
    assert code == 0, error
    assert "balanced accuracy" in shown
    place = only_trial(tmp_path / "runs")
    trial = Trial.load(place)
    counts = [*trial.train_counts.values()]
    assert counts[0] == 16
    assert counts[-1] == 4
    files = [tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"]
    got = check_trial(place, run, files, 240)
    np.testing.assert_allclose(*probabilities(place, got), atol=1e-4)


def test_densenet_on_jpeg_files_with_four_labels(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(1)
    n, shares = 100, (0.085, 0.29, 0.17, 0.469)
    hot = np.stack([rng.permutation(n) < s * n for s in shares], axis=1).astype(int)
    (tmp_path / "images").mkdir()
    for i in range(n):
        pixels = rng.normal(100, 30, (48, 40))
        for label in np.flatnonzero(hot[i]):
            pixels[12 * label : 12 * label + 12] += 90
        file = tmp_path / "images" / f"{i}.jpg"
        file.write_bytes(encode(np.clip(pixels, 0, 255).astype(np.uint8)))
    frame = pl.DataFrame({"file": [f"images/{i}.jpg" for i in range(n)]})
    frame = frame.with_columns(pl.Series(name, hot[:, k]) for k, name in enumerate("ABCD"))
    frame.write_csv(tmp_path / "labels.csv")
    study = write(
        tmp_path,
        data={
            "source": "images", "path": "labels.csv", "image": "file",
            "labels": list("ABCD"), "size": 32, "mode": "grey",
        },
        model={"name": "monai:DenseNet121", "settings": {"block_config": [1, 1, 1, 1]}},
        arms=[{"method": "pos_weight", "settings": {"power": 0.5}}],
        augmentation={"rotation": 5.0, "contrast": 0.1},
        training={**CPU, "epochs": 1, "precision": "bf16-mixed", "clip": 1.0},
    )  # fmt: skip
    code, shown, error = run("train", study, "-o", tmp_path / "runs")
    assert code == 0, error
    assert "macro AP" in shown
    place = only_trial(tmp_path / "runs")
    got = check_trial(place, run, [tmp_path / "labels.csv"], n)
    assert got["id"][3].endswith("3.jpg")


def test_an_lstm_on_sequences_with_23_labels(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(2)
    n, lengths = 120, rng.integers(3, 12, 120)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    steps = rng.normal(size=(offsets[-1], 128)).astype(np.float32)
    hot = (rng.random((n, 23)) < 0.3).astype(int)
    np.savez(tmp_path / "steps.npz", steps=steps, offsets=offsets)
    pl.DataFrame(hot, schema=[f"L{k}" for k in range(23)]).write_csv(tmp_path / "labels.csv")
    study = write(
        tmp_path,
        data={
            "source": "sequences", "path": "steps.npz", "table": "labels.csv",
            "labels": [f"L{k}" for k in range(23)],
        },
        model={"name": "lstm", "settings": {"hidden": 16}, "prior_bias": True},
        arms=["crt"],
        training={**CPU, "accumulation": 2, "ema": 0.9},
    )  # fmt: skip
    code, _, error = run("train", study, "-o", tmp_path / "runs")
    assert code == 0, error
    place = only_trial(tmp_path / "runs")
    got = check_trial(place, run, [tmp_path / "steps.npz"], n)
    np.testing.assert_allclose(*probabilities(place, got), atol=1e-4)


def make_table(folder: Path, n: int = 200) -> Path:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 4)) * [1, 100, 0.01, 1] + [0, 5000, 0, 3]
    y = np.where(x[:, 0] + 0.5 * rng.normal(size=n) > 1, "rare", "common")
    frame = pl.DataFrame(x, schema=["a", "b", "c", "d"]).with_columns(
        pl.Series("row", np.arange(n)), pl.Series("y", y)
    )
    frame.write_csv(folder / "table.csv")
    return folder / "table.csv"


def table_study(folder: Path, **more: Any) -> Path:
    make_table(folder)
    content: dict[str, Any] = {
        "data": {"path": "table.csv", "label": "y", "id": "row"},
        "model": {"name": "mlp", "settings": {"hidden": [16]}},
        "arms": ["mixup"],
        "training": {**CPU, "epochs": 5, "lr": 0.01},
    }
    return write(folder, **{**content, **more})


def test_an_mlp_on_a_table(tmp_path: Path, run: Run) -> None:
    study = table_study(tmp_path)
    code, _, error = run("train", study, "-o", tmp_path / "runs", "--onnx")
    assert code == 0, error
    place = only_trial(tmp_path / "runs")
    assert (place / "model.onnx").stat().st_size > 0
    new = pl.read_csv(tmp_path / "table.csv").drop("y").select("row", "d", "c", "b", "a")
    new.write_csv(tmp_path / "new.csv")  # no labels, columns in another order
    got = check_trial(place, run, [tmp_path / "new.csv"], 200, "--batch-size", 7)
    np.testing.assert_allclose(*probabilities(place, got), atol=1e-4)
    # The same command again trains nothing.
    before = (place / "trial.json").stat().st_mtime_ns
    assert run("train", study, "-o", tmp_path / "runs")[0] == 0
    assert (place / "trial.json").stat().st_mtime_ns == before
    check_network_with_its_rule(place, run, new, got)


def check_network_with_its_rule(
    place: Path, run: Run, new: pl.DataFrame, predicted: pl.DataFrame
) -> None:
    """One ONNX file from features to decisions says what `predict` says."""
    whole = place.parent / "whole.onnx"
    code, shown, error = run("export", place, "-o", whole)
    assert (code, shown) == (0, f"Written: {whole}\n"), error
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(whole))
    (source,) = session.get_inputs()
    names = Trial.load(place).config["build"]["columns"]
    x = new.select(names or ["a", "b", "c", "d"]).to_numpy().astype(np.float32)
    p, decided = session.run(None, {source.name: x})
    rule = DecisionRule.load(place / "rule.json")
    known = predicted.select(f"probability:{name}" for name in rule.names).to_numpy()
    np.testing.assert_allclose(p, known, atol=1e-5)
    if rule.kind == "multiclass":
        assert [rule.names[i] for i in decided] == predicted["decision"].to_list()
    else:
        flags = predicted.select(f"decision:{name}" for name in rule.names)
        np.testing.assert_array_equal(decided, flags.to_numpy())
    # The rule alone goes into the other formats; a network says what its scores are.
    code, _, error = run("export", place, "-o", place.parent / "rule.sql")
    assert code == 0, error
    code, _, error = run("export", place, "-o", whole, "--score-kind", "logits")
    assert code == 2
    assert "`--score-kind` must be left out for a model" in error
    (place / "rule.json").rename(place / "kept.json")
    code, _, error = run("export", place, "-o", whole)
    assert code == 3
    assert "and pass --rule rule.json" in error
    assert run("export", place, "-o", whole, "--rule", place / "kept.json")[0] == 0


def test_folds_give_out_of_fold_scores_that_tune_takes(tmp_path: Path, run: Run) -> None:
    study = table_study(tmp_path, folds=3, arms=["weighted_ce"])
    code, shown, error = run("train", study, "-o", tmp_path / "r", "--set", "training.keep=last")
    assert code == 0, error
    assert "mean of 3 folds" in shown
    place = only_trial(tmp_path / "r")
    rule = tmp_path / "rule.json"
    assert run("tune", place / "oof.parquet", "-o", rule)[0] == 0
    assert run("evaluate", rule, place / "test.parquet")[0] == 0


def test_a_plan_trains_nothing(tmp_path: Path, run: Run) -> None:
    code, shown, error = run("train", table_study(tmp_path), "--dry-run", "-o", tmp_path / "runs")
    assert code == 0
    assert shown == ""
    assert "128 training, 32 validation, 40 test rows" in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"modl": "mlp"}, 2, "unknown key `modl`.*model"),
        ({"model": {"name": "mlp", "setings": {}}}, 2, "unknown key `model.setings`"),
        ({"model": "vgg17"}, 2, "vgg16"),
        ({"arms": ["none", "focal"]}, 2, "`arms` must hold one method, got 2"),
        ({"arms": ["fokal"]}, 2, "focal"),
        ({"training": {"epoch": 3}}, 2, "`training.epoch` is not an option.*epochs"),
        ({"augmentation": "cifr"}, 2, "cifar"),
        ({"data": {"path": "table.csv"}}, 3, "`data` must name its labels"),
        ({"data": {"path": "gone.csv", "label": "y"}}, 3, "gone.csv"),
        ({"model": "os:getcwd"}, 2, "--allow-code"),
        ({"split": {"how": "file", "path": "no.json"}}, 3, "no.json"),
    ],
)
def test_a_wrong_study_is_one_line(
    tmp_path: Path, run: Run, change: dict[str, Any], code: int, message: str
) -> None:
    import re

    got, shown, error = run("train", table_study(tmp_path, **change), "-o", tmp_path / "runs")
    assert (got, shown) == (code, "")
    assert re.search(message, error), error
    assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("default::equipoise.errors.DataWarning")
def test_a_broken_image_is_named_or_left_out(tmp_path: Path, run: Run) -> None:
    for i in range(60):
        file = tmp_path / "images" / ("ab"[i % 2]) / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(np.full((8, 8), 40 * (i % 2) + i, np.uint8), "PNG"))
    (tmp_path / "images" / "a" / "0.png").write_bytes(b"not an image")
    study = write(
        tmp_path,
        data={"source": "image_folder", "path": "images", "mode": "grey", "size": 8},
        model={"name": "mlp", "settings": {"hidden": [4]}},
        training=CPU,
    )
    code, _, error = run("train", study, "-o", tmp_path / "runs")
    assert code == 3
    assert "1 of 60 that cannot be read" in error
    assert "0.png" in error
    where = tmp_path / "runs"
    code, _, error = run("train", study, "-o", where, "--set", "data.on_broken=leave_out")
    assert code == 0, error
    assert "1 broken image left out" in error


def test_predict_refuses_what_is_no_trial(tmp_path: Path, run: Run) -> None:
    code, _, error = run("predict", tmp_path, "x.csv")
    assert code == 3
    assert "rule.json" in error
