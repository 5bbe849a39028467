"""A trial's folder: rule, pictures and card, and what happens where there can be none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from equipoise import (
    Correction,
    DecisionRule,
    Labels,
    Remedy,
    Scores,
    Split,
    TrainingOptions as Options,
    Trial,
    fit,
    tune,
)
from equipoise.data import ArrayDataset
from equipoise.methods import remedy
from equipoise.training.folder import write_trial
from equipoise.training.late import SecondStage

N = 120
SPLIT = Split.from_parts(
    np.arange(70), np.arange(70, 95), np.arange(95, N), n_rows=N, seed=0, method="hand"
)
KINDS = ("multilabel", "multiclass")


def data(kind: str) -> ArrayDataset:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    noisy = x[:, :3] + 0.7 * rng.normal(size=(N, 3))
    names = ["a|b", "_b", "c $x$"]
    ids = [f"r{i}" for i in range(N)]
    y: Any = noisy.argmax(1) if kind == "multiclass" else (noisy > 0.5).astype(int)
    return ArrayDataset(x, Labels.from_array(y, kind=kind, names=names, ids=ids))  # type: ignore[arg-type]


def train(kind: str, out: Path, method: str = "none", **given: Any) -> tuple[Trial, Path]:
    rows = data(kind)
    treated = given.pop("treated", None) or remedy(method, rows.labels[SPLIT.train])
    torch.manual_seed(0)
    options = Options(epochs=3, batch_size=16, lr=0.05, accelerator="cpu")
    trial = fit(nn.Linear(4, 3), rows, SPLIT, treated, options=options, out=out, **given)
    return trial, out / trial.folder_name


@pytest.mark.parametrize("kind", KINDS)
def test_the_rule_is_the_one_that_tune_makes_of_the_validation_scores(
    kind: str, tmp_path: Path
) -> None:
    trial, folder = train(kind, tmp_path)
    rule = DecisionRule.load(folder / "rule.json")
    assert rule.to_dict() == tune(trial.scores["val"]).to_dict()
    # trial.json is written last.
    last = (folder / "trial.json").stat().st_mtime_ns
    assert all(p.stat().st_mtime_ns <= last for p in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_the_card_predicts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, folder = train(kind, tmp_path, "focal")
    (block,) = re.findall(
        r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(folder)
    x = torch.from_numpy(data(kind).features[SPLIT.test])
    scope: dict[str, Any] = {"model": nn.Linear(4, 3), "x": x}
    exec(block, scope)  # noqa: S102
    want = tune(trial.scores["val"]).apply(trial.scores["test"])
    np.testing.assert_allclose(scope["decisions"].probabilities, want.probabilities, atol=1e-6)
    np.testing.assert_array_equal(scope["decisions"].predictions, want.predictions)


@pytest.mark.usefixtures("pictures")
def test_the_card_names_its_pictures_and_its_numbers(tmp_path: Path) -> None:
    trial, folder = train("multilabel", tmp_path, "class_balanced")
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"!\[.*?\]\((.*?)\)", card):
        assert (folder / name).read_text(encoding="utf-8").rstrip().endswith("</svg>")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "equipoise"
    assert "class_balanced" in front["tags"]
    assert "a\\|b" in card
    assert "overlap with the rows the rule was tuned on: ids fine" in card
    counts = trial.train_counts["_b"]
    assert f"| _b | {counts} | {counts / 70:.4f} |" in card


def test_what_tune_refuses_stands_in_the_card_and_the_training_is_kept(tmp_path: Path) -> None:
    trial, folder = train("multilabel", tmp_path)
    blank = replace(trial.scores["val"], labels=None, ids=None)
    broken = replace(trial, scores={"val": blank}, seed=7)
    again = write_trial(broken, {"weight": torch.zeros(3, 4)}, tmp_path)
    folder = tmp_path / again.folder_name
    assert not (folder / "rule.json").exists()
    assert Trial.load(folder).seed == 7
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert re.search(r"There is none: .*labels", card)
    assert "No test rows were judged" in card
    assert "DecisionRule.load" not in card


def test_a_rule_of_before_goes_where_there_is_none_now(tmp_path: Path) -> None:
    trial, folder = train("multilabel", tmp_path)
    assert (folder / "rule.json").exists()
    blank = replace(trial.scores["val"], labels=None, ids=None)
    write_trial(replace(trial, scores={"val": blank}), {"weight": torch.zeros(1)}, tmp_path)
    assert not (folder / "rule.json").exists()


def test_labels_without_validation_positives_do_not_stop_it(tmp_path: Path) -> None:
    rows = data("multilabel")
    values = rows.labels.values.copy()
    values[SPLIT.val, 1] = 0
    values[SPLIT.test, 2] = 0
    rows = ArrayDataset(
        rows.features, Labels.from_array(values, kind="multilabel", names=rows.labels.names)
    )
    treated = remedy("none", rows.labels[SPLIT.train])
    options = Options(epochs=1, accelerator="cpu")
    trial = fit(nn.Linear(4, 3), rows, SPLIT, treated, options=options, out=tmp_path)
    card = (tmp_path / trial.folder_name / "README.md").read_text(encoding="utf-8")
    assert "No validation positives, so nothing tuned: _b." in card
    assert "Not evaluable on test rows, and not in macro: c $x$ (no positives)." in card
    assert "over 2 evaluable labels of 3" in card


def test_outputs_that_only_rank_and_a_second_stage_have_a_card_too(tmp_path: Path) -> None:
    plain = remedy("none", data("multilabel").labels[SPLIT.train])
    ranks = replace(plain, correction=Correction("multilabel", exactness="none"))
    _, folder = train("multilabel", tmp_path, treated=ranks)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "outputs rank only" in card
    assert "ranking=outputs" in card
    plain = remedy("none", data("multiclass").labels[SPLIT.train])
    staged = replace(plain, second_stage=SecondStage("tau_norm", plain))
    _, folder = train("multiclass", tmp_path, treated=staged)
    assert "A second stage followed: tau_norm." in (folder / "README.md").read_text("utf-8")


def test_no_test_rows_no_test_table(tmp_path: Path) -> None:
    rows = data("multiclass")
    split = Split.from_parts(np.arange(70), np.arange(70, N), [], n_rows=N, seed=0, method="hand")
    treated: Remedy = remedy("none", rows.labels[split.train])
    options = Options(epochs=1, accelerator="cpu")
    trial = fit(nn.Linear(4, 3), rows, split, treated, options=options, out=tmp_path)
    card = (tmp_path / trial.folder_name / "README.md").read_text(encoding="utf-8")
    assert "Not evaluated: there are no labelled test rows." in card
    assert isinstance(trial.scores["val"], Scores)
