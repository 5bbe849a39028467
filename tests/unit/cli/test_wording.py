"""Messages of the library reach the terminal in the words of its options, for every verb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.cli.exits import run_app
from equipoise.cli.main import app
from equipoise.cli.wording import OF_VERB, OPTIONS, in_options

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
    assert run_app(app, words) in (2, 3)
    found = capsys.readouterr().err
    assert message in found
    assert "label=" not in found


def test_every_option_exists() -> None:
    from typer.main import get_command

    group = get_command(app)
    verbs = group.commands  # type: ignore[attr-defined]
    known = {option for verb in verbs.values() for p in verb.params for option in p.opts}
    assert set(OPTIONS.values()) <= known
    for verb, own in OF_VERB.items():
        assert set(own.values()) <= {option for p in verbs[verb].params for option in p.opts}


def test_other_words_stay() -> None:
    text = "`weights` must be 3, got 4. Did you mean `label`? Pass probabilities=False."
    assert in_options(text, "split") == text
