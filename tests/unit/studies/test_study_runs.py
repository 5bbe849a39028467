"""Studies: parsing, plans, pairing of arms within a seed, resuming, test rows untouched."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import Trial
from equipoise.cli.objective import parse_target
from equipoise.errors import DataError, DataWarning, LeakageError, UsageError
from equipoise.io.scores import counts_from_text, read_scores
from equipoise.methods import METHODS
from equipoise.studies.load import load_data
from equipoise.studies.plan import make_plan
from equipoise.studies.run import run_study
from equipoise.studies.schema import HeadTraining, Study, load_study, parse_study, set_value

DEMOS = sorted((files("equipoise.studies") / "demos").iterdir(), key=lambda p: p.name)
SMALL = {
    "data": {"source": "digit_mosaics", "rows": 400, "test_rows": 200, "blocks": 8},
    "arms": ["none", "pos_weight", "weighted_sampling"],
    "seeds": 2,
    "training": {"hidden": 0, "epochs": 2},
}


def study(**changes: Any) -> Study:
    content = {**SMALL, **changes}
    content["data"] = {"test_blocks": 4, **content["data"]}
    return parse_study(content)


@pytest.mark.parametrize("path", DEMOS, ids=lambda p: p.name)
def test_every_demo_parses_plans_and_keeps_the_rules(path: Any) -> None:
    demo = load_study(str(path))
    assert demo.seeds >= 5
    plan = make_plan(demo)
    groups = plan.data.labels.groups
    for split in plan.splits.values():
        assert np.array_equal(np.sort(split.test), np.sort(plan.splits.first.test))
        if groups is not None:
            parts = [set(groups[getattr(split, p)]) for p in ("train", "val", "test")]
            assert not parts[0] & parts[1]
            assert not (parts[0] | parts[1]) & parts[2]
    assert len({s.fingerprint for s in plan.splits.values()}) == demo.seeds


def test_long_tail_demo_is_balanced_where_it_must_be() -> None:
    plan = make_plan(load_study(str(DEMOS[1]), ("seeds=1",)))
    counts = {p: plan.data.labels[getattr(plan.splits.first, p)].counts for p in ("train", "val")}
    assert set(plan.data.labels[plan.splits.first.test].counts) == {50}
    assert set(counts["val"]) == {15}
    assert counts["train"][0] / counts["train"][-1] == pytest.approx(20, rel=0.15)


def test_set_changes_nested_values_and_reads_yaml() -> None:
    content: dict[str, Any] = {"training": {"epochs": 1}}
    set_value(content, "training.epochs=7")
    set_value(content, "comparison.target_prior=[0.2, 0.8]")
    assert content == {"training": {"epochs": 7}, "comparison": {"target_prior": [0.2, 0.8]}}
    for wrong in ("training.epochs", "=3", "training.epochs.x=1", "a=[1"):
        with pytest.raises(UsageError, match="`assignments`"):
            set_value(content, wrong)


def test_baseline_is_trained_even_if_not_listed() -> None:
    arms = study(arms=["pos_weight"]).trained_arms()
    assert [a.label for a in arms] == ["none", "pos_weight"]


REFITS = 2 * 2  # of the baseline on half and a quarter of the rows, in two seeds


def test_budget_without_epochs_is_enough_steps() -> None:
    training = HeadTraining.model_validate(study(training={"hidden": 0}).training)
    assert training.resolved(640).epochs == 200
    assert training.resolved(640_000).epochs == 20
    assert HeadTraining.model_validate(study().training).resolved(640).epochs == 2


def test_arms_of_a_seed_share_rows_and_test_rows_never_change(tmp_path: Path) -> None:
    outcome = run_study(study(), out=tmp_path)
    trials = [Trial.load(p) for p in sorted((tmp_path / "trials").iterdir())]
    assert len(trials) == 6 + REFITS
    assert (outcome.trained, outcome.reused) == (6 + REFITS, 0)
    for seed in (0, 1):
        own = [t for t in trials if t.seed == seed]
        for part in ("val", "test"):
            ids = [t.scores[part].ids.tolist() for t in own]
            assert all(i == ids[0] for i in ids)
    tests = [set(t.scores["test"].ids.tolist()) for t in trials]
    assert all(t == tests[0] for t in tests)
    assert not tests[0] & set(trials[0].scores["val"].ids.tolist())


def test_resumed_study_gives_the_same_comparison(tmp_path: Path) -> None:
    whole = run_study(study(), out=tmp_path / "whole").comparison
    run_study(study(seeds=1), out=tmp_path / "parts")
    outcome = run_study(study(), out=tmp_path / "parts")
    assert (outcome.trained, outcome.reused) == (3 + REFITS // 2, 3 + REFITS // 2)
    # Three heads of seed 0 were trained beside those of seed 1, or not: equal up to rounding.
    for arm, again in zip(whole.arms, outcome.comparison.arms, strict=True):
        for metric, estimate in arm.record.items():
            assert again.record[metric].value == pytest.approx(
                estimate.value, abs=1e-5, nan_ok=True
            )
        assert (arm.gain is None) or arm.gain.verdict == again.gain.verdict


def test_changed_setting_trains_anew(tmp_path: Path) -> None:
    run_study(study(), out=tmp_path)
    slower = study(training={"hidden": 0, "epochs": 3})
    assert run_study(slower, out=tmp_path).trained == 6 + REFITS


def test_half_written_trial_is_trained_again(tmp_path: Path) -> None:
    run_study(study(), out=tmp_path)
    folder = next((tmp_path / "trials").glob("none-s0-*"))
    (folder / "trial.json").unlink()
    assert run_study(study(), out=tmp_path).trained == 1


def test_two_tables_are_joined_and_leakage_between_them_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"id": np.arange(120), "x": rng.normal(size=120), "y": rng.choice(["a", "b"], 120)}
    )
    frame[:80].write_csv(tmp_path / "train.csv")
    frame[80:].write_csv(tmp_path / "test.csv")
    data = {"path": "train.csv", "test_path": "test.csv", "label": "y", "id": "id"}
    (tmp_path / "study.yaml").write_text(f"data: {data}\narms: [none]\n")
    loaded = load_data(load_study(tmp_path / "study.yaml"))
    assert loaded.test.tolist() == list(range(80, 120))
    frame[70:].write_csv(tmp_path / "test.csv")
    with pytest.raises(LeakageError, match="10 in common"):
        load_data(load_study(tmp_path / "study.yaml"))
    frame[80:].with_columns(z=pl.lit(1.0)).write_csv(tmp_path / "test.csv")
    with pytest.warns(DataWarning, match="'z' was not among the columns"):
        load_data(load_study(tmp_path / "study.yaml"))
    frame[80:].drop("x").write_csv(tmp_path / "test.csv")
    with pytest.raises(DataError, match="none called 'x'"):
        load_data(load_study(tmp_path / "study.yaml"))


def test_an_arm_with_a_cosine_head_stands_beside_the_baseline(tmp_path: Path) -> None:
    content = {
        "data": {"source": "digits"},
        "arms": ["none", "ldam"],
        "seeds": 2,
        "training": {"hidden": 16, "epochs": 3},
    }
    result = run_study(parse_study(content), out=tmp_path).comparison
    assert result.arm("ldam").exactness == "exact"
    assert np.isfinite(result.arm("ldam").record["log_loss_formula"].value)
    trial = Trial.load(next((tmp_path / "trials").glob("ldam-s0-*")))
    assert np.abs(trial.scores["test"].values).max() <= 1.0 + 1e-6
    assert trial.scores["test"].has_probabilities


def test_words_of_the_command_line() -> None:
    assert counts_from_text("A=3, B=4") == {"A": 3, "B": 4}
    assert parse_target("0.2,0.8") == [0.2, 0.8]
    for wrong in ("A", "A=x", "A=1,A=2", "=3"):
        with pytest.raises(UsageError):
            counts_from_text(wrong)


def test_class_scores_of_a_table_take_their_names_from_the_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame({"y": ["b", "a", "b"], "b": [1.0, -2, 3], "a": [0.5, 3, 1]})
    frame.write_csv(tmp_path / "val.csv")
    scores = read_scores(tmp_path / "val.csv", "logits", ["b", "a"], "y")
    assert scores.names == ("b", "a")
    assert scores.labels.values.tolist() == [0, 1, 0]


def test_methods_have_distinct_summaries_and_references() -> None:
    assert len({m.summary for m in METHODS.values()}) == len(METHODS)
    assert all(m.reference for m in METHODS.values())
