"""Full trainings compared: in this process, in two, and on a local Ray cluster, to one end."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from equipoise import Trial
from equipoise.cli.main import main
from equipoise.errors import TrainingError, UsageError
from equipoise.experiments.full_run import run_full
from equipoise.experiments.train_study import FullStudy, parse_full_study

pytestmark = pytest.mark.xdist_group("several processes")


def make_study(folder: Path, **more: Any) -> FullStudy:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(240, 4))
    hot = (x[:, :2] + 0.7 * rng.normal(size=(240, 2)) > [0.6, 1.3]).astype(int)
    frame = pl.DataFrame(x, schema=list("abcd")).with_columns(
        pl.Series("A", hot[:, 0]), pl.Series("B", hot[:, 1]), pl.Series("row", np.arange(240))
    )
    frame.write_parquet(folder / "table.parquet")
    return parse_full_study(
        {
            "title": "two arms",
            "data": {"path": str(folder / "table.parquet"), "labels": ["A", "B"], "id": "row"},
            "model": {"name": "mlp", "settings": {"hidden": [8]}},
            "arms": ["none + thresholds", "pos_weight"],
            "seeds": 2,
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
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FullStudy, str]:
    folder = tmp_path_factory.mktemp("alone")
    study = make_study(folder)
    outcome = run_full(study, out=folder / "out")
    assert (outcome.trained, outcome.reused) == (4, 0)
    assert {arm.method for arm in outcome.comparison.arms} >= {"none", "pos_weight"}
    return folder, study, to_json(outcome.comparison, folder)


def test_arms_share_rows_and_seeds_do_not(alone: tuple[Path, FullStudy, str]) -> None:
    folder, _, _ = alone
    trials = [Trial.load(p.parent) for p in (folder / "out").rglob("trial.json")]
    rows = {(t.method, t.seed): tuple(t.scores["val"].ids) for t in trials}
    assert rows["none", 0] == rows["pos_weight", 0] != rows["none", 1]
    tests = {tuple(t.scores["test"].ids) for t in trials}
    assert len(tests) == 1


def test_finished_trials_are_used_again(alone: tuple[Path, FullStudy, str]) -> None:
    folder, study, before = alone
    outcome = run_full(study, out=folder / "out")
    assert (outcome.trained, outcome.reused) == (0, 4)
    assert to_json(outcome.comparison, folder) == before


def test_two_processes_come_to_the_same(alone: tuple[Path, FullStudy, str], tmp_path: Path) -> None:
    _, study, want = alone
    outcome = run_full(study, out=tmp_path, processes=2)
    assert outcome.trained == 4
    assert to_json(outcome.comparison, tmp_path) == want


def test_a_local_ray_cluster_comes_to_the_same(
    alone: tuple[Path, FullStudy, str], tmp_path: Path
) -> None:
    import ray

    _, study, want = alone
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        outcome = run_full(study, out=tmp_path, cluster="local")
    finally:
        ray.shutdown()
    assert outcome.trained == 4
    assert to_json(outcome.comparison, tmp_path) == want


def test_one_trial_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    arms = ["pos_weight", {"method": "focal", "settings": {"gamma": -1.0}}]
    study = make_study(tmp_path, arms=arms, seeds=1)
    with pytest.raises((TrainingError, UsageError), match="focal, seed 0"):
        run_full(study, out=tmp_path / "out", processes=2)
    kept = [Trial.load(p.parent).method for p in (tmp_path / "out").rglob("trial.json")]
    assert sorted(kept) == ["none", "pos_weight"]


def test_the_verb_takes_a_study_with_a_model(
    alone: tuple[Path, FullStudy, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    with pytest.raises(SystemExit):
        main(["compare", str(file), "--dry-run"])
    assert capsys.readouterr().out.count("pos_weight") == 2
