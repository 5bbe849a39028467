"""Arms of a study that scikit-learn fits: references and the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Trial
from equipoise.errors import UsageError
from equipoise.studies import run as running
from equipoise.studies.fitted import code_of
from equipoise.studies.grid import settings_of
from equipoise.studies.plan import plan_rows
from equipoise.studies.schema import Study, StudyArm, parse_study

MINE = "unit.studies.my_arms"


def study(arms: list[Any], **changes: Any) -> Study:
    data = {"source": "digit_mosaics", "rows": 400, "test_rows": 300, "blocks": 8, "test_blocks": 4}
    content = {"data": data, "seeds": 2, "training": {"hidden": 0, "epochs": 4}}
    return parse_study({**content, "arms": arms, **changes})


def test_references_stand_beside_the_arms_and_are_no_remedies(tmp_path: Path) -> None:
    references = ["prevalence", "all_negative", "nearest_neighbours", "logistic_regression"]
    outcome = running.run_study(study(["none", "pos_weight", *references]), out=tmp_path)
    result = outcome.comparison
    assert (outcome.trained, outcome.reused) == (12 + 2 * 2, 0)  # and refits of `none`
    assert [a.method for a in result.arms if a.is_reference] == references
    assert result.recommended not in references
    assert result.arm("prevalence").verdict == "worse (reference)"
    assert result.arm("none").verdict == "baseline"
    positive = [result.data["positives"][n]["prevalence"] for n in result.names]
    # No ranking: AP is the prevalence, AUROC one half.
    for name in ("prevalence", "all_negative"):
        record = result.arm(name).record
        assert record["macro_ap"].value == pytest.approx(np.mean(positive))
        assert record["macro_auroc"].value == pytest.approx(0.5)
    # One remedy is tested: its p-value is not adjusted for the four references.
    alone = running.run_study(study(["none", "pos_weight"]), out=tmp_path)
    assert (alone.trained, alone.reused) == (0, 4 + 2 * 2)
    gain, same = (r.arm("pos_weight").gain for r in (result, alone.comparison))
    assert gain.p_adjusted == same.p_adjusted
    again = running.run_study(study(["none", "pos_weight", *references]), out=tmp_path)
    assert again.trained == 0
    assert again.comparison.arms == result.arms


def test_a_reference_that_does_better_is_named(tmp_path: Path) -> None:
    weak = {"hidden": 0, "epochs": 1, "lr": 1e-6}
    result = running.run_study(
        study(["none", "logistic_regression"], training=weak, seeds=3), out=tmp_path
    ).comparison
    assert result.summary[0].startswith("The baseline hardly learns")
    assert "logistic_regression beats none" in result.summary[0]


def test_classifiers_of_the_user_are_arms(tmp_path: Path) -> None:
    arms = [
        "none",
        {"method": f"{MINE}:weighted", "name": "weighted LR", "grid": {"strength": [0.1, 1.0]}},
        {"method": f"{MINE}:resampled", "name": "oversampled LR"},
    ]
    own = study(arms, tuning={"lr": [1e-3, 1e-2]})
    with pytest.raises(UsageError, match=r"run no foreign code.*allow_code=True"):
        running.run_study(own, out=tmp_path)
    assert {k: len(v) for k, v in settings_of(own).items()} == {
        "none": 2, "weighted LR": 2, "oversampled LR": 1,
    }  # fmt: skip
    outcome = running.run_study(own, out=tmp_path, allow_code=True)
    # And of each seed the baseline's two settings on two shares of the rows.
    assert (outcome.trained, outcome.reused) == (2 * (2 + 2 + 1) + 2 * 2 * 2, 0)
    assert not any(a.is_reference for a in outcome.comparison.arms)
    trials = [Trial.load(p) for p in (tmp_path / "trials").glob("weighted*")]
    assert len(trials) == 2
    assert all(t.config["tuning"]["chosen_among"] == 2 for t in trials)
    candidates = [Trial.load(p) for p in (tmp_path / "candidates").iterdir()]
    assert all("test" not in t.scores for t in candidates)
    _, rows, summary = plan_rows(own, tmp_path, allow_code=True)
    assert {row[-1] for row in rows} == {"finished"}
    assert "strength=0.1" in {row[1] for row in rows}
    assert summary.endswith("Nothing to train.")


def test_an_arm_is_fitted_anew_when_its_module_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = StudyArm(method=f"{MINE}:resampled")
    before = code_of(arm)
    assert before == code_of(arm)
    monkeypatch.setattr("inspect.getsource", lambda _: "changed")
    assert code_of(arm) != before


WRONG = {
    "no classifier": (
        f"{MINE}:wrong",
        {},
        UsageError,
        "be a scikit-learn classifier, got int",
    ),
    "no such name": (f"{MINE}:nothing", {}, UsageError, "must exist"),
    "its settings": (f"{MINE}:weighted", {"c": 1}, UsageError, "be what weighted takes"),
    "of a reference": (
        "nearest_neighbours",
        {"K": 1},
        UsageError,
        "must be a setting, got K. Did you mean `k`?",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arms_are_answered_in_one_line(name: str, tmp_path: Path) -> None:
    method, settings, error, message = WRONG[name]
    arm = {"method": method, "settings": settings}
    with pytest.raises(error, match=message) as caught:
        running.run_study(study(["none", arm]), out=tmp_path, allow_code=True)
    assert "\n" not in str(caught.value)


def test_an_arm_that_cannot_be_fitted_is_left_out_with_the_reason(tmp_path: Path) -> None:
    outcome = running.run_study(study(["none", f"{MINE}:broken"]), out=tmp_path, allow_code=True)
    (found,) = [f for f in outcome.comparison.findings if f.code == "EQ415"]
    assert re.search(r"broken, seed 0: \w+: .*penalty", found.message)
    assert "\n" not in found.message


def test_a_misspelt_reference_finds_its_name() -> None:
    with pytest.raises(UsageError, match="Did you mean `prevalence`"):
        study(["none", "prevalance"])
    with pytest.raises(UsageError, match="all_negative"):
        running.make_plan(
            parse_study({"data": {"source": "digits"}, "arms": ["none", "all_negative"]})
        )
