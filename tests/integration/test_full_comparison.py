"""Full trainings compared: in this process, in two, and on a local Ray cluster, to one end."""

from __future__ import annotations

import json
import logging
import operator
import shutil
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from visible_gpus import touched_after, visible

from equipoise import Trial
from equipoise.cli.main import main
from equipoise.errors import NoEffectWarning, TrainingError, UsageError
from equipoise.studies.network import Networks
from equipoise.studies.plan import make_plan, shared_threads
from equipoise.studies.predict import predict_scores
from equipoise.studies.processes import gpu_slots, in_processes, on_ray
from equipoise.studies.refitting import refit
from equipoise.studies.run import run_study
from equipoise.studies.schema import ComputeSpec, Study, parse_study
from forked import FORKED


def make_study(folder: Path, **more: Any) -> Study:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(240, 4))
    hot = (x[:, :2] + 0.7 * rng.normal(size=(240, 2)) > [0.6, 1.3]).astype(int)
    frame = pl.DataFrame(x, schema=list("abcd")).with_columns(
        pl.Series("A", hot[:, 0]), pl.Series("B", hot[:, 1]), pl.Series("row", np.arange(240))
    )
    frame.write_parquet(folder / "table.parquet")
    return parse_study(
        {
            "title": "two arms",
            "data": {"path": str(folder / "table.parquet"), "labels": ["A", "B"], "id": "row"},
            "model": {"name": "mlp", "settings": {"hidden": [8]}},
            "arms": ["none + thresholds", "pos_weight"],
            "seeds": 2,
            "threads": 1,
            "training": {"epochs": 3, "lr": 0.01, "accelerator": "cpu"},
            **more,
        }
    )


def to_json(comparison: Any, folder: Path) -> str:
    """Return what is saved, the time it took apart."""
    comparison.save(folder / "comparison.json")
    body = json.loads((folder / "comparison.json").read_text())
    del body["provenance"]["seconds"]
    return json.dumps(body, sort_keys=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study, str]:
    folder = tmp_path_factory.mktemp("alone")
    study = make_study(folder)
    outcome = run_study(study, out=folder / "out")
    assert (outcome.trained, outcome.reused) == (4, 0)
    assert {arm.method for arm in outcome.comparison.arms} >= {"none", "pos_weight"}
    return folder, study, to_json(outcome.comparison, folder)


def test_arms_share_rows_and_seeds_do_not(alone: tuple[Path, Study, str]) -> None:
    folder, _, _ = alone
    trials = [Trial.load(p.parent) for p in (folder / "out").rglob("trial.json")]
    rows = {(t.method, t.seed): tuple(t.scores["val"].ids) for t in trials}
    assert rows["none", 0] == rows["pos_weight", 0] != rows["none", 1]
    tests = {tuple(t.scores["test"].ids) for t in trials}
    assert len(tests) == 1


def test_finished_trials_are_used_again(alone: tuple[Path, Study, str]) -> None:
    folder, study, before = alone
    outcome = run_study(study, out=folder / "out")
    assert (outcome.trained, outcome.reused) == (0, 4)
    assert to_json(outcome.comparison, folder) == before


def test_a_compared_network_is_kept_with_its_rule(
    alone: tuple[Path, Study, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study, _ = alone
    study = study.model_copy(
        update={"comparison": study.comparison.model_copy(update={"objective": "f2"})}
    )
    run_study(study, out=folder / "out").comparison.save(folder / "out" / "comparison.json")
    made = refit(study, results=folder / "out", out=tmp_path / "model", arm="pos_weight")
    assert made.kind == "mlp"
    assert made.rule.objective == "f2"
    assert made.tested is not None
    assert made.tested.n_rows == 48
    table = pl.read_parquet(folder / "table.parquet")
    table.drop("A", "B").write_csv(tmp_path / "new.csv")
    with pytest.raises(SystemExit) as left:
        main(
            ["predict", str(made.folder), str(tmp_path / "new.csv"), "-o", str(tmp_path / "p.csv")]
        )
    assert left.value.code in (None, 0)
    found = pl.read_csv(tmp_path / "p.csv")
    trial = Trial.load(made.folder)
    val, rule = trial.scores["val"], made.rule
    at = {row: i for i, row in enumerate(found["id"].cast(pl.String).to_list())}
    order = [at[str(row)] for row in np.asarray(val.ids)]
    flags = rule.apply(val).predictions
    np.testing.assert_array_equal(found["decision:A"].to_numpy()[order], flags[:, 0])
    assert "f2" in (made.folder / "README.md").read_text()


@pytest.mark.slow
def test_two_processes_come_to_the_same(alone: tuple[Path, Study, str], tmp_path: Path) -> None:
    _, study, want = alone
    outcome = run_study(study, out=tmp_path / "out", processes=2)
    assert (outcome.trained, outcome.reused) == (4, 0)
    kept = [Trial.load(p.parent) for p in (tmp_path / "out").rglob("trial.json")]
    assert sorted((t.method, t.seed) for t in kept) == [
        ("none", 0), ("none", 1), ("pos_weight", 0), ("pos_weight", 1),
    ]  # fmt: skip
    assert to_json(outcome.comparison, tmp_path) == want
    outcome = run_study(study, out=tmp_path / "out", processes=2)
    assert (outcome.trained, outcome.reused) == (0, 4)


def test_an_arm_that_cannot_be_built_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    study = make_study(tmp_path, arms=["none", {"method": "focal", "settings": {"gamma": -1.0}}])
    with pytest.raises(UsageError, match=r"^arm focal: `gamma` must be finite and >= 0, got -1.0"):
        run_study(study, out=tmp_path / "out")
    assert not (tmp_path / "out" / "trials").exists()
    heads = parse_study({"data": {"source": "digits"}, "arms": ["none"]})
    with pytest.raises(UsageError, match="`processes` must be for studies with a model, got 2"):
        run_study(heads, out=tmp_path / "out", processes=2)


def test_processes_do_all_and_a_job_that_fails_is_named() -> None:
    calls = {"one": (6, 3), "two": (1, 0), "three": (8, 2)}
    answers = in_processes(operator.truediv, calls, 2, {"accelerator": "cpu"})
    done: dict[str, Any] = {}
    with pytest.raises(TrainingError, match=r"^two: ZeroDivisionError: division by zero$"):
        done.update(answers)
    assert done == {"one": 2, "three": 4}


def test_interrupted_processes_begin_nothing_more(tmp_path: Path) -> None:
    calls = {n: (str(tmp_path / str(n)), 0.2) for n in range(20)}
    answers = in_processes(touched_after, calls, 2, {"accelerator": "cpu"})
    next(answers)
    with pytest.raises(KeyboardInterrupt):
        answers.throw(KeyboardInterrupt)
    # Those that were handed out already are done; what waited is not.
    assert 1 <= len(list(tmp_path.iterdir())) < 20


def test_ray_does_all_and_a_job_that_fails_is_named() -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    calls = {"one": (6, 3), "two": (1, 0), "three": (8, 2)}
    done: dict[str, Any] = {}
    with pytest.raises(TrainingError, match=r"^two: .*division by zero"):
        done.update(on_ray("local", divide, calls))
    assert done == {"one": 2, "three": 4}


@pytest.mark.slow
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_local_ray_cluster_comes_to_the_same(
    cpus: int, alone: tuple[Path, Study, str], tmp_path: Path
) -> None:
    import ray

    _, study, want = alone
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    ray.init(num_cpus=cpus, **quiet)
    try:
        outcome = run_study(study, out=tmp_path, cluster="local")
    finally:
        ray.shutdown()
    assert outcome.trained == 4
    assert to_json(outcome.comparison, tmp_path) == want


def test_settings_are_chosen_on_validation_rows_and_test_rows_scored_once(tmp_path: Path) -> None:
    arms = ["none", {"method": "focal", "grid": {"gamma": [1.0, 2.0]}}]
    study = make_study(tmp_path, arms=arms, tuning={"lr": [0.001, 0.02]}, seeds=2)
    outcome = run_study(study, out=tmp_path / "out")
    assert (outcome.trained, outcome.reused) == (8, 0)
    candidates = [Trial.load(p) for p in (tmp_path / "out" / "candidates").iterdir()]
    assert all(set(t.scores) == {"val"} for t in candidates)
    trials = [Trial.load(p) for p in (tmp_path / "out" / "trials").iterdir()]
    assert sorted((t.method, t.seed) for t in trials) == [
        ("focal", 0), ("focal", 1), ("none", 0), ("none", 1),
    ]  # fmt: skip
    for trial in trials:
        own = [c for c in candidates if (c.method, c.seed) == (trial.method, trial.seed)]
        best = max(own, key=lambda c: c.selection["value"])
        assert trial.selection == best.selection
        assert trial.config["tuning"]["chosen_among"] == 2
        assert trial.scores["test"].split == "test"
        # The weights that stand beside it say what its scores say.
        folder = tmp_path / "out" / "trials" / trial.folder_name
        assert (folder / "rule.json").is_file()
        again = predict_scores(folder, [str(tmp_path / "table.parquet")], device="cpu")
        place = {row: i for i, row in enumerate(again.ids.tolist())}
        rows = [place[row] for row in trial.scores["test"].ids.tolist()]
        np.testing.assert_allclose(again.values[rows], trial.scores["test"].values, atol=1e-6)
    repeated = run_study(study, out=tmp_path / "out")
    assert (repeated.trained, repeated.reused) == (0, 8)
    assert repeated.comparison.provenance["settings_per_arm"] == 2
    with pytest.raises(UsageError, match=r"`tuning.settings` must be at least 2"):
        run_study(make_study(tmp_path, arms=arms), out=tmp_path / "out")


def test_an_arm_that_trains_as_none_does_is_not_trained_again(tmp_path: Path) -> None:
    arms = ["none", {"method": "focal", "settings": {"gamma": 0.0}}]
    study = make_study(tmp_path, arms=arms, tuning={"lr": [0.001, 0.02]}, seeds=1)
    with pytest.warns(NoEffectWarning) as told:
        outcome = run_study(study, out=tmp_path / "out")
    assert {str(w.message).partition(" on ")[0].partition(",")[0] for w in told} == {
        "'focal' is `none`", "'focal' trains as 'none' does",
    }  # fmt: skip
    assert (outcome.trained, outcome.reused) == (2, 2)
    found = {t.method: t for t in map(Trial.load, (tmp_path / "out" / "trials").iterdir())}
    none, focal = found["none"], found["focal"]
    assert focal.selection == {**none.selection, "trained_as": "none"}
    assert focal.config["method"] == "focal"
    assert focal.history == none.history
    np.testing.assert_array_equal(focal.scores["test"].values, none.scores["test"].values)
    folder = tmp_path / "out" / "trials" / focal.folder_name
    again = predict_scores(folder, [str(tmp_path / "table.parquet")], device="cpu")
    assert len(again) == 240


def test_two_runners_train_each_once(alone: tuple[Path, Study, str], tmp_path: Path) -> None:
    _, study, want = alone
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(run_study(study, out=tmp_path)))
    with ProcessPoolExecutor(1, mp_context=FORKED) as pool:
        theirs = pool.submit(trained_by, study.model_dump(mode="json"), str(tmp_path))
        other.start()
        other.join()
        assert found[0].trained + theirs.result() == 4
    assert to_json(found[0].comparison, tmp_path) == want
    assert not list((tmp_path / "locks").glob("*.lock"))


def trained_by(content: dict[str, Any], out: str) -> int:
    """How many trials another process trained."""
    return run_study(parse_study(content), out=out).trained


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_at_any_point_and_gone_on_with_it_comes_to_the_same(
    kills: int, alone: tuple[Path, Study, str], tmp_path: Path
) -> None:
    _, study, want = alone
    for seconds in np.random.default_rng(11).uniform(0.5, 3.5, kills):
        child = FORKED.Process(
            target=killed_after, args=(study.model_dump(mode="json"), str(tmp_path), seconds)
        )
        child.start()
        child.join()
        assert child.exitcode in (-signal.SIGALRM, 0)
    assert to_json(run_study(study, out=tmp_path).comparison, tmp_path) == want


def killed_after(content: dict[str, Any], out: str, seconds: float) -> None:
    """Run the study; the system ends this process after some time, wherever it is."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    run_study(parse_study(content), out=out)


def test_threads_are_part_of_a_trial(alone: tuple[Path, Study, str]) -> None:
    folder, study, _ = alone
    plan = make_plan(study)
    job = plan.jobs[0]
    assert (job.arm.label, job.seed, plan.missing(folder / "out")) == ("none", 0, [])
    assert isinstance(plan.engine, Networks)
    assert plan.engine.config(job)["compute"] == {"threads": 1}
    free = study.model_copy(update={"compute": ComputeSpec()})
    assert len(make_plan(free, threads=2).missing(folder / "out")) == len(plan.jobs)
    study = parse_study({"data": {"source": "digits"}, "arms": ["none", "weighted_ce"]})
    place = Path("nowhere")
    assert shared_threads(study, place, 1000, None) == 1
    assert shared_threads(study, place, 1, "local") == 1


def test_each_process_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_slots(8, {}) == [] or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_slots(2, {}) == ["0", "1"]
    assert gpu_slots(2, {"devices": 2}) == ["0,1", "2,3"]
    assert gpu_slots(1, {"devices": "auto"}) == ["0,1,2,3"]
    assert gpu_slots(9, {"accelerator": "cpu"}) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert gpu_slots(2, {}) == ["5", "7"]
    with pytest.raises(UsageError, match=r"`processes` must be at most 1: 2 GPUs, 2 for each"):
        gpu_slots(2, {"devices": 2})
    seen = {k for k, _ in in_processes(visible, {"a": ("5",), "b": ("7",)}, 2, {})}
    assert seen == {"a", "b"}


def test_arms_that_scikit_learn_fits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train a network, got prevalence.*frozen network"):
        make_study(tmp_path, arms=["none", "prevalence"])


def test_the_verb_takes_a_study_with_a_model(
    alone: tuple[Path, Study, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, study, want = alone
    file = tmp_path / "study.yaml"
    content = study.model_dump(mode="json", exclude_none=True)
    file.write_text(yaml.safe_dump(content))
    shutil.copytree(folder / "out" / "trials", tmp_path / "o" / "trials")
    with pytest.raises(SystemExit) as left:
        main(["compare", str(file), "-o", str(tmp_path / "o"), "--json"])
    seen = capsys.readouterr()
    assert left.value.code == 0, seen.err
    assert "0 trials trained, 4 re-used" in seen.err
    assert json.loads(seen.out)["arms"]["none"] == "baseline"
    assert (tmp_path / "o" / "report.html").exists()
    body, wanted = json.loads((tmp_path / "o" / "comparison.json").read_text()), json.loads(want)
    for part in (body, wanted):
        part.pop("provenance")
    assert body == wanted
    shutil.rmtree(tmp_path / "o" / "trials")
    shutil.copytree(folder / "out" / "trials", tmp_path / "o" / "trials")
    shutil.rmtree(next((tmp_path / "o" / "trials").glob("pos_weight-s1-*")))
    with pytest.raises(SystemExit):
        main(["compare", str(file), "-o", str(tmp_path / "o"), "--dry-run"])
    seen = capsys.readouterr()
    assert seen.out.count("pos_weight") == 2
    assert (seen.out.count("finished"), seen.out.count("to train")) == (3, 1)
    assert "1 to train, about 0 s one at a time." in seen.err
