"""``equipoise export``: a rule where there is no Python, and model folders of tables."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import equipoise as eq
from equipoise.artifacts import Correction, DecisionRule
from equipoise.boosting.columns import Column
from equipoise.boosting.model import HeadWeights, TableModel
from equipoise.boosting.preparation import Preparation
from equipoise.cli.main import main
from equipoise.studies.export_model import export_model

Z = np.random.default_rng(0).normal(-1, 2, size=(600, 2))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    truth = (np.random.default_rng(1).random(Z.shape) < 1 / (1 + np.exp(-Z))).astype(int)
    labels = eq.Labels.from_array(truth, kind="multilabel", names=["A", "B"])
    scores = eq.Scores.from_arrays(labels, logits=Z, split="val")
    eq.tune(scores).save("rule.json")
    eq.tune(scores, objective=eq.Budget(flags_per_row=0.5)).save("budget.json")
    return tmp_path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    return int(stop.value.code or 0)


@pytest.mark.filterwarnings("ignore:score columns are matched by position")
def test_each_format_by_its_ending_or_by_name(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, name in (
        (["-o", "r.sql", "--table", "t", "--keep", "id", "--dialect", "spark"], "r.sql"),
        (["-o", "r.txt", "--format", "polars"], "r.txt"),
        (["--format", "javascript", "--scores", "zA,zB"], "rule.mjs"),
        (["--format", "sql"], "rule.sql"),
    ):
        assert run("export", "rule.json", *words) == 0
        assert capsys.readouterr().out == f"Written: {name}\n"
    assert "FROM `t`" in Path("r.sql").read_text()
    assert 'COLUMNS = ["zA", "zB"]' in Path("rule.mjs").read_text()
    assert run("export", "rule.json", "-o", "r.py", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"out": "r.py", "format": "polars"}
    assert run("export", "rule.json", "--format", "sql", "-o", "/dev/stdout") == 0
    shown = capsys.readouterr()
    assert shown.err == "Written: /dev/stdout\n"


def test_polars_decides_as_apply_does(place: Path) -> None:
    assert run("export", "rule.json", "-o", "decide.py") == 0
    pl.DataFrame({"id": range(600), "A": Z[:, 0], "B": Z[:, 1]}).write_csv("new.csv")
    words = ["--score-kind", "logits", "--scores", "A,B", "--id", "id", "-o", "want.csv"]
    assert run("apply", "rule.json", "new.csv", *words) == 0
    code = (
        "import sys, polars as pl; from decide import decide; "
        "pl.scan_csv('new.csv').pipe(decide).drop('A', 'B').sink_csv('got.csv'); "
        "assert 'equipoise' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    want, got = pl.read_csv("want.csv"), pl.read_csv("got.csv")
    assert want.columns == got.columns
    np.testing.assert_allclose(got.to_numpy(), want.to_numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rule.json"], 2, "got no ending. Or say the format: --format sql."),
        (["rule.json", "--format", "sqll"], 2, "`--format` must be one of 'sql'"),
        (["rule.json", "-o", "r.py", "--keep", "id"], 2, "`--keep` must be given for SQL alone"),
        (["rule.json", "-o", "r.sql", "--dialect", "db2"], 2, "`--dialect` must be one of"),
        (["rule.json", "-o", "r.sql", "--score-kind", "ranking"], 2, "`--score-kind` must be"),
        (["rule.json", "-o", "r.sql", "--scores", "A,C"], 3, "`--scores` must name"),
        (["rule.json", "-o", "r.sql", "--rule", "b.json"], 2, "`--rule` must be left out"),
        (["budget.json", "-o", "r.sql"], 2, "pass --by-row for the cut that met it"),
        (["gone.json", "-o", "r.sql"], 3, "gone.json"),
        (["empty", "-o", "r.sql"], 3, "Tune one with `equipoise tune`, and pass --rule rule.json"),
        (["empty", "-o", "r.onnx", "--rule", "rule.json"], 3, "trial.json"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(
    words: list[str], code: int, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    before = sorted(p.name for p in place.iterdir())
    assert run("export", *words) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in place.iterdir()) == before


def test_a_budget_row_by_row(place: Path) -> None:
    assert run("export", "budget.json", "-o", "r.py", "--by-row") == 0
    scope: dict[str, object] = {}
    exec(compile(Path("r.py").read_text(), "r.py", "exec"), scope)  # noqa: S102
    rule = DecisionRule.load("budget.json")
    made = scope["decide"](pl.DataFrame(Z, schema=["A", "B"], orient="row"))  # type: ignore[operator]
    new = eq.Scores.from_arrays(None, logits=Z, split="new", kind="multilabel", names=["A", "B"])
    want = rule.log_odds(new) >= rule.thresholds
    np.testing.assert_array_equal(made.select("decision:A", "decision:B").to_numpy(), want)


def table_model(place: Path, correction: Correction, **more: object) -> TableModel:
    """Two numbers to two outputs, one with a weight that the correction undoes."""
    state = {"mean": np.zeros(2), "std": np.ones(2), "head.weight": np.eye(2),
             "head.bias": np.array([np.log(9.0), 0.0])}  # fmt: skip
    rule = DecisionRule.load(place / "rule.json")
    columns = (Column("x0", "number"), Column("x1", "number"))
    return TableModel("multilabel", ("A", "B"), "mlp", [HeadWeights(state)], columns,
                      Preparation("trees", None, {}, ()), correction, rule)  # fmt: skip


def test_a_model_of_a_table_takes_what_it_puts_out_itself(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors")
    model = table_model(place, Correction.from_pos_weight([9.0, 1.0]))
    model.save("model")
    assert run("export", "model", "-o", "r.py") == 0
    scope: dict[str, object] = {}
    exec(compile(Path("r.py").read_text(), "r.py", "exec"), scope)  # noqa: S102
    x = Z.astype(np.float32)
    raw = pl.DataFrame(model.parts[0].outputs(x), schema=["A", "B"], orient="row")
    made = scope["decide"](raw)  # type: ignore[operator]
    p = made.select("probability:A", "probability:B").to_numpy()
    np.testing.assert_allclose(p, model.predict_proba(x), rtol=0, atol=1e-9)
    capsys.readouterr()
    assert run("export", "model", "-o", "r.onnx") == 2
    assert "`model` must be LightGBM to become ONNX, got mlp." in capsys.readouterr().err


def test_a_rule_that_corrects_log_odds_itself_is_not_put_behind_another(place: Path) -> None:
    pytest.importorskip("safetensors")
    model = table_model(place, Correction.from_pos_weight([9.0, 1.0]))
    model.save("model")
    rule = eq.tune(
        eq.Scores.from_arrays(
            eq.Labels.from_array((Z > 0).astype(int), kind="multilabel", names=["A", "B"]),
            logits=Z, split="val", correction=Correction.from_undersampling([0.5, 0.5]),
        )
    )  # fmt: skip
    rule.save("other.json")
    with pytest.raises(eq.errors.UsageError, match="take the model's log-odds as they are"):
        export_model("model", "r.sql", rule="other.json")


def test_outputs_that_only_rank_go_to_a_rule_of_ranks(place: Path) -> None:
    pytest.importorskip("safetensors")
    model = table_model(place, Correction("multilabel", (), "none"))
    ranks = replace(model.rule, correction=None, tuned_on={"score_kind": "ranking"})
    model = replace(model, rule=ranks)
    model.save("model")
    assert run("export", "model", "-o", "r.py") == 0
    scope: dict[str, object] = {}
    exec(compile(Path("r.py").read_text(), "r.py", "exec"), scope)  # noqa: S102
    x = Z.astype(np.float32)
    raw = pl.DataFrame(model.parts[0].outputs(x), schema=["A", "B"], orient="row")
    made = scope["decide"](raw)  # type: ignore[operator]
    flags = made.select("decision:A", "decision:B").to_numpy()
    np.testing.assert_array_equal(flags, model.predict(x))
