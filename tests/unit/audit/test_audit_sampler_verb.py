"""``equipoise audit`` with a sampler: it tells the two apart, builds it, prints and can fail."""

from __future__ import annotations

import json
from pathlib import Path

import foreign_losses
import foreign_samplers as foreign
import numpy as np
import polars as pl
import pytest
import torch

from equipoise.audit.from_text import looks_like_sampler
from equipoise.cli.main import main


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.chdir(tmp_path)
    hot = (np.random.default_rng(0).random((400, 2)) < [0.4, 0.05]).astype(int)
    y = np.where(hot[:, 1] == 1, "rare", "usual")
    pl.DataFrame({"A": hot[:, 0], "B": hot[:, 1], "y": y}).write_csv("labels.csv")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["audit", *arguments, "--allow-code"])
    return int(stop.value.code or 0)


HOT = ("--labels", "labels.csv", "--columns", "A,B")
CLASS = ("--labels", "labels.csv", "--label", "y")


def test_counts_and_findings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("foreign_samplers:product_sampler", *HOT) == 0
    out = capsys.readouterr().out
    assert "400 draws per epoch from 400 rows (drawn)" in out
    assert "EQ605 warning: Not made for several ranks" in out
    assert run("foreign_samplers:product_sampler", *HOT, "--json", "--fail-on", "warning") == 4
    body = json.loads(capsys.readouterr().out)
    assert body["report"]["names"] == ["A", "B"]
    assert {"EQ604", "EQ605"} <= {f["code"] for f in body["findings"]}


def test_settings_rules_and_classes(capsys: pytest.CaptureFixture[str]) -> None:
    weighted = "torch.utils.data:WeightedRandomSampler"
    assert run(weighted, *CLASS, "--arg", "weights=class_balanced", "--loss-weight", "15,1") == 0
    out = capsys.readouterr().out
    assert "EQ609" in out
    assert "EQ611" in out
    assert run("foreign_samplers:torch_only", *CLASS, "--arg", "power=0.0", "--json") == 0
    factor = json.loads(capsys.readouterr().out)["report"]["pos_weight"]
    assert 0.4 < factor[0] < 2.5
    assert run("foreign_samplers:batches", *CLASS, "--arg", "batch_size=40") == 0
    assert "10 batches of 40 rows" in capsys.readouterr().out
    assert run("equipoise.sampling:ClassBalancedSampler", *CLASS) == 0
    assert run("foreign_samplers:ready", *CLASS, "--json") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["foreign_samplers:product_sampler"], 2, "--labels labels.csv --columns A,B,C,D"),
        (["foreign_samplers:product_sampler", "--labels", "A,B"], 2, "name a table of all rows"),
        (["foreign_samplers:product_sampler", "--labels", "no.csv", "--label", "y"], 3, "no.csv"),
        (["foreign_samplers:product_sampler", "--labels", "A", "--columns", "A"], 2, "be a table"),
        (["foreign_samplers:product_sampler", "--labels", "labels.csv"], 2, "label"),
        (["foreign_samplers:takes_two", *HOT, "--as", "sampler"], 2, "be built from the labels"),
        (["foreign_samplers:product_sampler", *HOT, "--as", "samplr"], 2, "Did you mean"),
        (["torch.utils.data:WeightedRandomSampler", *HOT, "--arg", "weights=maxx"], 2, "`max`"),
        (["foreign_samplers:ready", *HOT, "--loss-weight", "1,b"], 2, "numbers separated"),
        (["foreign_samplers:ready", *HOT, "--loss-weight", "1"], 3, "-weight` must have shape"),
        (["foreign_losses:clamped", "--loss-weight", "1"], 2, "belongs to a sampler"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == code
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("made", "settings", "expected"),
    [
        (foreign.Own, {}, True),
        (foreign.ready, {}, True),
        (foreign.product_sampler, {}, True),
        (foreign.without_class, {"lost": 1}, True),
        (foreign.takes_two, {}, False),
        (torch.utils.data.BatchSampler, {}, True),
        (torch.nn.BCELoss, {}, False),
        (torch.nn.BCELoss(), {}, False),
        (torch.nn.Sequential, {}, False),
        (torch.nn.functional.cross_entropy, {}, False),
        (torch.nn.functional.binary_cross_entropy, {"weight": None}, False),
        (foreign_losses.clamped, {}, False),
        (foreign_losses.floored, {"floor": 1.0}, False),
        (lambda *inputs: inputs, {}, False),
    ],
)
def test_losses_and_samplers_are_told_apart(
    made: object, settings: dict[str, object], expected: bool
) -> None:
    assert looks_like_sampler(made, settings) is expected
