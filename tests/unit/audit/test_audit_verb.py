"""``equipoise audit``: it asks before it runs code, reads settings, and can fail a build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from equipoise.audit import load_loss, read_settings
from equipoise.cli.main import main
from equipoise.errors import UsageError

ALPHA = "alpha=[10.79,2.45,4.90,1.13]"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["audit", *arguments])
    return int(stop.value.code or 0)


def test_code_is_run_only_when_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("foreign_losses:clamped") == 2
    said = capsys.readouterr()
    assert "needs --allow-code" in said.err
    assert not said.out


def test_lists_become_tensors_and_findings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("foreign_losses:ProbabilityFocal", "--allow-code", "--labels", "A,B,C,D")
    assert run(*wanted, "--arg", ALPHA, "--json") == 0
    codes = {f["code"]: f for f in json.loads(capsys.readouterr().out)}
    assert {"EQ501", "EQ503", "EQ504"} <= set(codes)
    assert list(codes["EQ503"]["evidence"]["operating_point"]) == ["A", "B", "C", "D"]
    assert run(*wanted, "--arg", ALPHA, "--fail-on", "error") == 4
    assert "EQ501 error: Not for logits" in capsys.readouterr().out


def test_a_number_of_labels_and_a_kind_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    loss = "torch.nn:BCEWithLogitsLoss"
    assert run(loss, "--allow-code", "--labels", "3", "--kind", "multilabel") == 0
    assert "EQ502 tip" in capsys.readouterr().out
    assert run(loss, "--allow-code", "--fail-on", "warning") == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "module:name"),
        (["foreign_losses:Nothing"], "must exist"),
        (["no_such_module:Loss"], "must exist"),
        (["foreign_losses:ProbabilityFocal"], "Give what it asks for, for example --arg"),
        (["foreign_losses:clamped", "--arg", "alpha"], "NAME=VALUE"),
        (["foreign_losses:clamped", "--arg", "alpha=[1"], "YAML"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--allow-code", "--labels", "2") == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_functions_keep_their_settings() -> None:
    loss = load_loss("foreign_losses:floored", {"floor": 2.5})
    assert loss(torch.zeros(2, 2), torch.zeros(2, 2)).item() == 2.5
    assert read_settings(["a=[1, 2]", "b=x", "c=null"]) == {"a": [1, 2], "b": "x", "c": None}
    with pytest.raises(UsageError, match="module:name"):
        load_loss("foreign_losses")


def test_lists_stay_lists_where_tensors_do_not_fit() -> None:
    loss = load_loss("torch.nn:Sequential")
    assert loss is not None
    table = load_loss("equipoise.losses:LogitAdjustedLoss", {"prior": [0.7, 0.3]})
    assert table.num_classes == 2
