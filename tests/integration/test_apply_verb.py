"""``equipoise apply``: a rule on files of any size, batch by batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import Correction, DecisionRule, Scores
from equipoise.artifacts.calibrator import Calibrator
from equipoise.cli.main import app, run_app
from equipoise.errors import DataError
from equipoise.studies.apply_file import apply_file

NAMES = ("A", "B", "C")
Z = np.random.default_rng(0).normal(size=(101, 3))
IDS = np.array([f"r{i}" for i in range(101)])


def label_rule(choice: dict[str, object] | None = None) -> DecisionRule:
    return DecisionRule(
        "multilabel",
        NAMES,
        Correction.from_pos_weight([3.0, 1.0, 0.5]),
        Calibrator.identity(3),
        np.array([0.1, 0.0, -0.2]),
        np.array([0.3, -0.4, np.inf]),
        None,
        "f1",
        "validation",
        {},
        choice=choice,
    )


def class_rule() -> DecisionRule:
    return DecisionRule(
        "multiclass",
        NAMES,
        Correction.identity("multiclass"),
        Calibrator.identity(3),
        np.zeros(3),
        None,
        np.array([0.0, 0.5, 1.0]),
        "balanced_accuracy",
        "validation",
        {},
    )


def scores_of(rule: DecisionRule) -> Scores:
    return Scores.from_arrays(
        None, logits=Z, split="new", kind=rule.kind, names=NAMES, ids=IDS, check_kind=False
    )


@pytest.mark.parametrize("batch", [7, 1000])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_batches_decide_as_the_whole(tmp_path: Path, batch: int, ending: str) -> None:
    for rule in (label_rule(), class_rule()):
        expected = rule.apply(scores_of(rule))
        scores_of(rule).save(tmp_path / "new.parquet")
        seen: list[tuple[int, int]] = []
        out = tmp_path / f"out.{ending}"
        made = apply_file(
            rule,
            tmp_path / "new.parquet",
            out,
            batch_rows=batch,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )
        found = pl.read_csv(out) if ending == "csv" else pl.read_parquet(out)
        assert found["id"].to_list() == IDS.tolist()
        probability = found.select([f"probability:{n}" for n in NAMES]).to_numpy()
        np.testing.assert_allclose(probability, expected.probabilities, rtol=1e-12)
        if rule.kind == "multiclass":
            assert found["decision"].to_list() == [NAMES[i] for i in expected.predictions]
            counts = np.bincount(expected.predictions, minlength=3)
        else:
            flags = found.select([f"decision:{n}" for n in NAMES]).to_numpy()
            assert (flags == expected.predictions).all()
            counts = expected.predictions.sum(0)
        assert made.decided == dict(zip(NAMES, counts.tolist(), strict=True))
        assert made.n_rows == 101
        assert seen[-1] == (101, 101)
        assert len(seen) == -(-101 // batch)


@pytest.mark.parametrize("per_row", [0.01, 0.5, 2.99, 3.0])
def test_a_budget_is_spread_over_the_whole_file(tmp_path: Path, per_row: float) -> None:
    rule = label_rule({"form": "budget", "flags_per_row": per_row})
    scores_of(rule).save(tmp_path / "new.parquet")
    apply_file(rule, tmp_path / "new.parquet", tmp_path / "out.parquet", batch_rows=10)
    found = pl.read_parquet(tmp_path / "out.parquet").select([f"decision:{n}" for n in NAMES])
    assert (found.to_numpy() == rule.apply(scores_of(rule)).predictions).all()
    assert found.to_numpy().sum() == int(per_row * 101)


def test_a_table_of_anyone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = label_rule()
    rule.save(tmp_path / "rule.json")
    table = pl.DataFrame({"row": IDS, **{f"z{n}": Z[:, i] for i, n in enumerate(NAMES)}})
    table.write_csv(tmp_path / "new.csv")
    words = ["--score-kind", "logits", "--scores", "zA,zB,zC", "--id", "row", "--json"]
    files = [str(tmp_path / name) for name in ("rule.json", "new.csv", "out.parquet")]
    assert run_app(app, ["apply", files[0], files[1], "-o", files[2], *words]) == 0
    report = json.loads(capsys.readouterr().out)
    flags = rule.apply(scores_of(rule)).predictions.sum(0)
    assert report["decided"] == dict(zip(NAMES, flags.tolist(), strict=True))
    assert pl.read_parquet(files[2]).columns[0] == "row"
    assert run_app(app, ["apply", files[0], files[1], "-o", files[2], *words[:-1]]) == 0
    assert "101 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.parquet"], 3, "must be a file, got nothing there"),
        (["new.txt"], 2, "must end in .parquet, .csv or .npz"),
        (["new.csv"], 2, "--score-kind logits --scores zA,zB"),
        (["new.csv", "--score-kind", "logits", "--scores", "zA,zX,zC"], 3, "['zX']"),
        (["new.csv", "--score-kind", "odds", "--scores", "zA,zB,zC"], 2, "`--score-kind` must be"),
        (["new.csv", "--score-kind", "logits", "--scores", "zA,zB,row"], 3, "must hold numbers"),
        (["new.csv", "--score-kind", "logits", "--scores", "zA,zB"], 3, "one column for each"),
        (["rule.json"], 2, "must end in .parquet, .csv or .npz"),
        (["broken.parquet"], 3, "must be a readable table"),
        (["broken.npz", "--score-kind", "logits", "--scores", "z"], 3, "must be an npz file"),
        (["new.npz"], 2, "--score-kind logits --scores zA,zB"),
        (["new.npz", "--score-kind", "logits", "--scores", "q"], 3, "['q']"),
        (["new.npz", "--score-kind", "logits", "--scores", "z", "--id", "row"], 3, "['row']"),
        (["new.csv", "--score-kind", "logits", "--scores", "zA,zB,zC", "-o", "o.txt"], 2, "--out"),
    ],
)
@pytest.mark.filterwarnings("ignore:score columns are matched by position")
def test_wrong_inputs_are_named_and_leave_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    label_rule().save("rule.json")
    frame = pl.DataFrame({"row": IDS, **{f"z{n}": Z[:, i] for i, n in enumerate(NAMES)}})
    frame.write_csv("new.csv")
    Path("broken.parquet").write_bytes(b"PAR1")
    Path("broken.npz").write_bytes(b"PK")
    np.savez("new.npz", z=Z)
    Path("new.txt").write_text("1\n")
    before = {path.name for path in tmp_path.iterdir()}
    assert run_app(app, ["apply", "rule.json", *words]) == code
    found = capsys.readouterr().err
    assert message in found
    assert "Traceback" not in found
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("columns", [["z"], ["zA", "zB", "zC"]])
def test_arrays_are_decided_as_a_table(tmp_path: Path, columns: list[str]) -> None:
    parts = {"z": Z} if columns == ["z"] else {c: Z[:, i] for i, c in enumerate(columns)}
    np.savez(tmp_path / "new.npz", row=IDS, label_names=np.array(NAMES), **parts)
    rules = (label_rule(), class_rule(), label_rule({"form": "budget", "flags_per_row": 0.5}))
    for rule in rules:
        made = apply_file(
            rule,
            tmp_path / "new.npz",
            tmp_path / "out.parquet",
            score_kind="logits",
            columns=columns,
            id_column="row",
            batch_rows=10,
        )
        found, expected = pl.read_parquet(tmp_path / "out.parquet"), rule.apply(scores_of(rule))
        assert found["row"].to_list() == IDS.tolist()
        probability = found.select([f"probability:{n}" for n in NAMES]).to_numpy()
        np.testing.assert_allclose(probability, expected.probabilities, rtol=1e-12)
        assert made.n_rows == 101
        if rule.kind == "multilabel":
            flags = found.select([f"decision:{n}" for n in NAMES]).to_numpy()
            assert (flags == expected.predictions).all()


def test_a_bad_row_far_down_leaves_nothing(tmp_path: Path) -> None:
    values = Z.copy()
    values[90, 1] = np.nan
    frame = pl.DataFrame({f"z{n}": values[:, i] for i, n in enumerate(NAMES)})
    frame.write_parquet(tmp_path / "new.parquet")
    with pytest.raises(DataError):
        apply_file(
            label_rule(),
            tmp_path / "new.parquet",
            tmp_path / "out.parquet",
            score_kind="logits",
            columns=["zA", "zB", "zC"],
            batch_rows=10,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["new.parquet"]
