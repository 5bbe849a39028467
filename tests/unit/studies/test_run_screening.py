"""Tuned studies: equal budgets, choice on validation, test once, kills, and several runners."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._core import locks
from equipoise.artifacts import Trial
from equipoise.errors import UsageError
from equipoise.studies import heads
from equipoise.studies.engine import using_threads
from equipoise.studies.grid import settings_of
from equipoise.studies.heads import Heads, Stacks
from equipoise.studies.plan import make_plan, plan_rows
from equipoise.studies.run import best_of, run_study, setting_value
from equipoise.studies.schema import ComparisonSpec, parse_study
from forked import statuses
from unit.studies.killed_study import CONTENT, TRAININGS, TRIALS, run, study

SLOW = pytest.mark.slow


def comparison_of(folder: Path) -> list[dict[str, Any]]:
    """Every comparison in a folder, times apart."""
    found = [json.loads(p.read_text()) for p in sorted(folder.glob("comparison-*.json"))]
    for body in found:
        del body["provenance"]["seconds"]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert statuses(run, (folder, 99)) == [0]
    return folder


def whose(trial: Trial) -> tuple[str, int, object]:
    """Which candidates a trial was chosen among."""
    return trial.method, trial.seed, trial.config.get("share")


def test_every_arm_gets_the_same_number_of_settings_and_the_best_enters(whole: Path) -> None:
    spec = ComparisonSpec()
    candidates = [Trial.load(p) for p in sorted((whole / "candidates").iterdir())]
    trials = [Trial.load(p) for p in sorted((whole / "trials").iterdir())]
    assert (len(candidates), len(trials)) == (TRAININGS, TRIALS)
    assert all(set(c.scores) == {"val"} for c in candidates)
    for trial in trials:
        own = [c for c in candidates if whose(c) == whose(trial)]
        assert len(own) == 2
        best = max(own, key=lambda t: setting_value(t, spec))
        tuning = trial.config["tuning"]
        assert tuning["chosen_among"] == 2
        assert tuning["by"].startswith("macro AP")
        assert {**best.config, "tuning": tuning} == trial.config
        assert trial.selection == best.selection
        np.testing.assert_array_equal(trial.scores["val"].values, best.scores["val"].values)
        assert set(trial.scores) == {"val", "test"}
        assert (whole / "trials" / trial.folder_name / "model.safetensors").is_file()


def test_what_was_chosen_stands_in_the_provenance(whole: Path) -> None:
    (body,) = comparison_of(whole)
    chosen = body["provenance"]["chosen"]
    assert {arm: len(found) for arm, found in chosen.items()} == {
        "none": 2, "pos_weight": 2, "focal": 2,
    }  # fmt: skip
    assert all(one["lr"] in (0.001, 0.01) for found in chosen.values() for one in found)
    assert {one["gamma"] for one in chosen["focal"]} <= {1.0, 2.0}


def test_test_scores_of_the_chosen_are_those_of_training_with_test_rows(whole: Path) -> None:
    from equipoise.training import train_heads

    plan = make_plan(study())
    engine, data = plan.engine, plan.data
    assert isinstance(engine, Heads)
    jobs = [engine.head_job(job) for job in (*plan.jobs, *plan.more)]
    with using_threads(1):
        found = list(
            train_heads(
                data.features, data.labels, plan.splits.first.test, jobs, settings=engine.settings
            )
        )
    trained = {r.trial.folder_name: r.trial for r in found}
    for path in (whole / "trials").iterdir():
        trial = Trial.load(path)
        config = {k: v for k, v in trial.config.items() if k != "tuning"}
        same = trained[replace(trial, config=config).folder_name]
        # In other stacks: the same up to rounding.
        np.testing.assert_allclose(
            trial.scores["test"].values, same.scores["test"].values, rtol=0, atol=1e-4
        )


KILLS = [(5, 1, 2), (12, 3), *(pytest.param(k, marks=SLOW) for k in ((0, 3), (11, 0), (14,)))]


@pytest.mark.parametrize("kills", KILLS)
def test_killed_and_resumed_gives_the_same_comparison(
    kills: tuple[int, ...], whole: Path, tmp_path: Path
) -> None:
    for after in kills:
        assert statuses(run, (tmp_path, after)) == [-9]
    assert statuses(run, (tmp_path, 99)) == [0]
    assert comparison_of(tmp_path) == comparison_of(whole)
    (counts,) = [json.loads(p.read_text()) for p in tmp_path.glob("counts-*.json")]
    # Nothing that was written is done again.
    assert counts["written"] == TRAININGS + TRIALS - sum(kills)
    assert not list((tmp_path / "locks").iterdir())


@pytest.mark.parametrize(("times", "least"), [(4, 1), pytest.param(10, 3, marks=SLOW)])
def test_ended_anywhere_again_and_again_and_gone_on_with_gives_the_same_comparison(
    times: int, least: int, whole: Path, tmp_path: Path
) -> None:
    ended = [
        statuses(run, (tmp_path, seconds))[0]
        for seconds in np.random.default_rng(17).uniform(0.01, 0.8, times).tolist()
    ]
    assert ended.count(-signal.SIGALRM) >= least
    assert statuses(run, (tmp_path, 99)) == [0]
    assert all(body == comparison_of(whole)[0] for body in comparison_of(tmp_path))
    assert not list((tmp_path / "locks").glob("*.lock"))


def test_drafts_of_locks_that_nobody_finished_are_swept_away(tmp_path: Path) -> None:
    old = time.time() - locks.STALE_SECONDS - 60
    for name in ("a.12.new", "b.34.old", "c.56.new"):
        (tmp_path / name).touch()
    for name in ("a.12.new", "b.34.old"):
        os.utime(tmp_path / name, (old, old))
    with locks.Locks(tmp_path).released():
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["c.56.new"]


def test_locks_of_runners_that_are_gone_are_swept_away(tmp_path: Path) -> None:
    """One that was killed when its work was written leaves a lock that nobody asks for again."""
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    body = {"pid": int(gone.stdout), "began": "0", "host": socket.gethostname(), "key": "a"}
    (tmp_path / "none-s0-12.3.lock").write_text(json.dumps(body))
    alive = locks.Locks(tmp_path)
    assert alive.claim("busy")
    with locks.Locks(tmp_path).released():
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["busy.lock"]


def test_a_stack_that_was_cut_short_is_trained_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert statuses(run, (tmp_path, 3)) == [-9]
    plan = make_plan(study())
    records = Stacks(tmp_path / "candidates")
    missing = plan.missing(tmp_path)
    assert len(missing) == len(plan.jobs) - 3
    stacks = records.cut(plan, missing, 5)
    # The first five as they were, the rest as an undisturbed run would cut it.
    expected = [plan.jobs[:5], plan.jobs[5:10], plan.jobs[10:]]
    assert [tuple(s) for s in stacks] == expected
    seen: list[int] = []
    head_job = Heads.head_job
    monkeypatch.setattr(heads, "HEADS_AT_ONCE", 5)
    monkeypatch.setattr(Heads, "head_job", lambda e, j: seen.append(j.seed) or head_job(e, j))
    done = run_study(study(), out=tmp_path)
    assert (done.trained, done.reused, len(seen)) == (TRAININGS - 3, 3, TRAININGS)


def test_stacks_of_another_plan_are_left_alone(tmp_path: Path) -> None:
    plan = make_plan(study())
    records = Stacks(tmp_path)
    assert records.cut(plan, [], 5) == []
    records.write([plan.folder(job) for job in plan.jobs[:2]])
    other = make_plan(study(training={"hidden": 0, "epochs": 3}))
    found = records.cut(other, other.jobs, 8)
    assert [len(s) for s in found] == [8, 4]


@pytest.mark.parametrize("content", [b"", b"{", b"3", b"[3]", b"[[]]", b"\xff", b"[" * 9999])
def test_a_damaged_stack_is_cut_anew(content: bytes, tmp_path: Path) -> None:
    plan = make_plan(study())
    records = Stacks(tmp_path)
    records.write([plan.folder(job) for job in plan.jobs[:2]])
    next(records.root.glob("*.json")).write_bytes(content)
    found = records.cut(plan, plan.jobs, 8)
    assert sum(map(len, found)) == len(plan.jobs)


def test_two_runners_do_each_trial_once(whole: Path, tmp_path: Path) -> None:
    assert statuses(run, (tmp_path, 99), (tmp_path, 99)) == [0, 0]
    one, two = comparison_of(tmp_path)
    assert one == two == comparison_of(whole)[0]
    counts = [json.loads(p.read_text()) for p in tmp_path.glob("counts-*.json")]
    assert sum(c["trained"] for c in counts) == TRAININGS
    assert sum(c["written"] for c in counts) == TRAININGS + TRIALS


def test_a_second_runner_takes_over_from_one_that_is_killed(whole: Path, tmp_path: Path) -> None:
    assert sorted(statuses(run, (tmp_path, 99), (tmp_path, 2))) in ([-9, 0], [0, 0])
    assert comparison_of(tmp_path)[0] == comparison_of(whole)[0]


def test_more_settings_train_only_what_is_new(tmp_path: Path) -> None:
    grid = {"lr": [0.001, 0.01], "weight_decay": [0.0, 0.1]}
    few, many = ({"tuning": {**grid, "settings": n}, "seeds": 1} for n in (2, 4))
    assert run_study(study(**few), out=tmp_path).trained == 6 + 4  # and refits of the baseline
    more = run_study(study(**many), out=tmp_path)
    assert (more.trained, more.reused) == (6 + 4, 6 + 4)
    assert run_study(study(**many), out=tmp_path).trained == 0


def test_draws_are_nested_and_rates_come_in_one_order_for_all() -> None:
    content = {**CONTENT, "tuning": {"lr": [1e-3, 1e-2], "weight_decay": [0.0, 0.1, 1.0]}}
    six = settings_of(parse_study(content))
    assert {len(found) for found in six.values()} == {6}
    pairs = {arm: [(s.lr, s.weight_decay) for s in found] for arm, found in six.items()}
    assert pairs["none"] == pairs["pos_weight"] == pairs["focal"]
    assert len(set(pairs["none"])) == 6
    assert {s.settings["gamma"] for s in six["focal"]} == {1.0, 2.0}
    content["tuning"] = {**content["tuning"], "settings": 4}
    four = settings_of(parse_study(content))
    assert four == {arm: found[:4] for arm, found in six.items()}
    content["tuning"] = {**content["tuning"], "seed": 1}
    assert settings_of(parse_study(content)) != four


WRONG = {
    "too many": ({"tuning": {"lr": [1e-3, 1e-2], "settings": 3}}, "`none` has 2 settings, got 3"),
    "one arm": ({"tuning": {}}, "`tuning.settings` must be at least 2, got 1.*`focal` alone"),
    "unknown": ({"arms": [{"method": "focal", "grid": {"gama": [1]}}]}, "Did you mean `gamma`"),
    "twice": ({"tuning": {"lr": [0.1, 0.1]}}, "`tuning.lr` must hold distinct values"),
    "both": (
        {"arms": [{"method": "focal", "settings": {"gamma": 1}, "grid": {"gamma": [1]}}]},
        "must not be among its `settings` too",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_grids_are_refused(name: str) -> None:
    changes, message = WRONG[name]
    with pytest.raises(UsageError, match=message):
        settings_of(study(**changes))
    with pytest.raises(UsageError, match=r"unknown key `tuning.rates`"):
        study(tuning={"rates": [1]})


@pytest.mark.parametrize("primary", ["macro_ap", "macro_auroc", "tuned"])
def test_settings_are_chosen_by_the_declared_metric(primary: str, whole: Path) -> None:
    trials = [Trial.load(p) for p in sorted((whole / "candidates").glob("focal-s0-*"))]
    spec = ComparisonSpec(primary=primary)
    values = [setting_value(trial, spec) for trial in trials]
    assert best_of(trials, spec) == int(np.argmax(values))
    # The labels turned round turn the order: the metric is read from validation rows.
    assert len(set(values)) == 2
    blind = [replace(t, selection={**t.selection, "value": float("nan")}) for t in trials]
    assert best_of(blind, spec) == (0 if primary == "macro_ap" else int(np.argmax(values)))


def test_the_plan_says_budget_state_and_time(tmp_path: Path) -> None:
    head, rows, summary = plan_rows(study(), tmp_path)
    assert head == ["arm", "setting", "seed", "train", "val", "state"]
    assert len(rows) == TRAININGS - 8
    assert "2 settings for every arm, 2 epochs each" in summary
    assert "12 to train, about" in summary
    assert not list(tmp_path.iterdir())


def test_threads_are_part_of_a_trial_and_restored() -> None:
    import torch

    one, two = (make_plan(study(compute={"threads": n})) for n in (1, 2))
    assert one.folder(one.jobs[0]) != two.folder(two.jobs[0])
    before = torch.get_num_threads()
    with using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def lock_file(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "a.lock"
    path.write_text(json.dumps({**locks._whoami(), "key": "x", **changes}))
    return path


def test_locks_of_the_gone_are_taken_over_and_others_are_not(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    old = time.time() - locks.STALE_SECONDS - 60
    cases = [
        ({}, None, False),  # this process
        ({"pid": child.pid}, None, True),
        ({"began": "1"}, None, locks._began(os.getpid()) is not None),  # its number came again
        ({"host": "elsewhere", "pid": child.pid}, None, False),
        ({"host": "elsewhere"}, old, True),
        ({"host": socket.gethostname()}, old, locks._began(os.getpid()) is None),
    ]
    for number, (changes, touched, expected) in enumerate(cases):
        folder = tmp_path / str(number)
        path = lock_file(folder, **changes)
        if touched is not None:
            os.utime(path, (touched, touched))
        assert locks.Locks(folder).claim("a") is expected, changes
        assert [p.name for p in folder.iterdir()] == ["a.lock"]


def test_a_lock_that_was_taken_over_is_not_given_back_by_its_first_owner(tmp_path: Path) -> None:
    mine = locks.Locks(tmp_path)
    assert mine.claim("a")
    path = lock_file(tmp_path, key="theirs")
    mine.release("a")
    assert path.exists()
    with locks.Locks(tmp_path).released():
        pass
    assert path.exists()
