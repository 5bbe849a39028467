"""What is measured once for a study stays, and studies that say it are not asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from equipoise.studies import measured, network
from equipoise.studies.network_rows import load_rows
from equipoise.studies.schema import RECIPES, Study, parse_study

ARMS = {"arms": ["none", "weighted_ce"]}


def study_of(folder: Path, model: str, **training: Any) -> Study:
    x = torch.randn(120, 5, generator=torch.Generator().manual_seed(0)).numpy()
    columns = {f"x{i}": x[:, i] for i in range(5)} | {"y": (x[:, 0] > 0.5).astype(int)}
    pl.DataFrame(columns).write_csv(folder / "rows.csv")
    data = {"path": str(folder / "rows.csv"), "labels": ["y"]}
    content = {"data": data, "model": model, "training": {"epochs": 1, **training}}
    content["arms"] = ["none", "pos_weight"]
    return parse_study(content)


def test_threads_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = parse_study({"data": {"source": "digits"}, **ARMS})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    seconds = {1: 0.1, 4: 1.3}
    monkeypatch.setattr(measured, "_seconds", lambda threads: seconds[threads])
    assert measured.measured_threads(study, tmp_path) == 1
    seconds[1] = 2.0
    assert measured.measured_threads(study, tmp_path) == 1  # as it is written
    assert json.loads((tmp_path / measured.FILE).read_text()) == {"threads": 1}
    assert measured.measured_threads(study, tmp_path / "other") == 4
    said = parse_study({"data": {"source": "digits"}, "compute": {"threads": 3}, **ARMS})
    assert measured.measured_threads(said, tmp_path) is None


def test_a_folder_that_was_begun_before_keeps_what_it_was_trained_with(tmp_path: Path) -> None:
    (tmp_path / "trials" / "x").mkdir(parents=True)
    (tmp_path / "trials" / "x" / "trial.json").write_text("{}")
    assert measured.kept(tmp_path, "threads", 8, lambda: 1) == 8
    (tmp_path / measured.FILE).write_text("[broken")
    assert measured.kept(tmp_path, "threads", 8, lambda: 1) == 8


@pytest.mark.parametrize("rate", network.RATES)
def test_a_foreign_network_is_given_the_rate_that_learns_fastest(
    rate: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\n\n\ndef make(num_outputs):\n"
        "    return torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), "
        "torch.nn.Linear(8, num_outputs))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    study = study_of(tmp_path, "nets:make")
    rows = load_rows(study.data)
    seen = []
    real = torch.optim.AdamW

    class Watched(real):  # type: ignore[misc, valid-type]
        def __init__(self, parameters: Any, lr: float) -> None:
            seen.append(lr)
            # Only the wanted rate moves anything.
            super().__init__(parameters, lr=lr if lr == rate else 1e-12)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    found = network.with_rate(study, rows, tmp_path, allow_code=True)
    assert found.training == {"epochs": 1, "lr": rate}
    assert seen == list(network.RATES)
    again = network.with_rate(study, rows, tmp_path, allow_code=True)
    assert again.options.lr == rate
    assert len(seen) == len(network.RATES)


def test_networks_of_ours_and_rates_that_are_said_are_not_measured(tmp_path: Path) -> None:
    for study in (study_of(tmp_path, "mlp"), study_of(tmp_path, "nets:make", lr=0.5)):
        assert network.with_rate(study, None, tmp_path, True) is study  # type: ignore[arg-type]


def test_recipes_fill_in_what_is_not_said(tmp_path: Path) -> None:
    bare = study_of(tmp_path, "vgg16", epochs=30).options
    assert (bare.lr, bare.warmup, bare.clip) == (RECIPES["vgg16"]["lr"], 3.0, 1.0)
    said = study_of(tmp_path, "vgg16", epochs=10, lr=0.001, clip=None).options
    assert (said.lr, said.warmup, said.clip) == (0.001, 1.0, None)
    assert study_of(tmp_path, "resnet32").options.lr == RECIPES["resnet32"]["lr"]
