"""Studies that test every row, stop by themselves, end in time, and go on without failed arms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import Comparison, Trial
from equipoise.comparison.verdict import LOOKS
from equipoise.errors import TrainingError, UsageError
from equipoise.studies import run as engine
from equipoise.studies.plan import make_plan, plan_rows
from equipoise.studies.run import Outcome, run_study
from equipoise.studies.schema import Study, parse_study
from forked import statuses

ARMS = ["none", "pos_weight", "focal"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3))
    y = (x[:, 0] + rng.normal(size=240) > 1).astype(int)
    groups = np.arange(240) // 2
    path = tmp_path_factory.mktemp("looks") / "rows.csv"
    columns = {**{f"x{i}": x[:, i] for i in range(3)}, "y": y, "g": groups}
    pl.DataFrame(columns).write_csv(path)
    return path


def study(table: Path, **changes: Any) -> Study:
    content = {
        "data": {"path": str(table), "label": "y", "features": ["x0", "x1", "x2"]},
        "arms": ARMS,
        "seeds": "auto",
        "training": {"hidden": 0, "epochs": 2},
        "compute": {"threads": 1},
    }
    return parse_study(content | changes)


def plain(result: Comparison, folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(result.save(folder / "plain.json").read_text())
    body["provenance"].pop("seconds")
    return body


def run(outcome: Outcome, folder: Path) -> dict[str, Any]:
    return plain(outcome.comparison, folder)


def test_folds_test_every_row_once_and_keep_groups(table: Path) -> None:
    content = {"path": str(table), "label": "y", "group": "g", "features": ["x0", "x1", "x2"]}
    plan = make_plan(study(table, data=content, seeds=2))
    groups = plan.data.labels.groups
    assert groups is not None
    for seed in range(2):
        parts = [plan.splits[seed, fold] for fold in plan.splits.folds]
        tested = np.concatenate([p.test for p in parts])
        assert np.array_equal(np.sort(tested), np.arange(240))
        for part in parts:
            held = [set(groups[getattr(part, p)]) for p in ("train", "val", "test")]
            assert not held[0] & held[1]
            assert not (held[0] | held[1]) & held[2]
            assert sum(part.sizes.values()) == 240
    assert plan.splits[0, 0].fingerprint != plan.splits[1, 0].fingerprint
    # Arms share folds within a seed, and every fold has a training of its own.
    assert len({(job.arm.label, job.draw) for job in plan.jobs}) == 3 * 2 * 5


def test_a_test_set_of_its_own_stays_and_decides_alone(table: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(table).with_columns(g=pl.lit("x"))
    rows[:60].write_csv(tmp_path / "test.csv")
    rows[60:].write_csv(tmp_path / "train.csv")
    data = {
        "path": str(tmp_path / "train.csv"),
        "test_path": str(tmp_path / "test.csv"),
        "label": "y",
        "features": ["x0", "x1", "x2"],
    }
    result = run_study(study(table, data=data, seeds=2), out=tmp_path / "out").comparison
    assert result.question == "on these data"
    assert result.data["rows"]["test"] == 60
    with pytest.raises(
        UsageError, match=r"`split.how` must not test rows fold by fold beside a test set"
    ):
        make_plan(study(table, data=data, split={"how": "cross_fit"}))


def test_a_look_settles_and_the_others_go_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equipoise.studies.schema.LOOKS", (3, 4))
    said: list[str] = []

    def show(what: str, _done: int, total: int) -> None:
        said.extend([what] * (total == 0))

    whole = run_study(study(table), out=tmp_path / "whole", progress=show)
    seeds = {a.method: a.n_seeds for a in whole.comparison.arms}
    assert whole.comparison.looks == (3, 4)
    assert set(seeds.values()) <= {3, 4}
    refits = 3 * 2 * 5  # on half and a quarter of the rows
    assert whole.trained == 5 * sum(seeds[m] for m in ARMS) + refits
    open_after = [m for m in ("pos_weight", "focal") if seeds[m] == 4]
    assert bool(said) == bool(open_after)
    for text in said:
        assert text.startswith("after 3 seeds: ")
        assert text.endswith(f"{len(open_after)} go on to 4")
    again = run_study(study(table), out=tmp_path / "whole")
    assert again.trained == 0
    assert run(again, tmp_path) == run(whole, tmp_path)
    _, rows, summary = plan_rows(study(table), tmp_path / "new")
    assert len(rows) == 3 * 3
    assert "Looks after 3, 4 seeds" in summary


def test_an_arm_that_is_added_is_all_that_is_trained(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equipoise.studies.schema.LOOKS", (2, 3))
    first = run_study(study(table, arms=["none", "pos_weight"]), out=tmp_path)
    more = run_study(study(table), out=tmp_path)
    own = 5 * more.comparison.arm("focal").n_seeds
    extra = sum(
        5 * (more.comparison.arm(m).n_seeds - first.comparison.arm(m).n_seeds)
        for m in ("none", "pos_weight")
    )
    assert more.trained == own + extra
    # The error rate is that of all remedies: the levels of two are half of those of one.
    levels = [
        1 - (r.comparison.arm("pos_weight").gain.primary.confidence_level or 0)  # type: ignore[union-attr]
        for r in (first, more)
    ]
    assert levels[1] < levels[0]


def test_time_that_runs_out_keeps_the_seeds_that_are_done(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"`max_time` must leave time for one seed of every arm"):
        run_study(study(table, seeds=3), out=tmp_path / "none", max_time=0.0)
    clock = iter(range(10_000))
    monkeypatch.setattr("equipoise.studies.heads.HEADS_AT_ONCE", 5)
    monkeypatch.setattr(engine.time, "monotonic", lambda: float(next(clock)))
    cut = run_study(study(table, seeds=3), out=tmp_path / "cut", max_time=8.0)
    monkeypatch.undo()
    done = cut.comparison.arms[0].n_seeds
    assert 1 <= done < 3
    fixed = run_study(study(table, seeds=done), out=tmp_path / "cut")
    same, same_trained = fixed.comparison, fixed.trained
    assert plain(same, tmp_path)["arms"] == run(cut, tmp_path)["arms"]
    rest = run_study(study(table, seeds=3), out=tmp_path / "cut")
    assert rest.trained + same_trained + cut.trained == 45 + 3 * 2 * 5
    assert rest.comparison.arms[0].n_seeds == 3


def test_before_the_first_look_nothing_is_decided(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equipoise.studies.heads.HEADS_AT_ONCE", 15)
    clock = iter(range(10_000))
    monkeypatch.setattr(engine.time, "monotonic", lambda: float(next(clock)))
    cut = run_study(study(table), out=tmp_path, max_time=4.0).comparison
    monkeypatch.undo()
    assert 1 <= cut.arms[0].n_seeds < LOOKS[0]
    gain = cut.arm("focal").gain
    assert gain is not None
    assert gain.verdict == "undecided"
    assert gain.needed.startswith("the first look is after 5 seeds")


FAILS = """
from sklearn.linear_model import LogisticRegression


class Moody(LogisticRegression):
    def fit(self, x, y):
        if float(x[0, 0]) < 0:
            raise ValueError("in a mood")
        return super().fit(x, y)
"""


def test_an_arm_that_fails_is_left_out_and_the_rest_is_judged(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moods.py").write_text(FAILS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    arms = ["none", "pos_weight", "moods:Moody"]
    outcome = run_study(study(table, arms=arms, seeds=2), out=tmp_path / "out", allow_code=True)
    result = outcome.comparison
    assert [a.method for a in result.arms] == ["none", "none + thresholds", "pos_weight"]
    (found,) = [f for f in result.findings if f.code == "EQ415"]
    assert "moods:Moody is left out" in found.message
    assert "in a mood" in found.message
    assert "EQ415" in str(result)


def test_a_loss_that_is_not_finite_costs_its_arm_alone(table: Path, tmp_path: Path) -> None:
    arms = ["none", "focal", {"method": "pos_weight", "name": "wild", "grid": {}}]
    wild = study(table, arms=arms, seeds=2, split={"how": "stratified"})
    plan = make_plan(wild)
    real = engine.train_batch

    def train(plan: Any, batch: Any, out: Path, report: Any = None) -> int | None:
        if any(job.arm.label == "wild" for job in batch.jobs):
            raise TrainingError("The loss of 'wild' (seed 1) is not finite in epoch 0.")
        return real(plan, batch, out, report)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "train_batch", train)
        outcome = run_study(wild, out=tmp_path)
        with pytest.raises(TrainingError, match="not finite"):
            engine.train_missing(plan, tmp_path / "strict")
    assert {a.method for a in outcome.comparison.arms} == {"none", "none + thresholds", "focal"}
    assert any("not finite" in f.message for f in outcome.comparison.findings)
    assert (outcome.trained, outcome.reused) == (4 + 2 * 2, 0)  # and the refits


def killed(folder: Path, table: str, after: int) -> None:
    """Run the study in a process that dies after so many trials."""
    import os

    from equipoise.artifacts import Trial

    real, left = Trial.save, iter(range(after, -1, -1))

    def save(self: Trial, root: str | Path) -> Path:
        if next(left) == 0:
            os._exit(9)
        return real(self, root)

    Trial.save = save  # type: ignore[method-assign]
    run_study(study(Path(table), seeds=2), out=folder)


def test_killed_at_any_trial_it_comes_to_the_same(table: Path, tmp_path: Path) -> None:
    whole = run(run_study(study(table, seeds=2), out=tmp_path / "whole"), tmp_path)
    for after in (0, 7, 19):
        assert statuses(killed, (tmp_path / "cut", str(table), after)) == [9]
    again = run_study(study(table, seeds=2), out=tmp_path / "cut")
    assert run(again, tmp_path) == whole


def test_refits_on_fewer_rows_make_the_forecast(table: Path, tmp_path: Path) -> None:
    small = study(table, arms=["none"], seeds=2)
    plan = make_plan(small)
    refits = [job for job in plan.more if job.share < 1]
    assert len(refits) == len(plan.more) == 2 * 2 * 5
    for job in refits[:6]:
        whole, part = plan.splits[job.draw], plan.splits.parts(job)
        assert set(part.train) < set(whole.train)
        # As many steps: each row that is kept stands there twice, or four times.
        assert part.train.size == pytest.approx(whole.train.size, abs=4)
        assert set(np.unique(part.train, return_counts=True)[1]) == {round(1 / job.share)}
        assert np.array_equal(part.test, whole.test)
    outcome = run_study(small, out=tmp_path)
    found = outcome.comparison.forecast
    assert found is not None
    assert outcome.trained == 2 * 5 + 20
    assert "Twice the training rows would buy none about" in str(outcome.comparison)
    again = Comparison.load(outcome.comparison.save(tmp_path / "c.json"))
    assert again.forecast == found


def test_refits_are_tuned_where_the_arms_are(table: Path, tmp_path: Path) -> None:
    tuned = study(table, arms=["none"], seeds=2, tuning={"lr": [0.001, 0.01]})
    assert len(make_plan(tuned).more) == 2 * 2 * 2 * 5
    outcome = run_study(tuned, out=tmp_path / "out")
    assert outcome.comparison.forecast is not None
    assert outcome.trained == 2 * (2 * 5 + 20)
    refits = [
        trial
        for trial in map(Trial.load, (tmp_path / "out" / "trials").iterdir())
        if "share" in trial.config
    ]
    # Of two settings each, one is scored on test rows.
    assert len(refits) == 20
    assert {trial.config["tuning"]["chosen_among"] for trial in refits} == {2}
    again = run_study(tuned, out=tmp_path / "out")
    assert again.trained == 0
    assert run(again, tmp_path) == run(outcome, tmp_path)


def asks(table: Path, folder: Path, **changes: Any) -> Study:
    rows = pl.read_csv(table)
    rows[:80].with_columns(g=pl.col("g") + 1000).write_csv(folder / "test.csv")
    rows[80:].write_csv(folder / "train.csv")
    data = {
        "path": str(folder / "train.csv"),
        "test_path": str(folder / "test.csv"),
        "label": "y",
        "group": "g",
        "features": ["x0", "x1", "x2"],
    }
    return study(table, data=data, seeds=2, comparison={"question": "new sample"}, **changes)


def test_other_samples_widen_what_is_said_of_a_new_one(table: Path, tmp_path: Path) -> None:
    asked = asks(table, tmp_path, arms=["none", "pos_weight", "logistic_regression"])
    plan = make_plan(asked)
    pools = [job for job in plan.more if job.pool is not None]
    assert len(pools) == 10 * 2 * 3
    groups = plan.data.labels.groups
    assert groups is not None
    distinct = []
    for job in pools[:12]:
        part, whole = plan.splits.parts(job), plan.splits[job.draw]
        rows = np.concatenate([part.train, part.val])
        assert set(rows) <= {*whole.train, *whole.val}
        assert not set(groups[part.train]) & set(groups[part.val])
        # A group is drawn whole: its training rows stand there equally often.
        for group in np.unique(groups[part.train]):
            own = part.train[groups[part.train] == group]
            assert len(set(np.unique(own, return_counts=True)[1])) == 1
        distinct.append(np.unique(rows).size / (whole.train.size + whole.val.size))
    assert np.mean(distinct) == pytest.approx(1 - np.exp(-1), abs=0.05)
    wide = run_study(asked, out=tmp_path / "out").comparison
    content = asked.model_dump(mode="json", exclude_none=True)
    content["comparison"] = {"question": "these data"}
    narrow = run_study(parse_study(content), out=tmp_path / "out").comparison
    assert (wide.question, narrow.question) == ("on a new sample like these", "on these data")
    spans = [
        r.arm("logistic_regression").gain.bounds  # type: ignore[union-attr]
        for r in (wide, narrow)
    ]
    assert spans[0].value == spans[1].value
    assert spans[0].high - spans[0].low >= spans[1].high - spans[1].low


def test_questions_that_a_study_cannot_answer(table: Path, tmp_path: Path) -> None:
    crossed = study(table, comparison={"question": "new sample"})
    with pytest.raises(UsageError, match="be about a test set"):
        make_plan(crossed)
    with pytest.raises(UsageError, match="networks are trained or settings are tuned"):
        make_plan(asks(table, tmp_path, tuning={"lr": [0.001, 0.01]}))


def test_whole_networks_are_cross_fitted_where_it_is_asked_for(table: Path, tmp_path: Path) -> None:
    cpu = {"epochs": 1, "accelerator": "cpu", "batch_size": 64}
    net = {"name": "mlp", "settings": {"hidden": [4]}}
    asked = study(
        table,
        model=net,
        arms=["none", "pos_weight"],
        seeds=2,
        training=cpu,
        split={"how": "cross_fit", "folds": 2},
    )
    outcome = run_study(asked, out=tmp_path)
    assert outcome.trained == 2 * 2 * 2
    assert outcome.comparison.question == "expected gain at this sample size"
    assert outcome.comparison.data["rows"]["test"] == 240
    single = study(table, model=net, arms=["none"], seeds=1, training=cpu)
    assert make_plan(single).splits.folds == [None]
    alone = asked.model_dump(mode="json", exclude_none=True)
    alone |= {"arms": ["none"], "seed": 1}
    del alone["seeds"]
    from equipoise.studies.network import plan_training

    with pytest.raises(UsageError, match="be one that has one test part, got 'cross_fit'"):
        plan_training(parse_study(alone, verb="train"))


@pytest.mark.parametrize("seeds", ["aut", 0, 1001, True, 2.5])
def test_seeds_that_are_none_are_answered(table: Path, seeds: Any) -> None:
    with pytest.raises(UsageError, match=r"`seeds`: say auto, or a whole number from 1 to 1000"):
        study(table, seeds=seeds)


def test_folds_alone_say_how(table: Path) -> None:
    assert make_plan(study(table, seeds=1, split={"folds": 3})).splits.folds == [0, 1, 2]
