"""Features of a frozen network: once, as a map, gone on with, and only planned in a dry run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest
import torch
import yaml
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file as load_torch, save_file
from sklearn.datasets import load_digits

from equipoise.artifacts import Scores
from equipoise.errors import DataError, UsageError
from equipoise.studies import frozen_features as features, run as running
from equipoise.studies.load import load_data
from equipoise.studies.network import plan_training, run_training
from equipoise.studies.plan import plan_rows
from equipoise.studies.predict import load_network, predict_files
from equipoise.studies.refitting import refit
from equipoise.studies.schema import load_study, parse_study
from unit.studies.my_networks import tiny

ROWS = 240
NETWORK = "unit.studies.my_networks:tiny"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits as PNG bytes in Parquet, weights of a network, and a study of both."""
    folder = tmp_path_factory.mktemp("data")
    found: Any = load_digits()
    scans = (found.images[:ROWS] * 15.9).astype(np.uint8)
    images = []
    for scan in scans:
        PIL.Image.fromarray(scan).save(file := io.BytesIO(), "PNG")
        images.append(file.getvalue())
    table = {"image": images, "label": found.target[:ROWS] % 4, "id": np.arange(ROWS)}
    pl.DataFrame(table).write_parquet(folder / "rows.parquet")
    torch.manual_seed(0)
    save_file(tiny(2).state_dict(), folder / "net.safetensors")
    (folder / "study.yaml").write_text(
        f"""
data: {{source: image_bytes, path: rows.parquet, label: label, id: id, mode: grey}}
features: {{model: "{NETWORK}", weights: net.safetensors, batch_size: 50}}
split: {{how: stratified}}
arms: [none, logit_adjusted]
seeds: 2
training: {{hidden: 0, epochs: 3}}
"""
    )
    return folder


def expected(folder: Path) -> np.ndarray:
    """What the layer before the last one says, row by row."""
    net = tiny(2)
    net.load_state_dict(load_torch(folder / "net.safetensors"))
    rows = pl.read_parquet(folder / "rows.parquet")["image"]
    pixels = np.stack([np.asarray(PIL.Image.open(io.BytesIO(b))) for b in rows])
    with torch.no_grad():
        x = torch.from_numpy(pixels)[:, None].float() / 255
        return net[:-1].eval()(x).numpy()


def test_they_are_what_the_last_layer_reads_and_are_computed_once(
    place: Path, tmp_path: Path
) -> None:
    study = load_study(place / "study.yaml")
    said: list[str] = []

    def show(what: str, _done: int, _of: int) -> None:
        said.append(what)

    first = running.run_study(study, out=tmp_path, allow_code=True, progress=show)
    assert first.trained == 4 + 2 * 2  # and the refits of the baseline
    assert any(s.startswith("features of") for s in said)
    (file,) = (tmp_path / "features").glob("*.npy")
    found = np.load(file, mmap_mode="r")
    np.testing.assert_allclose(found, expected(place), rtol=0, atol=1e-6)
    said.clear()
    again = running.run_study(study, out=tmp_path, allow_code=True, progress=show)
    assert (again.trained, again.reused) == (0, 4 + 2 * 2)
    assert not any(s.startswith("features of") for s in said)
    assert "features of" in again.comparison.provenance["data"]


def test_other_weights_are_other_features(place: Path, tmp_path: Path) -> None:
    study = load_study(place / "study.yaml")
    one = load_data(study, tmp_path, allow_code=True)
    net = tiny(2)
    save_file(net.state_dict(), tmp_path / "other.safetensors")
    spec = study.features.model_copy(update={"weights": str(tmp_path / "other.safetensors")})
    two = load_data(study.model_copy(update={"features": spec}), tmp_path, allow_code=True)
    assert one.fingerprint != two.fingerprint
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_what_was_computed_before_an_interruption_is_kept(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(place / "study.yaml")
    monkeypatch.setattr(features, "_SAVE_SECONDS", -1.0)
    asked: list[int] = []
    real = features.Backbone.__call__

    def counted(backbone: features.Backbone, x: Any) -> Any:
        asked.append(len(x))
        if sum(n for n in asked if n > 1) > 150:
            raise KeyboardInterrupt
        return real(backbone, x)

    monkeypatch.setattr(features.Backbone, "__call__", counted)
    with pytest.raises(KeyboardInterrupt):
        load_data(study, tmp_path, allow_code=True)
    asked.clear()
    found = load_data(study, tmp_path, allow_code=True)
    assert [n for n in asked if n > 1] == [50, 40]
    np.testing.assert_allclose(found.features, expected(place), rtol=0, atol=1e-6)
    assert [p.suffix for p in tmp_path.iterdir() if p.is_file()] == [".npy"]
    assert not list((tmp_path / "locks").iterdir())


def test_a_dry_run_computes_nothing_and_says_how_long(place: Path, tmp_path: Path) -> None:
    study = load_study(place / "study.yaml")
    _, rows, summary = plan_rows(study, tmp_path, allow_code=True)
    assert len(rows) == 4
    assert summary.startswith("One setting per arm, 3 epochs each. First the features, 240 x 10")
    assert not list(tmp_path.iterdir())
    running.run_study(study, out=tmp_path, allow_code=True)
    assert "Nothing to train" in plan_rows(study, tmp_path, allow_code=True)[2]


def test_a_trial_of_train_gives_features_with_its_own_scaling(place: Path, tmp_path: Path) -> None:
    data = {"source": "image_bytes", "path": str(place / "rows.parquet"), "label": "label",
            "mode": "grey"}  # fmt: skip
    content = {"data": data, "model": NETWORK, "training": {"epochs": 1, "accelerator": "cpu"}}
    plan = plan_training(parse_study(content, verb="train"), allow_code=True, check=False)
    trial = run_training(plan, out=tmp_path, progress=False)
    study = parse_study(
        {"data": data, "features": {"trial": str(tmp_path / trial.folder_name)}, "arms": ["none"]}
    )
    found = load_data(study, tmp_path / "features", allow_code=True).features
    assert found.shape == (ROWS, 10)
    # Through the trial's last layer they are its scores.
    state = load_numpy(tmp_path / trial.folder_name / "model.safetensors")
    weight, bias = state["network.6.weight"], state["network.6.bias"]
    logits = found[plan.split.test] @ weight.T + bias
    np.testing.assert_allclose(logits, trial.scores["test"].values, rtol=0, atol=1e-4)


def test_flat_arrays_need_no_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    pl.DataFrame({"y": rng.integers(0, 2, 200)}).write_csv(tmp_path / "y.csv")
    data = {"source": "arrays", "path": "x.npy", "table": "y.csv", "label": "y"}
    (tmp_path / "study.yaml").write_text(f"data: {data}\narms: [none]\n")
    found = load_data(load_study(tmp_path / "study.yaml"))
    assert isinstance(found.features, np.memmap)
    np.testing.assert_array_equal(found.features, x)


WRONG = {
    "neither": ({}, UsageError, "name a trial or a model, got neither"),
    "both": ({"trial": "x", "model": "mlp"}, UsageError, "got both"),
    "no trial": ({"trial": "nowhere"}, DataError, "nowhere"),
    "layer": (
        {"model": NETWORK, "layer": "head"},
        UsageError,
        r"got head. Last: \['network.4",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_networks(name: str, place: Path, tmp_path: Path) -> None:
    changes, error, message = WRONG[name]
    study = load_study(place / "study.yaml")
    wrong = study.model_copy(update={"features": type(study.features)(**changes)})
    with pytest.raises(error, match=message):
        load_data(wrong, tmp_path, allow_code=True)


def test_what_goes_with_what(place: Path) -> None:
    with pytest.raises(UsageError, match="`features` must go with images"):
        load_data(
            parse_study({"data": {"source": "digits"}, "features": {"model": "mlp"}, "arms": []})
        )
    study = load_study(place / "study.yaml").model_copy(update={"features": None})
    with pytest.raises(DataError, match=r"rows of features.*frozen network.*`model`"):
        load_data(study)
    with pytest.raises(UsageError, match=r"allow[-_]code"):
        load_data(load_study(place / "study.yaml"), place)


def test_methods_for_images_and_misspelt_keys_are_answered(place: Path) -> None:
    content = {"data": {"source": "digits"}, "arms": ["none", "augment_balance+class_balanced"]}
    with pytest.raises(UsageError, match=r"must work on features.*give the study a `model`"):
        running.make_plan(parse_study(content))
    with pytest.raises(UsageError, match=r"`features\.modle`. Did you mean `model`"):
        parse_study({**content, "features": {"modle": "x"}})


@pytest.mark.parametrize("arm", ["none", "logit_adjusted", "ldam"])
def test_network_and_head_become_one_that_predicts(arm: str, place: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((place / "study.yaml").read_text())
    content["data"]["path"] = str(place / "rows.parquet")
    content["features"]["weights"] = str(place / "net.safetensors")
    content["arms"] = ["none", *({arm} - {"none"})]
    content["training"] = {"hidden": 6 if arm == "none" else 0, "epochs": 40}
    study = parse_study(content)
    outcome = running.run_study(study, out=tmp_path / "out", allow_code=True)
    outcome.comparison.save(tmp_path / "out" / "comparison.json")
    folder = tmp_path / "m"
    made = refit(study, results=tmp_path / "out", out=folder, arm=arm, allow_code=True)
    assert made.tested is not None
    network, build, trial = load_network(folder, True)
    assert (build["names"], made.rows) == (list(made.rule.names), round(0.8 * ROWS))
    images = [
        np.asarray(PIL.Image.open(io.BytesIO(b)))
        for b in pl.read_parquet(place / "rows.parquet")["image"]
    ]
    batch = torch.from_numpy(np.stack(images))[:, None]
    with torch.no_grad():
        np.testing.assert_allclose(network.features(batch).numpy(), expected(place), atol=1e-6)
        logits = network(batch).double().numpy()
    # Test rows have the scores that the head had of them in training.
    test = trial.scores["test"]
    at = np.asarray(test.ids).astype(int)
    assert len(at) == ROWS - made.rows
    np.testing.assert_allclose(test.values, logits[at], atol=1e-4)
    predict_files(folder, [str(place / "rows.parquet")], tmp_path / "p.csv", allow_code=True)
    told = pl.read_csv(tmp_path / "p.csv")
    assert told.columns[0] == "id"
    p = told.select(pl.col("^probability:.*$")).to_numpy()
    want = made.rule.apply(
        Scores.from_arrays(
            None,
            logits=logits,
            split="new",
            kind="multiclass",
            names=made.rule.names,
            correction=trial.scores["val"].correction,
        )
    )
    np.testing.assert_allclose(p, want.probabilities, atol=1e-5)
    truth = load_digits().target[:ROWS] % 4
    assert np.mean(p.argmax(axis=1) == truth) > 0.35
    # Their mean is the share of each class, as far as 192 rows tell.
    np.testing.assert_allclose(p.mean(axis=0), np.bincount(truth) / ROWS, atol=0.08)
