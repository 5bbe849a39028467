"""``--weight`` from a table to a rule, an evaluation and a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import equipoise as eq
from equipoise.cli.main import main

SCORED = ["--label", "fraud", "--scores", "z", "--score-kind", "logits", "--weight", "stands_for"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, n in (("val", 1500), ("test", 2500)):
        y = (rng.random(n) < 0.1).astype(int)
        weight = np.where(y == 1, 1.0, rng.uniform(2, 8, n)).round(2)
        z = (2 * y - 3 + rng.normal(size=n)).round(4)
        pl.DataFrame({"fraud": y, "z": z, "stands_for": weight}).write_csv(f"{part}.csv")
    return tmp_path


def labels_of(name: str) -> tuple[eq.Labels, np.ndarray]:
    frame = pl.read_csv(name)
    weights = frame["stands_for"].to_numpy()
    y = frame["fraud"].to_numpy()
    labels = eq.Labels.from_array(y, kind="multilabel", names=["fraud"], weights=weights)
    return labels, frame["z"].to_numpy()


def test_tune_and_evaluate_count_rows_by_weight(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tune", "val.csv", *SCORED, "-o", "rule.json") == 0
    parts = {part: labels_of(f"{part}.csv") for part in ("val", "test")}
    made = [eq.Scores.from_arrays(lab, logits=z, split=part) for part, (lab, z) in parts.items()]
    rule = eq.DecisionRule.load("rule.json")
    np.testing.assert_allclose(rule.thresholds, eq.tune(made[0]).thresholds)
    capsys.readouterr()
    assert run("evaluate", "rule.json", "test.csv", *SCORED, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    found = eq.evaluate(rule, made[1]).per_label["fraud"]
    given = told.get("evaluation", told)["per_label"]["fraud"]
    for metric in ("prevalence", "ap", "recall", "precision"):
        assert given[metric]["value"] == pytest.approx(found[metric].value)
        assert given[metric]["low"] == pytest.approx(found[metric].low)
    assert run("evaluate", "rule.json", "test.csv", *SCORED) == 0
    assert "2500 rows, by weight worth" in capsys.readouterr().out
    assert run("evaluate", "rule.json", "test.csv", *SCORED[:-2]) == 0
    assert "without weights (the rule was tuned with row weights)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "said"),
    [(None, "None in row 2"), ("0", "'0' in row 2"), ("-1", "row 2"), ("many", "'many' in row 2")],
)
def test_bad_weights_are_named(
    tables: Path, capsys: pytest.CaptureFixture[str], cell: str | None, said: str
) -> None:
    frame = pl.read_csv("val.csv", infer_schema=False)
    column = frame["stands_for"].to_list()
    column[2] = cell
    frame.with_columns(stands_for=pl.Series(column)).write_csv("bad.csv")
    assert run("tune", "bad.csv", *SCORED, "-o", "rule.json") == 3
    message = capsys.readouterr().err
    assert "column stands_for" in message
    assert said.replace("'", "") in message.replace("'", "")
    assert not Path("rule.json").exists()
    assert run("tune", "val.csv", *SCORED[:-1], "stand", "-o", "rule.json") != 0
    assert "--weight" in capsys.readouterr().err


def test_a_certified_precision_is_refused(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--objective", "precision", "--at-least", "0.5"]
    assert run("tune", "val.csv", *SCORED, *words, "-o", "rule.json") == 2
    assert "row weights" in capsys.readouterr().err


def test_a_comparison_trains_and_judges_by_weight(tables: Path) -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    y = (rng.random(400) < 0.25).astype(int)
    x = rng.normal(size=(400, 3)) + y[:, None]
    frame = pl.DataFrame(x.round(3), schema=["a", "b", "c"]).with_columns(
        y=pl.Series(y), stands_for=pl.Series(np.where(y == 1, 1.0, 6.0))
    )
    frame.write_csv("table.csv")
    arms = "arms=[none, none + thresholds, pos_weight, logistic_regression, prevalence]"
    words = ["--set", "models=[]", "--set", "seeds=2", "--set", arms, "--set", "training.epochs=3"]
    assert run("compare", "table.csv", "--label", "y", "--weight", "stands_for", *words,
               "-o", "out") == 0  # fmt: skip
    result = eq.Comparison.load("out/comparison.json")
    share = float(np.average(y, weights=frame["stands_for"].to_numpy()))
    card = result.data
    assert card["positives"]["y"]["prevalence"] == pytest.approx(share)
    assert card["effective_rows"] < 400
    # The column of weights is no feature, and logistic regression says the population's share.
    reference = next(a for a in result.arms if a.method == "logistic_regression")
    assert reference.evaluation is not None
    ratio = reference.evaluation.per_label["y"]["calibration_ratio"].value
    assert ratio == pytest.approx(1.0, abs=0.2)
    page = Path("out/report.html").read_text()
    assert "Rows have weights, and cuts that are moved by hand" in page
    assert f"<b>{card['effective_rows']:,.0f}</b>rows of equal weight" in page
    refused = "arms=[none, none + thresholds, pairwise_auc]"
    assert run("compare", "table.csv", "--label", "y", "--weight", "stands_for",
               "--set", "models=[]", "--set", refused, "-o", "other") == 2  # fmt: skip
