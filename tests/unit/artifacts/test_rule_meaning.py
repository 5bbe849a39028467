"""A rule is checked for what its numbers mean, not for its shape alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Correction, DecisionRule, Labels, Scores
from equipoise.cli.main import app, run_app
from equipoise.decisions import objectives, tune
from equipoise.errors import DataError, EquipoiseError

RNG = np.random.default_rng(0)
Y = (RNG.random((300, 2)) < [0.4, 0.2]).astype(np.int8)
Z = 2.0 * Y - 1.5 + RNG.normal(size=Y.shape)


def val(names: tuple[str, ...] = ("A", "B")) -> Scores:
    labels = Labels.from_array(Y, kind="multilabel", names=names, ids=np.arange(300))
    return Scores.from_arrays(labels, logits=Z, split="val")


BROKEN: dict[str, tuple[str, Any, str]] = {
    "offset beyond numbers": ("calibrator.offset", [1e308, 0.0], "calibrator.offset"),
    "shift beyond numbers": ("prior_shift", [1e308, 0.0], "prior_shift"),
    "cut beyond numbers": ("thresholds", [1e308, 0.0], "thresholds"),
    "names that are none": ("names", [3, 4], "list of texts"),
    "one text for names": ("names", "AB", "list of texts"),
    "one text for score columns": ("score_names", "zA", "list of texts"),
    "no methods": ("calibrator.method", [], "calibrator.method"),
    "scores of no kind": ("tuned_on.score_kind", 3, "tuned_on.score_kind"),
    "rows that are none": ("tuned_on.n_rows", "x", "tuned_on.n_rows"),
    "share decided": ("decided", [55.0, 0.1], "decided"),
    "share below 0": ("prior", [-1.0, 0.1], "prior"),
    "negative slope": ("calibrator.scale", [-1.0, 1.0], "calibrator.scale"),
    "slope of zero": ("calibrator.scale", [0.0, 1.0], "calibrator.scale"),
    "slope beyond numbers": ("calibrator.scale", [1e308, 1.0], "calibrator.scale"),
    "slope of another length": ("calibrator.scale", [1.0], "calibrator.scale"),
    "cut that flags all": ("thresholds", ["-inf", 0.0], "flag some rows and not others"),
    "cuts of another length": ("thresholds", [0.0], "thresholds"),
    "unknown objective": ("objective", "f_one", "objective"),
    "objective of classes": ("objective", "macro_f1", "objective"),
    "unknown grade": ("grades", ["A", "E"], "grades"),
    "one grade": ("grades", ["A"], "grades"),
    "one note": ("notes", ["x"], "notes"),
    "claims of another length": ("claimed", [0.1], "claimed"),
    "cross-fitted of another length": ("cross_fitted", [0.1, 0.2, 0.3], "cross_fitted"),
    "quartiles of another length": ("threshold_low", [0.1], "threshold_low"),
    "knots of another length": ("calibrator.knots", [None], "calibrator.knots"),
    "methods of another length": ("calibrator.method", ["platt"], "calibrator.method"),
    "prior of another length": ("target_prior", [0.1], "target_prior"),
    "prior outside": ("target_prior", [0.1, 1.5], "target_prior"),
    "prior of another word": ("target_prior", "flat", "target_prior"),
    "tuned on test rows": ("tuned_on.split", "test", "tuned_on.split"),
    "score columns of another length": ("score_names", ["A"], "score_names"),
    "name twice": ("names", ["A", "A"], "names"),
    "correction of another width": (
        "correction.ops",
        [{"op": "offset", "offset": [1.0, 2.0, 3.0]}],
        "correction",
    ),
    "evidence of no votes": ("evidence", {"steps": [0.0, 1.0], "prior": [0.1, 0.1]}, "evidence"),
    "evidence of another length": ("evidence", {"steps": [9.0], "prior": [0.1]}, "evidence"),
}


def broken(tmp_path: Path, field: str, value: Any) -> Path:
    path = tune(val()).save(tmp_path / "rule.json")
    body = json.loads(path.read_text())
    place = body
    *ways, last = field.split(".")
    for way in ways:
        place = place[way]
    place[last] = value
    path.write_text(json.dumps(body))
    return path


@pytest.mark.parametrize("case", BROKEN)
def test_a_rule_that_means_nothing_is_refused(case: str, tmp_path: Path) -> None:
    field, value, text = BROKEN[case]
    with pytest.raises(EquipoiseError, match=text):
        DecisionRule.load(broken(tmp_path, field, value))


def test_diagnose_does_not_call_a_broken_rule_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = broken(tmp_path, "calibrator.scale", [-1.0, 1.0])
    assert run_app(app, ["diagnose", "--rule", str(path)]) == 3
    said = capsys.readouterr()
    assert "calibrator.scale" in said.err
    assert said.out == ""


def test_the_objectives_that_a_rule_knows_are_those_of_the_tuner() -> None:
    from equipoise.artifacts.rule import OBJECTIVES

    for kind in ("multilabel", "multiclass"):
        known = {name for name, record in objectives.RECORDS.items() if kind in record.kinds}
        assert set(OBJECTIVES[kind]) == known


def test_a_rule_of_the_earlier_form_is_read_and_still_knows_its_rows(tmp_path: Path) -> None:
    from equipoise.comparison import evaluate
    from equipoise.errors import LeakageError

    rule = tune(val())
    path = rule.save(tmp_path / "rule.json")
    body = json.loads(path.read_text())
    body["version"], body["id_hashes"] = 2, body["rows"]["ids"]
    for later in ("rows", "score_names", "evidence", "prior", "decided"):
        del body[later]
    path.write_text(json.dumps(body))
    again = DecisionRule.load(path)
    np.testing.assert_array_equal(again.log_odds(val()), rule.log_odds(val()))
    overlapping = Scores.from_arrays(
        Labels.from_array(Y, kind="multilabel", names=["A", "B"], ids=np.arange(299, 599)),
        logits=Z + 1e-3,
        split="test",
    )
    with pytest.raises(LeakageError, match="1 of 300 rows in common"):
        evaluate(again, overlapping)


def test_columns_in_another_order_are_the_same_decisions() -> None:
    rule = tune(val())
    moved = Scores.from_arrays(
        Labels.from_array(Y[:, ::-1], kind="multilabel", names=["B", "A"]),
        logits=Z[:, ::-1],
        split="new",
    )
    np.testing.assert_array_equal(rule.log_odds(moved), rule.log_odds(val()))
    np.testing.assert_array_equal(rule.apply(moved).predictions, rule.apply(val()).predictions)
    with pytest.raises(DataError, match="must be multilabel with columns"):
        rule.apply(Scores.from_arrays(None, logits=Z, split="new", kind="multilabel",
                                      names=["A", "C"]))  # fmt: skip


def test_a_correction_moves_with_its_columns() -> None:
    undo = Correction.from_pos_weight([9.0, 1.0])
    one = Scores.from_arrays(
        None, logits=Z, split="new", kind="multilabel", names=["A", "B"], correction=undo
    )
    two = one.in_order(["B", "A"])
    np.testing.assert_array_equal(two.log_odds(), one.log_odds()[:, ::-1])
