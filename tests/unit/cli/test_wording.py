"""Messages of the library reach the terminal in the words of its options, for every verb."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import equipoise
from equipoise._core.messages import Argument, Message, say
from equipoise.cli.main import CALLED, OF_VERB, app, options_of, run_app, spell
from equipoise.errors import UsageError

SCORES = ["--score-kind", "logits", "--scores", "zA,zB"]
SAMPLER = ["audit", "equipoise.sampling:ClassBalancedSampler", "--allow-code", "--labels", "t.csv"]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (40, 2))
    columns = {"A": y[:, 0], "B": y[:, 1], "y": np.where(y[:, 0] == 1, "cat", "dog")}
    columns |= {f"z{n}": rng.normal(size=40) for n in "AB"}
    pl.DataFrame(columns).write_csv("t.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (SAMPLER, "`--label and --columns` must be given, exactly one of the two, got neither"),
        ([*SAMPLER, "--columns", "A,X"], "`--columns` must name columns of the table, got 'X'"),
        ([*SAMPLER, "--columns", "y"], "is --label, not --columns."),
        ([*SAMPLER, "--label", "q"], "`--label` must name columns of the table"),
        (["split", "t.csv"], "`--label and --labels` must be given"),
        (["split", "t.csv", "--label", "y", "--id", "q"], "`--id` must name columns"),
        (["split", "t.csv", "--label", "y", "--group", "q"], "`--group` must name columns"),
        (["split", "t.csv", "--label", "y", "--min-per-part", "-1"], "`--min-per-part` must be"),
        (["split", "t.csv", "--labels", "A", "--kind", "multiclass"], "of --kind multilabel, got"),
        (["diagnose", "t.csv"], "`--label and --labels` must be given"),
        (["diagnose", "--positives", "A=3", "--rows", "2"], "`--rows` must be at least"),
        (["tune", "t.csv", *SCORES], "`--label and --labels` must be given"),
        (["tune", "t.csv", *SCORES, "--labels", "A,B", "--at-least", "2"], "`--at-least` must"),
        (["tune", "t.csv", *SCORES, "--labels", "A,B", "--confidence", "9"], "`--confidence` must"),
        (["tune", "t.csv", *SCORES, "--labels", "A,B", "--target-prior", "em"], "-target-prior em"),
    ],
)
def test_verbs_speak_of_options(
    tables: None, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    if words[0] == "audit":
        pytest.importorskip("torch")
    assert run_app(app, words) in (2, 3)
    found = capsys.readouterr().err
    assert message in found
    assert "label=" not in found


def test_every_option_exists() -> None:
    from typer.main import get_command

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    parameters = {p.name for verb in verbs.values() for p in verb.params}
    assert set(CALLED.values()) <= parameters
    for verb, own in OF_VERB.items():
        assert set(own.values()) <= {p.name for p in verbs[verb].params}
    for verb, command in verbs.items():
        options = {option for p in command.params for option in p.opts}
        known = set(options_of(app, verb).values())
        assert {o.split()[0] for o in known if o.startswith("--")} <= options


def test_other_words_stay() -> None:
    text = "`weights` must be 3, got 4. Did you mean `label`? Pass probabilities=False."
    assert spell(text, options_of(app, "split")) == text
    told = say("weights", "be 3", 4, "Did you mean `label`? Pass probabilities=False.")
    assert told == text
    assert spell(told, options_of(app, "split")) == text


def test_a_message_keeps_its_arguments_in_an_error_and_through_a_pickle() -> None:
    error = UsageError(say("kind", "be known", "x", Message("Give ", Argument("kind", "a b"), ".")))
    assert str(error) == '`kind` must be known, got x. Give kind="a b".'
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (
        spell(again.args[0], {"kind": "--kind"})
        == "`--kind` must be known, got x. Give --kind 'a b'."
    )


def test_advice_of_the_library_knows_its_arguments() -> None:
    """Else the command line would say "pass name=value", which is no word there."""
    root, found = Path(equipoise.__file__).parent, []
    for path in root.rglob("*.py"):
        if {"cli", "keras"} & set(path.parts):  # Keras has no command line
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        hints = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _name(n.func) == "hint"]
        docs = [n for n in ast.walk(tree) if isinstance(n, ast.Expr)]
        known = {id(inner) for n in (*hints, *docs) for inner in ast.walk(n)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said = re.search(r"(?i)\b(pass|give|say|use|set) \w+=", node.value)
                if said and id(node) not in known:
                    found.append(f"{path.name}: {node.value}")
    assert found == []


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def test_the_library_names_no_options() -> None:
    root, found = Path(equipoise.__file__).parent, []
    for path in root.rglob("*.py"):
        if path.parent.name in ("cli", "report"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or id(node) in docs:
                continue
            text = node.value if isinstance(node.value, str) else ""
            if re.search(r"(?<![\w-])--[a-z]", text) and "equipoise " not in text:
                found.append(f"{path.name}: {text}")
    assert found == []
