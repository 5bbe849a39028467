"""What is seen while training runs: the live line, the plain one, and findings said once."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equipoise import Correction, Labels, Remedy, Split, TrainingOptions, Trial, fit
from equipoise.artifacts.finding import load_findings
from equipoise.data import ArrayDataset
from equipoise.diagnosis import check_history
from equipoise.diagnosis.course import default_recalls
from equipoise.training.watch import rarest_label

N = 60
SPLIT = Split.from_parts(np.arange(40), np.arange(40, N), [], n_rows=N, seed=0, method="hand")
LINE = re.compile(
    r"training: epoch (\d)/(\d), loss ([\d.]+), validation loss ([\d.]+), "
    r"(macro AP|balanced accuracy) ([\d.]+), recall of (\w+) ([\d.]+), learning rate ([\d.e-]+)"
    r"(?:, \d+ s left)?"
)


def data(kind: str = "multilabel") -> ArrayDataset:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    if kind == "multiclass":
        y = np.arange(N) % 10
        names = ["many", "some", "few"]
        values = np.select([y < 6, y < 9], [0, 1], 2)
        return ArrayDataset(x, Labels.from_array(values, kind="multiclass", names=names))
    hot = np.stack([np.arange(N) % 2, np.arange(N) % 10 == 0], axis=1).astype(int)
    labels = Labels.from_array(hot, kind="multilabel", names=["half", "tenth"])
    return ArrayDataset(x, labels)


def train(kind: str = "multilabel", lr: float = 1e-6, **given: Any) -> Trial:
    options = {"epochs": 3, "batch_size": 8, "lr": lr, "accelerator": "cpu"}
    options |= {key: given.pop(key) for key in ("epochs", "schedule", "factor") if key in given}
    loss = nn.BCEWithLogitsLoss() if kind == "multilabel" else nn.CrossEntropyLoss()
    rows = data(kind)
    treated = Remedy("own", given.pop("loss", None) or Typed(loss), Correction.identity(kind))
    torch.manual_seed(0)
    net = nn.Linear(4, rows.labels.num_classes)
    with torch.no_grad():
        net.weight.mul_(0.01)
        net.bias.copy_(torch.tensor([1.0, -1.0, -1.0][: net.out_features]))
    return fit(net, rows, SPLIT, treated, options=TrainingOptions(**options), **given)


class Typed(nn.Module):
    """A loss that takes targets as the engine hands them over; it may fall ill."""

    def __init__(self, loss: nn.Module, ill_at: int | None = None) -> None:
        super().__init__()
        self.loss, self.ill_at, self.calls = loss, ill_at, 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.ill_at:
            raise KeyboardInterrupt
        return self.loss(logits, target)


class Screen(io.StringIO):
    """A terminal, as far as `isatty` goes."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "metric", "rarest"),
    [("multilabel", "macro AP", "tenth"), ("multiclass", "balanced accuracy", "few")],
)
def test_one_plain_line_per_epoch_where_stderr_is_no_terminal(
    kind: str, metric: str, rarest: str, capfd: pytest.CaptureFixture[str]
) -> None:
    trial = train(kind, progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 3
    for epoch, (line, row) in enumerate(zip(lines, trial.history, strict=True)):
        found = LINE.fullmatch(line)
        assert found, line
        at, of, loss, val_loss, name, value, label, recall, rate = found.groups()
        assert (int(at), int(of), name, label) == (epoch + 1, 3, metric, rarest)
        assert float(loss) == pytest.approx(row["loss"], rel=1e-3)
        assert float(val_loss) == pytest.approx(row["val_loss"], rel=1e-3)
        assert float(value) == pytest.approx(row["val_metric"], abs=6e-4)
        assert float(rate) == pytest.approx(row["lr"], rel=0.06)
        kept = [r for r in trial.label_history if r["epoch"] == epoch and r["label"] == rarest]
        assert float(recall) == pytest.approx(kept[0]["recall"])


def test_a_live_line_in_a_terminal_that_is_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    train(lr=0.05)  # progress=None shows it in a terminal
    text = screen.getvalue()
    assert "\x1b[3" not in text  # no colours, whatever NO_COLOR says
    assert "training: epoch 3/3" in text
    assert re.search(r"\b15/15\b", text)
    assert re.search(r"loss 0\.\d+, macro AP [\d.]+, recall of tenth [\d.]+", text)
    assert "validation loss" not in text  # that is for plain lines
    assert text.rsplit("\r", 2)[-2].strip() == ""  # wiped
    silent = Screen()
    monkeypatch.setattr(sys, "stderr", silent)
    train(progress=False)
    assert silent.getvalue() == ""


def test_the_live_line_is_taken_away_when_training_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(KeyboardInterrupt):
        train(loss=Typed(nn.BCEWithLogitsLoss(), ill_at=4))
    assert "training: epoch 1/3" in screen.getvalue()
    assert screen.getvalue().rsplit("\r", 2)[-2].strip() == ""


def test_the_rarest_label_is_one_that_can_be_judged() -> None:
    names = ["a", "b", "c", "d"]
    train_part = Labels.from_array(
        [0] * 9 + [1] * 2 + [2] + [3] * 2, kind="multiclass", names=names
    )
    val = Labels.from_array([0, 1, 3], kind="multiclass", names=names)
    assert rarest_label(train_part, val) == "b"  # c has no validation rows, d is no rarer
    assert rarest_label(train_part, Labels.from_array([2], kind="multiclass", names=names)) == "c"
    none = Labels.from_array([[0], [0]], kind="multilabel")
    assert rarest_label(none, none) is None


def test_no_rarest_label_leaves_the_line_shorter(capfd: pytest.CaptureFixture[str]) -> None:
    rows = data()
    unknown = Labels.from_array(np.zeros((N, 2), dtype=int), kind="multilabel", names=["p", "q"])
    treated = Remedy("own", Typed(nn.BCEWithLogitsLoss()), Correction.identity("multilabel"))
    options = TrainingOptions(epochs=1, accelerator="cpu")
    fit(nn.Linear(4, 2), rows, SPLIT, treated, labels=unknown, options=options, progress=True)
    (line,) = capfd.readouterr().err.splitlines()
    assert "macro AP not estimable, learning rate" in line


def test_a_finding_is_said_once_and_written_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trial = train(epochs=8, out=tmp_path, progress=True)
    said = [line for line in capfd.readouterr().err.splitlines() if not LINE.fullmatch(line)]
    assert len(said) == 1
    assert said[0].startswith("EQ310 warning: ")
    assert "everything is flagged as 1 of 2: half (10 positives in 20)" in said[0]
    (found,) = load_findings(tmp_path / trial.folder_name / "findings.json")
    assert str(found) == said[0]
    assert found.evidence["missed"] == ["tenth"]
    # Seen in epoch 4, the first at which it can be.
    first = check_history(
        trial.history[:5], [row for row in trial.label_history if row["epoch"] < 5]
    )
    assert [f.evidence["missed"] for f in first] == [["tenth"]]


def test_without_progress_findings_are_written_but_not_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trial = train(epochs=5, out=tmp_path)
    assert capfd.readouterr().err == ""
    assert len(load_findings(tmp_path / trial.folder_name / "findings.json")) == 1
    short = train(epochs=2, out=tmp_path)
    assert load_findings(tmp_path / short.folder_name / "findings.json") == []


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_goes_on_takes_up_its_findings_and_one_that_begins_anew_does_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], resume: bool
) -> None:
    with pytest.raises(KeyboardInterrupt):  # 5 + 3 calls per epoch: in the seventh
        train(epochs=8, out=tmp_path, loss=Typed(nn.BCEWithLogitsLoss(), ill_at=6 * 8 + 2))
    (file,) = tmp_path.glob("*/findings.json")
    body = json.loads(file.read_text())
    assert [f["code"] for f in body["findings"]] == ["EQ310"]
    body["findings"][0]["message"] = "Of before."
    file.write_text(json.dumps(body))
    capfd.readouterr()
    train(epochs=8, out=tmp_path, progress=True, resume=resume)
    said = capfd.readouterr().err.count("EQ310")
    (found,) = load_findings(file)
    assert (said, found.message == "Of before.") == ((0, True) if resume else (1, False))


def test_recalls_at_the_default_cut() -> None:
    labels = Labels.from_array([[1, 0, -1], [1, 0, 1]], kind="multilabel")
    values = default_recalls(np.array([[1.0, 1, 1], [-1, 1, 0]]), labels)
    assert values[:1] + values[2:] == [0.5, 0.0]
    assert np.isnan(values[1])


def test_lines_say_how_long_the_rest_takes(capsys: pytest.CaptureFixture[str]) -> None:
    train(progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "epoch" in line]
    assert all(re.search(r", \d+ s left$", line) for line in lines[:2])
    assert "left" not in lines[2]
